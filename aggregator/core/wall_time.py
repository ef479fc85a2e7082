"""Times as people type them, on London's clock."""

from datetime import UTC, date, datetime, time

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON


class NoSuchLocalTime(FlexError):
    code = "wall_time.no_such_time"


class LocalTimeTwice(FlexError):
    code = "wall_time.twice"


def instant_of(day: date, at: time) -> datetime:
    """UTC instant of a time on London's clock.

    Raises:
        NoSuchLocalTime: skipped on this day, when the clocks go forward.
        LocalTimeTwice: comes twice on this day, when they go back: which one is meant is not for us to choose.
    """
    local = datetime.combine(day, at, tzinfo=LONDON)
    said = f"{day.isoformat()} {at:%H:%M}"
    first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    if first < second:
        raise LocalTimeTwice(f"{said} comes twice, as the clocks go back: choose a time before or after that hour")
    if first.astimezone(LONDON).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise NoSuchLocalTime(f"{said} does not exist, as the clocks go forward: choose a time before or after")
    return first
