"""The API needs no static files."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def api(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    cache.clear()
