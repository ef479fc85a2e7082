"""Figures and times as people read them: units beside, local time with its zone, UTC never far."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from aggregator.core.timegrid import LONDON

NO_VALUE = "—"


@dataclass(frozen=True, slots=True)
class Stamp:
    """One instant: ``local`` for reading, ``utc`` for the hover and for exports, ``iso`` for machines."""

    local: str
    utc: str
    iso: str


def stamp(at: datetime) -> Stamp:
    """State an aware instant in London and in UTC."""
    at_utc, local = at.astimezone(UTC), at.astimezone(LONDON)
    return Stamp(
        local=f"{local.day} {local:%b %Y %H:%M %Z}",
        utc=f"{at_utc:%Y-%m-%d %H:%M}Z",
        iso=f"{at_utc:%Y-%m-%dT%H:%M:%S}Z",
    )


def span_text(starts_at: datetime, ends_at: datetime) -> str:
    """A day or a night and half of the next in London's time: ``Thu 15 Jan 2026, 12:00 GMT to Fri 12:00 GMT``."""
    first, last = starts_at.astimezone(LONDON), ends_at.astimezone(LONDON)
    return f"{first:%a} {first.day} {first:%b %Y}, {first:%H:%M %Z} to {last:%a} {last:%H:%M %Z}"


def number(value: object, n_decimal: int = 1) -> str:
    """Write a figure (exact money comes as text) with thousands separated; a dash where there is none."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII):
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return NO_VALUE
    text = f"{value:,.{n_decimal}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
