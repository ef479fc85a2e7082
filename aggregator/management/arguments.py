"""Arguments several commands share."""

from argparse import ArgumentTypeError
from datetime import date, datetime


def day_argument(text: str) -> date:
    """A date as YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a date as YYYY-MM-DD, found {text!r}") from error


def instant_argument(text: str) -> datetime:
    """A time with its offset, e.g. 2026-01-14T18:00Z."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a time as 2026-01-14T18:00Z, found {text!r}") from error
    if at.tzinfo is None:
        raise ArgumentTypeError(f"a time needs its offset (Z or +01:00), found {text!r}")
    return at
