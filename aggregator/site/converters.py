"""Parts of addresses that name things by texts of their own."""

from django.urls import register_converter
from django.urls.converters import PathConverter


class AnyText(PathConverter):
    """A reference or pseudonym as stated, slashes and all: up to 80 characters that a database can keep."""

    regex = r"[^\x00]{1,80}"


register_converter(AnyText, "text")
