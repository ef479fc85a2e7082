"""Values of command-line options."""

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime


def aware_time(text: str) -> datetime:
    """A time with Z or an offset, as UTC.

    Raises:
        ArgumentTypeError: no such time.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} is no time with Z or an offset, such as 2023-01-01T00:30:00Z")
    return at.astimezone(UTC)


def day(text: str) -> date:
    """A date as YYYY-MM-DD.

    Raises:
        ArgumentTypeError: no such date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date as YYYY-MM-DD, such as 2023-01-31") from None
