"""Baselines of many meters in many events at once, from one dense array of their half-hours.

A second way to the numbers of ``markets.core.baseline.event_baseline``, for when a month of events is settled from
90 days of 100,000 meters: the half-hours are laid out once, and an event only says where its days and periods stand.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, Int32Array, IntArray, TimeArray
from markets.core.baseline import BaselineRule
from markets.core.evse_volume import NO_VALUE, EvseVolume
from markets.core.history import (
    adjustment_starts,
    candidate_days,
    day_types,
    eligible_days,
    local_dates,
    same_local_time,
)
from markets.core.month_kernels import add_adjusted, add_means_of_days

NONE_KEPT = -1
HALF_HOUR = np.timedelta64(1800, "s")


class OutsideReadings(FlexError):
    code = "baseline.outside_readings"


@dataclass(frozen=True, slots=True)
class DateTable:
    """One settlement date of an event: which periods, and which days speak for them.

    Attributes:
        event, window: (n,) indices of the event's and the window's periods on this date.
        half_hours: (n_day, n_column) where these periods stand on each candidate day, the event's first.
        is_of_rule: (n_day,) within the lookback and of the date's type.
        n_days: days chosen at most.
        n_drop: of them dropped at each end, or ``n_highest`` of them kept where that is not ``NONE_KEPT``.
    """

    event: IntArray
    window: IntArray
    half_hours: IntArray
    is_of_rule: BoolArray
    n_days: int
    n_drop: int
    n_highest: int


@dataclass(frozen=True, slots=True)
class EventTable:
    """Where the numbers of one event's baseline stand in a run of half-hours.

    Attributes:
        grid: the event's half-hours.
        rule: the baseline.
        days: (n_day,) candidate days, oldest first.
        event, window: (n_period,) and (n_window,) half-hours of the event and of the window before it.
        day_event, day_window: (n_day, n_period) and (n_day, n_window) the same clock times on the candidate days.
        dates: the event's settlement dates, and the window's; none where EVSEs have no baseline of their own.
    """

    grid: TimeGrid
    rule: BaselineRule
    days: tuple[date, ...]
    event: IntArray
    window: IntArray
    day_event: IntArray
    day_window: IntArray
    dates: tuple[DateTable, ...]

    def half_hours(self) -> IntArray:
        """(n,) every half-hour the event reads, each once, ascending."""
        parts = (self.event, self.window, self.day_event.ravel(), self.day_window.ravel())
        return np.unique(np.concatenate(parts))


def event_table(
    grid: TimeGrid,
    rule: BaselineRule,
    *,
    holidays: frozenset[date],
    first_day: date,
    n_half_hour: int,
    has_own_baseline: bool = True,
) -> EventTable:
    """Find the half-hours of an event and its history in a run of ``n_half_hour`` from ``first_day`` 00:00 UTC.

    Args:
        has_own_baseline: False where the method is not made of past days: then no EVSE gets a baseline.

    Raises:
        OutsideReadings: the run does not hold them all.
    """
    starts = grid.period_starts()
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    days = candidate_days(starts, window, lookback_days=rule.lookback_days)
    first = np.datetime64(first_day, "s")
    table = EventTable(
        grid,
        rule,
        days,
        event=_half_hours(starts, first),
        window=_half_hours(window, first),
        day_event=_half_hours(np.stack([same_local_time(starts, day) for day in days]), first),
        day_window=_half_hours(np.stack([same_local_time(window, day) for day in days]), first),
        dates=(),
    )
    asked = table.half_hours()
    if asked[0] < 0 or asked[-1] >= n_half_hour:
        raise OutsideReadings(
            f"the event of {grid.starts_at.isoformat()} reads half-hours {asked[0]} to {asked[-1]} from {first_day}, "
            f"of which {n_half_hour} were loaded"
        )
    if not has_own_baseline:
        return table
    return replace(table, dates=_dates(table, local_dates(starts), local_dates(window), holidays))


def _half_hours(starts: TimeArray, first: np.datetime64) -> IntArray:
    found: IntArray = ((starts - first) // HALF_HOUR).astype(np.int64)
    return found


def _dates(
    table: EventTable, event_dates: tuple[date, ...], window_dates: tuple[date, ...], holidays: frozenset[date]
) -> tuple[DateTable, ...]:
    rule, n_day = table.rule, len(table.days)
    days_working = day_types(table.days, holidays)
    made = []
    for day in sorted({*event_dates, *window_dates}):
        is_working = bool(day_types([day], holidays)[0])
        event, window = (_where(dates, day) for dates in (event_dates, window_dates))
        # Nobody called and everything read leaves the days of the rule; as many as there are.
        of_rule = eligible_days(
            settlement_date=day,
            is_working=is_working,
            days=table.days,
            days_working=days_working,
            is_event_day=np.zeros((1, n_day), dtype=np.bool_),
            has_reads=np.ones((1, n_day), dtype=np.bool_),
            n_days=n_day,
            lookback_days=rule.lookback_days,
        )[0]
        half_hours = np.ascontiguousarray(np.hstack([table.day_event[:, event], table.day_window[:, window]]))
        n_days = n_day if rule.selection == "highest" else rule.n_days(working=is_working)
        n_drop, n_kept = rule.n_drop(working=is_working), rule.n_kept(working=is_working)
        n_highest = NONE_KEPT if n_kept is None else n_kept
        made.append(DateTable(event, window, half_hours, of_rule, n_days, n_drop, n_highest))
    return tuple(made)


def _where(dates: tuple[date, ...], day: date) -> IntArray:
    return np.array([index for index, at in enumerate(dates) if at == day], dtype=np.int64)


def add_baselines(
    quanta: Int32Array,
    *,
    meters: IntArray,
    unit: IntArray,
    is_event_day: BoolArray,
    table: EventTable,
    rows: IntArray,
    baseline: Int32Array,
) -> None:
    """Make the baseline of some meters in one event, each from its own history.

    Args:
        quanta: (n_meter, n_half_hour) energy in quanta, ``NO_VALUE`` where nothing is known.
        meters: (n,) rows of ``quanta``.
        unit: (n,) unit of each.
        is_event_day: (n_unit, n_day) days on which the unit was called.
        baseline: (n_row, n_period) changed in place at ``rows``, (n,).

    Source: docs/methods/baseline.md
    """
    rule = table.rule
    event_means = np.full((len(meters), len(table.event)), np.nan)
    window_means = np.full((len(meters), len(table.window)), np.nan)
    for part in table.dates:
        means = np.empty((len(meters), part.half_hours.shape[1]))
        n_event = len(part.event)
        add_means_of_days(
            quanta,
            meters,
            unit,
            part.half_hours,
            part.is_of_rule & ~is_event_day,
            n_event or means.shape[1],
            part.n_drop,
            part.n_highest,
            np.zeros(part.n_days, dtype=np.int64),
            np.zeros(part.n_days, dtype=np.int64),
            means,
            np.zeros(len(meters), dtype=np.int64),
        )
        event_means[:, part.event], window_means[:, part.window] = means[:, :n_event], means[:, n_event:]
    add_adjusted(
        quanta,
        meters,
        table.window if rule.adjustment != "monitored" else table.window[:0],
        window_means,
        event_means,
        rule.adjustment == "ratio",
        rule.min_adjustment_periods,
        np.nan if rule.adjustment_cap_share is None else rule.adjustment_cap_share,
        rule.floor_at_zero,
        baseline,
        rows,
    )


def evse_volume(quanta: Int32Array, *, unit: IntArray, is_event_day: BoolArray, table: EventTable) -> EvseVolume:
    """Baseline and metered energy of each meter in one event.

    Args:
        quanta: (n_meter, n_half_hour) energy in quanta, ``NO_VALUE`` where nothing is known.
        unit: (n_meter,) unit of each.
        is_event_day: (n_unit, n_day) days on which the unit was called.
    """
    every = np.arange(len(quanta))
    baseline = np.full((len(quanta), len(table.event)), NO_VALUE, dtype=np.int32)
    add_baselines(
        quanta, meters=every, unit=unit, is_event_day=is_event_day, table=table, rows=every, baseline=baseline
    )
    return EvseVolume(table.grid, baseline, quanta[:, table.event])
