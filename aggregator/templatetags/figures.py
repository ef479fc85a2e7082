"""Figures and times as every page writes them."""

from datetime import datetime

from django import template

from aggregator.core import display
from aggregator.core.timegrid import LONDON

register = template.Library()


@register.filter
def stamp(at: datetime | None) -> display.Stamp | None:
    """An instant for ``_stamp.html``; None stays None."""
    return None if at is None else display.stamp(at)


@register.filter
def number(value: object, n_decimal: int = 1) -> str:
    """A figure with so many decimals; a dash where there is none."""
    return display.number(value, n_decimal)


@register.inclusion_tag("_window.html")
def window(starts_at: datetime, ends_at: datetime) -> dict[str, object]:
    """An interval, its date and zone said once where both ends share them."""
    first, last = starts_at.astimezone(LONDON), ends_at.astimezone(LONDON)
    starts, ends = display.stamp(starts_at), display.stamp(ends_at)
    is_one_day = first.date() == last.date() and first.utcoffset() == last.utcoffset()
    return {
        "starts": starts,
        "ends": ends,
        "first": f"{first.day} {first:%b %Y %H:%M}" if is_one_day else starts.local,
        "last": f"{last:%H:%M %Z}" if is_one_day else ends.local,
    }
