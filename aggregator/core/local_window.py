"""Windows as people state them: a London date, a half-hour on the clock, and how long."""

from datetime import UTC, date, datetime, time, timedelta

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD

SECOND = "*"  # after a clock time: its second passing, in the hour repeated when the clocks go back


class InvalidWindow(FlexError):
    code = "window.invalid"


def clock_choices() -> list[tuple[str, str]]:
    """Every half-hour of a clock's day, those of the hour that is repeated once a year twice."""
    choices = []
    for minutes in range(0, 24 * 60, 30):
        clock = f"{minutes // 60:02}:{minutes % 60:02}"
        choices.append((clock, clock))
        if minutes // 60 == 1:
            choices.append((clock + SECOND, f"{clock} for the second time (clocks go back)"))
    return choices


def window_at(day: date, clock: str, n_period: int) -> tuple[datetime, datetime]:
    """The window of ``n_period`` half-hours from a London clock time, in UTC.

    Args:
        clock: ``17:30``, or ``01:30*`` for its second passing.

    Raises:
        InvalidWindow: no clock shows that time on that day, or not twice; or fewer than one half-hour.
    """
    if n_period < 1:
        raise InvalidWindow(f"a window lasts at least one half-hour, found {n_period}", field="ends_at")
    is_second = clock.endswith(SECOND)
    wall = datetime.combine(day, time.fromisoformat(clock.removesuffix(SECOND)))
    first, second = (wall.replace(tzinfo=LONDON, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(LONDON).replace(tzinfo=None) != wall:
        raise InvalidWindow(
            f"no clock shows {wall:%H:%M} on {day.isoformat()}: the clocks go forward", field="starts_at"
        )
    if is_second and first == second:
        raise InvalidWindow(f"{wall:%H:%M} comes only once on {day.isoformat()}", field="starts_at")
    starts_at = second if is_second else first
    return starts_at, starts_at + n_period * SETTLEMENT_PERIOD


def length_text(n_period: int) -> str:
    """So many half-hours in words: ``1 h 30 min``."""
    length = n_period * SETTLEMENT_PERIOD
    hours, minutes = divmod(length // timedelta(minutes=1), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
