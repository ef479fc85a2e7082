"""The energy expected without the event, from days like it: x-in-y with a same-day adjustment, the rule as data."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple, get_args

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray
from markets.core.baseline_means import (
    highest_days_kwh,
    middle_days_kwh,
    same_day_adjustment_kwh,
    same_day_ratio,
)
from markets.core.energy import from_quanta, nearest_quanta, to_quanta
from markets.core.history import adjustment_starts, day_types, eligible_days, local_dates

BaselineLevel = Literal["portfolio", "asset"]
Selection = Literal["most-recent", "highest"]
Adjustment = Literal["additive", "ratio", "monitored"]


class InvalidBaselineRule(FlexError):
    code = "baseline.invalid_rule"


class InvalidHistory(FlexError):
    code = "baseline.invalid_history"


@dataclass(frozen=True, slots=True)
class BaselineRule:
    """A historical baseline as data; the defaults are mid 8-in-10 (2-in-4) with same-day adjustment.

    Attributes:
        n_working_days: eligible days wanted for a working day; ``n_non_working_days`` for the others.
        n_drop_working: days dropped at each end of the ranking; 0 makes it the plain mean of recent days.
        n_kept_working: of the days chosen, average only this many with the most energy in the event's half-hours;
            None keeps all that ``n_drop_working`` leaves. ``n_kept_non_working`` for the others.
        selection: take the most recent eligible days, or those with the most energy of all in the lookback.
        lookback_days: how far back candidate days may lie.
        adjustment: add the window's mean difference, multiply by its ratio, or only report it.
        adjustment_periods: half-hours of the adjustment window; 0 switches the adjustment off.
        adjustment_gap_periods: half-hours between the window's end and the event's start.
        min_adjustment_periods: with fewer window half-hours read, the baseline stays unadjusted.
        adjustment_cap_share: largest adjustment as a share of the event's mean unadjusted baseline, or how far a
            ratio may lie from 1; None is no cap.
        floor_at_zero: a negative baseline becomes 0 (sites that only import).
        level: what one row of history is, a unit's whole portfolio or one of its assets.

    Raises:
        InvalidBaselineRule: a count or share out of its range.

    Source: docs/methods/baseline.md
    """

    name: str = "mid-8-in-10-sda"
    version: str = "1"
    n_working_days: int = 10
    n_non_working_days: int = 4
    n_drop_working: int = 1
    n_drop_non_working: int = 1
    n_kept_working: int | None = None
    n_kept_non_working: int | None = None
    selection: Selection = "most-recent"
    lookback_days: int = 60
    adjustment: Adjustment = "additive"
    adjustment_periods: int = 6
    adjustment_gap_periods: int = 2
    min_adjustment_periods: int = 3
    adjustment_cap_share: float | None = None
    floor_at_zero: bool = True
    level: BaselineLevel = "portfolio"

    def __post_init__(self) -> None:
        for working in (True, False):
            self._check_days(working=working)
        if not 1 <= self.lookback_days <= 366 or self.adjustment_periods < 0 or self.adjustment_gap_periods < 0:
            raise InvalidBaselineRule(f"{self.name}: lookback must be 1 to 366 days, window and gap not negative")
        if not min(1, self.adjustment_periods) <= self.min_adjustment_periods:
            raise InvalidBaselineRule(f"{self.name}: an adjustment needs at least one half-hour read")
        if self.adjustment_cap_share is not None and not 0 <= self.adjustment_cap_share < float("inf"):
            raise InvalidBaselineRule(f"{self.name}: adjustment_cap_share must be 0 or more, or None")
        for field, known in (("level", BaselineLevel), ("selection", Selection), ("adjustment", Adjustment)):
            if getattr(self, field) not in get_args(known):
                raise InvalidBaselineRule(
                    f"{self.name}: {field} must be one of {', '.join(get_args(known))}, found {getattr(self, field)}"
                )

    def _check_days(self, *, working: bool) -> None:
        n_days, n_drop, n_kept = (
            self.n_days(working=working),
            self.n_drop(working=working),
            self.n_kept(working=working),
        )
        if n_drop < 0 or n_days <= 2 * n_drop:
            raise InvalidBaselineRule(f"{self.name}: {n_days} days leave none once {n_drop} are dropped at each end")
        if n_kept is not None and (n_drop or not 1 <= n_kept <= n_days):
            raise InvalidBaselineRule(
                f"{self.name}: the highest {n_kept} of {n_days} days are kept or {n_drop} dropped at each end, not both"
            )

    def n_days(self, *, working: bool) -> int:
        return self.n_working_days if working else self.n_non_working_days

    def n_drop(self, *, working: bool) -> int:
        return self.n_drop_working if working else self.n_drop_non_working

    def n_kept(self, *, working: bool) -> int | None:
        """How many of the highest days are averaged; None where the rule keeps the middle ones."""
        n_kept = self.n_kept_working if working else self.n_kept_non_working
        return self.n_days(working=working) if self.selection == "highest" and n_kept is None else n_kept


@dataclass(frozen=True, slots=True)
class BaselineHistory:
    """What is known about an event's rows before the event; NaN is a missing read.

    Attributes:
        row_ids: (n_row,) ids of the baselined rows, unique.
        grid: the event's half-hours.
        days: (n_day,) candidate days, oldest first, all before the event (``history.candidate_days``).
        holidays: England's public holidays from the first candidate day to the event's last.
        is_event_day: (n_row, n_day) the row was called on that day.
        event_kwh: (n_row, n_day, n_period) energy at the event's clock times (``history.same_local_time``).
        adjustment_kwh: (n_row, n_day, n_window) energy at the adjustment window's clock times.
        adjustment_metered_kwh: (n_row, n_window) energy of the window before this event.

    Raises:
        InvalidHistory: shapes that do not fit, days out of order or not before the event, infinite energy.
    """

    row_ids: tuple[str, ...]
    grid: TimeGrid
    days: tuple[date, ...]
    holidays: frozenset[date]
    is_event_day: BoolArray
    event_kwh: FloatArray
    adjustment_kwh: FloatArray
    adjustment_metered_kwh: FloatArray

    def __post_init__(self) -> None:
        n_row, n_day, n_window = len(self.row_ids), len(self.days), self.adjustment_kwh.shape[-1]
        expected = {
            "is_event_day": (n_row, n_day),
            "event_kwh": (n_row, n_day, self.grid.n_period),
            "adjustment_kwh": (n_row, n_day, n_window),
            "adjustment_metered_kwh": (n_row, n_window),
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            if values.shape != shape:
                raise InvalidHistory(f"{name} must have shape {shape}, found {values.shape}", field=name)
            if np.isinf(values).any():
                raise InvalidHistory(f"{name} holds infinite energy", field=name)
        if len(set(self.row_ids)) != n_row:
            raise InvalidHistory(f"row_ids must be unique, found {n_row - len(set(self.row_ids))} repeated")
        if self.grid.step != SETTLEMENT_PERIOD:
            raise InvalidHistory(f"an event is settled in half-hours, found {self.grid.period_minutes} min")
        first_event_day = min(local_dates(self.grid.period_starts()))
        in_order = all(earlier < later for earlier, later in zip(self.days, self.days[1:], strict=False))
        if not in_order or (self.days and self.days[-1] >= first_event_day):
            raise InvalidHistory(f"days must ascend and end before {first_event_day.isoformat()}")


@dataclass(frozen=True, slots=True)
class EventBaseline:
    """Baseline of one event, on the grid of 0.0001 kWh; NaN where no baseline could be made.

    Attributes:
        unadjusted_kwh: (n_row, n_period) mean of the kept days.
        adjustment_kwh: (n_row,) energy added to every period, 0 where none was possible or the rule adds none.
        adjustment_ratio: (n_row,) what every period was multiplied by, 1 where none was possible or the rule has none.
        measured_adjustment_kwh: (n_row,) how far the window ran above its baseline, before any cap and also where the
            rule only monitors it; NaN where too little was read.
        baseline_kwh: (n_row, n_period) rounded once, from the unrounded sum or product.
        n_days: (n_row, n_period) eligible days found, before any are dropped; never more than the rule wants, and 0
            where the baseline does not come from days.
        is_adjusted: (n_row,) the window had enough reads, or the rule has no window.
        is_capped: (n_row,) the cap cut the adjustment.
        is_floored: (n_row, n_period) a negative baseline became 0.
    """

    unadjusted_kwh: FloatArray
    adjustment_kwh: FloatArray
    adjustment_ratio: FloatArray
    measured_adjustment_kwh: FloatArray
    baseline_kwh: FloatArray
    n_days: IntArray
    is_adjusted: BoolArray
    is_capped: BoolArray
    is_floored: BoolArray


def event_baseline(history: BaselineHistory, rule: BaselineRule) -> EventBaseline:
    """Make the baseline of one event, each settlement date by its own day type.

    The adjustment is one figure per row, frozen at the event's start, also when the event runs over midnight.

    Raises:
        InvalidHistory: the adjustment window is not the rule's.

    Source: docs/methods/baseline.md
    """
    if history.adjustment_kwh.shape[2] != rule.adjustment_periods:
        raise InvalidHistory(
            f"{rule.name} adjusts on {rule.adjustment_periods} half-hours, found {history.adjustment_kwh.shape[2]}"
        )
    unadjusted, window, n_days = _unadjusted_quanta(history, rule)
    adjusted_by = _adjustment(to_quanta(history.adjustment_metered_kwh), window, unadjusted, rule)
    adjusted = nearest_quanta(
        unadjusted * adjusted_by.ratio[:, np.newaxis] + adjusted_by.quanta[:, np.newaxis],
    )
    is_floored = (adjusted < 0) & rule.floor_at_zero
    return EventBaseline(
        unadjusted_kwh=from_quanta(nearest_quanta(unadjusted)),
        adjustment_kwh=from_quanta(nearest_quanta(adjusted_by.quanta)),
        adjustment_ratio=adjusted_by.ratio,
        measured_adjustment_kwh=from_quanta(nearest_quanta(adjusted_by.measured)),
        baseline_kwh=from_quanta(np.where(is_floored, 0.0, adjusted)),
        n_days=n_days,
        is_adjusted=adjusted_by.is_adjusted,
        is_capped=adjusted_by.is_capped,
        is_floored=is_floored,
    )


class _AdjustedBy(NamedTuple):
    """(n_row,) each: quanta added to every period, its factor, and how both came about."""

    quanta: FloatArray
    ratio: FloatArray
    measured: FloatArray
    is_adjusted: BoolArray
    is_capped: BoolArray


def _adjustment(metered: FloatArray, window: FloatArray, unadjusted: FloatArray, rule: BaselineRule) -> _AdjustedBy:
    n_row, share = len(metered), rule.adjustment_cap_share
    measured = same_day_adjustment_kwh(metered, window, min_periods=rule.min_adjustment_periods)
    none, one = np.zeros(n_row), np.ones(n_row)
    if rule.adjustment == "monitored" or rule.adjustment_periods == 0:
        return _AdjustedBy(none, one, measured, one > 0, none > 0)
    if rule.adjustment == "ratio":
        raw = same_day_ratio(metered, window, min_periods=rule.min_adjustment_periods)
        wanted = np.nan_to_num(raw, nan=1.0)
        ratio = wanted if share is None else np.clip(wanted, max(1.0 - share, 0.0), 1.0 + share)
        return _AdjustedBy(none, ratio, measured, ~np.isnan(raw), ratio != wanted)
    wanted = np.nan_to_num(measured, nan=0.0)
    quanta = _capped(wanted, unadjusted, share)
    return _AdjustedBy(quanta, one, measured, ~np.isnan(measured), quanta != wanted)


class _DateBlock(NamedTuple):
    settlement_date: date
    event: IntArray
    window: IntArray


def _date_blocks(history: BaselineHistory, rule: BaselineRule) -> Iterator[_DateBlock]:
    """Split event and window periods by settlement date: one block as a rule, three at most."""
    window_starts = adjustment_starts(
        history.grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    event_dates, window_dates = local_dates(history.grid.period_starts()), local_dates(window_starts)
    for day in sorted({*event_dates, *window_dates}):
        event = np.array([index for index, at in enumerate(event_dates) if at == day], dtype=np.int64)
        window = np.array([index for index, at in enumerate(window_dates) if at == day], dtype=np.int64)
        yield _DateBlock(day, event, window)


def _unadjusted_quanta(history: BaselineHistory, rule: BaselineRule) -> tuple[FloatArray, FloatArray, IntArray]:
    """(n_row, n_period) event means, (n_row, n_window) window means, both in quanta, and days found per period."""
    event, window = to_quanta(history.event_kwh), to_quanta(history.adjustment_kwh)
    event_means = np.full((event.shape[0], event.shape[2]), np.nan)
    window_means = np.full((window.shape[0], window.shape[2]), np.nan)
    n_days = np.zeros(event_means.shape, dtype=np.int64)
    days_working = day_types(history.days, history.holidays)
    for block in _date_blocks(history, rule):
        is_working = bool(day_types([block.settlement_date], history.holidays)[0])
        energy = np.concatenate([event[:, :, block.event], window[:, :, block.window]], axis=2)
        chosen = eligible_days(
            settlement_date=block.settlement_date,
            is_working=is_working,
            days=history.days,
            days_working=days_working,
            is_event_day=history.is_event_day,
            has_reads=~np.isnan(energy).any(axis=2),
            n_days=len(history.days) if rule.selection == "highest" else rule.n_days(working=is_working),
            lookback_days=rule.lookback_days,
        )
        # A date that holds only window periods has no event energy to rank by; it ranks on the window's.
        n_event = len(block.event)
        means = _means_of_chosen(energy, chosen, rule, is_working=is_working, n_ranked=n_event or energy.shape[2])
        event_means[:, block.event] = means[:, :n_event]
        window_means[:, block.window] = means[:, n_event:]
        n_found = np.minimum(chosen.sum(axis=1), rule.n_days(working=is_working))
        n_days[:, block.event] = n_found[:, np.newaxis]
    return event_means, window_means, n_days


def _means_of_chosen(
    energy: FloatArray, chosen: BoolArray, rule: BaselineRule, *, is_working: bool, n_ranked: int
) -> FloatArray:
    """(n_row, n_period) mean of each row's middle or highest days; NaN for a row with too few."""
    n_found, n_drop, n_kept = chosen.sum(axis=1), rule.n_drop(working=is_working), rule.n_kept(working=is_working)
    means = np.full((energy.shape[0], energy.shape[2]), np.nan)
    for n_day in np.unique(n_found[n_found > 2 * n_drop]).tolist():
        rows = np.flatnonzero(n_found == n_day)
        days = np.nonzero(chosen[rows])[1].reshape(len(rows), n_day)
        found = energy[rows[:, np.newaxis], days]
        if n_kept is None:
            means[rows] = middle_days_kwh(found, n_drop=n_drop, n_ranked=n_ranked)
        else:
            means[rows] = highest_days_kwh(found, n_keep=n_kept, n_ranked=n_ranked)
    return means


def _capped(adjustment: FloatArray, unadjusted: FloatArray, cap_share: float | None) -> FloatArray:
    if cap_share is None:
        return adjustment
    n_known = np.maximum(np.sum(~np.isnan(unadjusted), axis=1), 1)
    largest = cap_share * np.abs(np.nansum(unadjusted, axis=1) / n_known)
    capped: FloatArray = np.clip(adjustment, -largest, largest)
    return capped
