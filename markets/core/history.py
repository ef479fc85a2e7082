"""Which past days speak for an event, and which half-hours of them.

History is aligned by London clock time. Clock-change days are never history; on a clock-change event
day both 01:00 hours read the same history periods (October), or there is no 01:00 (March).
"""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.local_clock import working_days
from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD, settlement_day, utc
from aggregator.core.types import BoolArray, TimeArray

PERIODS_OF_A_NORMAL_DAY = 48


class ClockChangeHistoryDay(FlexError):
    code = "baseline.clock_change_history_day"


def day_types(days: Sequence[date], holidays: Collection[date]) -> BoolArray:
    """(n_day,) True for a working day: Monday to Friday and none of ``holidays``."""
    return working_days(days, holidays)


@cache
def is_clock_change_day(day: date) -> bool:
    """Say whether the London day has 46 or 50 settlement periods."""
    return settlement_day(day).n_period != PERIODS_OF_A_NORMAL_DAY


def local_dates(period_starts: TimeArray) -> tuple[date, ...]:
    """Settlement date of each (n_period,) UTC period start."""
    return tuple(at.date() for at in _london(period_starts))


def same_local_time(period_starts: TimeArray, history_day: date) -> TimeArray:
    """Find, on one past day, the half-hours with the clock times of the event's.

    Each period is matched by its clock time alone, so both sides of an event over midnight
    read ``history_day``.

    Args:
        period_starts: (n_period,) UTC starts of event or adjustment periods.

    Returns:
        (n_period,) ``datetime64[s]`` UTC starts on ``history_day``.

    Raises:
        ClockChangeHistoryDay: ``history_day`` has 46 or 50 periods, so a clock time may be missing or double.
    """
    if is_clock_change_day(history_day):
        raise ClockChangeHistoryDay(
            f"{history_day.isoformat()} changes the clocks and is no history", history_day=history_day.isoformat()
        )
    starts = [utc(history_day, at.time()).replace(tzinfo=None) for at in _london(period_starts)]
    return np.array(starts, dtype="datetime64[s]")


def adjustment_starts(event_starts_at: datetime, *, n_periods: int, gap_periods: int) -> TimeArray:
    """(n_periods,) UTC starts of the adjustment window, which ends ``gap_periods`` before the event.

    Elapsed half-hours, because the gap stands for gate closure.
    """
    ends_at = event_starts_at.astimezone(UTC) - gap_periods * SETTLEMENT_PERIOD
    starts = [(ends_at - back * SETTLEMENT_PERIOD).replace(tzinfo=None) for back in range(n_periods, 0, -1)]
    return np.array(starts, dtype="datetime64[s]")


def candidate_days(event_starts: TimeArray, adjustment_starts: TimeArray, *, lookback_days: int) -> tuple[date, ...]:
    """List the days whose readings a settlement has to load, oldest first, without clock-change days.

    They run from ``lookback_days`` before the first settlement date of window or event to the day before the event.
    """
    first_event_day = min(local_dates(event_starts))
    earliest = min([first_event_day, *local_dates(adjustment_starts)]) - timedelta(days=lookback_days)
    span = [earliest + timedelta(days=offset) for offset in range((first_event_day - earliest).days)]
    return tuple(day for day in span if not is_clock_change_day(day))


def eligible_days(
    *,
    settlement_date: date,
    is_working: bool,
    days: Sequence[date],
    days_working: BoolArray,
    is_event_day: BoolArray,
    has_reads: BoolArray,
    n_days: int,
    lookback_days: int,
) -> BoolArray:
    """Choose the most recent eligible days of each row for one settlement date of an event.

    Args:
        settlement_date: the date the baseline is for; candidates are the ``lookback_days`` before it.
        is_working: the type of ``settlement_date``; only days of the same type are eligible.
        days: (n_day,) candidate days, oldest first.
        days_working: (n_day,) their types.
        is_event_day: (n_row, n_day) the row was called on that day.
        has_reads: (n_row, n_day) every needed half-hour of that day was read.
        n_days: days wanted.

    Returns:
        (n_row, n_day) True for the chosen days: ``n_days`` a row, or as many as there are.

    Source: docs/methods/baseline.md
    """
    earliest = settlement_date - timedelta(days=lookback_days)
    of_the_rule = np.array([earliest <= day < settlement_date and not is_clock_change_day(day) for day in days], bool)
    eligible: BoolArray = (of_the_rule & (days_working == is_working)) & ~is_event_day & has_reads
    n_from_here_on = np.cumsum(eligible[:, ::-1], axis=1)[:, ::-1]
    chosen: BoolArray = eligible & (n_from_here_on <= n_days)
    return chosen


def _london(period_starts: TimeArray) -> list[datetime]:
    naive: list[datetime] = period_starts.astype("datetime64[s]").tolist()
    return [at.replace(tzinfo=UTC).astimezone(LONDON) for at in naive]
