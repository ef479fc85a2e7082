"""Filters that lists share: text from an address, a local day, a key; what makes no sense filters nothing or is 404."""

from datetime import date, datetime

from django.http import Http404, HttpRequest

from aggregator.core.timegrid import settlement_day

LONGEST = 100


def text_filter(request: HttpRequest, name: str) -> str:
    """A filter's text, cut to what any of our names may have, without characters a database cannot keep."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST]


def choice_filter(request: HttpRequest, name: str, known: set[str]) -> str:
    """A filter's text if it is one of the known; else nothing is filtered."""
    asked = text_filter(request, name)
    return asked if asked in known else ""


def day_filter(request: HttpRequest, name: str = "day") -> date | None:
    """A local day of the form ``2026-01-14``.

    Raises:
        Http404: text that is no date from 2000 to 2099.
    """
    asked = text_filter(request, name)
    if not asked:
        return None
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        raise Http404("A day is written as 2026-01-14.") from None
    if not 2000 <= day.year < 2100:
        raise Http404("A day is one from 2000 to 2099.")
    return day


def local_day(day: date) -> tuple[datetime, datetime]:
    """The London day as a half-open interval in UTC."""
    grid = settlement_day(day)
    return grid.starts_at, grid.ends_at


def asked_only(wanted: dict[str, str]) -> dict[str, str]:
    """Lookups without those that nothing was asked for."""
    return {name: text for name, text in wanted.items() if text}
