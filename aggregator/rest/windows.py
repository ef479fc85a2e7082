"""Spans of time in a query string: ``from`` and ``to``, half-open, at most 31 days."""

from datetime import datetime, timedelta
from typing import Any

from rest_framework import serializers

from aggregator.rest.fields import Choice, OffsetDateTime, local_text, utc_text
from aggregator.rest.problems import broken_rule
from aggregator.rest.serializers import Query
from aggregator.rest.views import ListQuery

LONGEST = timedelta(days=31)
LONDON = "Europe/London"


class _Window:
    """``from`` is a word of Python's, so the fields are added by name."""

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()  # type: ignore[misc]
        fields["from"] = OffsetDateTime(help_text="start of the span, included")
        fields["to"] = OffsetDateTime(help_text="end of the span, left out; at most 31 days after from")
        fields["tz"] = Choice(choices=[LONDON], required=False, help_text="adds each time as local text")
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        check_span(attrs["from"], attrs["to"])
        return attrs


class WindowQuery(_Window, ListQuery):
    """A list of what falls into a span of time."""


class SpanQuery(_Window, Query):
    """One series over a span of time."""


def check_span(starts_at: datetime, ends_at: datetime) -> None:
    """Refuse a span that is empty, backward or longer than 31 days (422)."""
    if not starts_at < ends_at <= starts_at + LONGEST:
        said = (
            f"from {utc_text(starts_at)} to {utc_text(ends_at)} is not a span of more than nothing and at most 31 days"
        )
        raise broken_rule("window.span", "/to", said, place="query")


class Interval(serializers.Serializer[Any]):
    """``[starts_at, ends_at)``, with local text beside it where ``?tz=`` asked for it."""

    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime(help_text="left out of the interval")
    starts_local = serializers.CharField(required=False, help_text="with ?tz=Europe/London only")
    ends_local = serializers.CharField(required=False, help_text="with ?tz=Europe/London only")


def interval(starts_at: datetime, ends_at: datetime, tz: str | None) -> dict[str, str]:
    """An interval as ``Interval`` describes it, in plain JSON values."""
    said = {"starts_at": utc_text(starts_at), "ends_at": utc_text(ends_at)}
    if tz:
        said |= {"starts_local": local_text(starts_at), "ends_local": local_text(ends_at)}
    return said
