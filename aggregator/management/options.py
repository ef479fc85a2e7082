"""Values of command-line options."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime


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
