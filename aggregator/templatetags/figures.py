"""Figures and times as every page writes them."""

from datetime import datetime

from django import template

from aggregator.core import display

register = template.Library()


@register.filter
def stamp(at: datetime | None) -> display.Stamp | None:
    """An instant for ``_stamp.html``; None stays None."""
    return None if at is None else display.stamp(at)


@register.filter
def number(value: object, n_decimal: int = 1) -> str:
    """A figure with so many decimals; a dash where there is none."""
    return display.number(value, n_decimal)
