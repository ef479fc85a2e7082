"""The energy expected without the event: mid x-in-y and its same-day adjustment, with the rule as data."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray
from markets.core.energy import from_quanta, nearest_quanta, to_quanta
from markets.core.history import adjustment_starts, day_types, eligible_days, local_dates

BaselineLevel = Literal["portfolio", "asset"]


class TooFewEligibleDays(FlexError):
    code = "baseline.too_few_eligible_days"


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
        lookback_days: how far back candidate days may lie.
        adjustment_periods: half-hours of the adjustment window; 0 switches the adjustment off.
        adjustment_gap_periods: half-hours between the window's end and the event's start.
        min_adjustment_periods: with fewer window half-hours read, the baseline stays unadjusted.
        adjustment_cap_share: largest adjustment as a share of the event's mean unadjusted baseline; None is no cap.
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
    lookback_days: int = 60
    adjustment_periods: int = 6
    adjustment_gap_periods: int = 2
    min_adjustment_periods: int = 3
    adjustment_cap_share: float | None = None
    floor_at_zero: bool = True
    level: BaselineLevel = "portfolio"

    def __post_init__(self) -> None:
        for working in (True, False):
            n_days, n_drop = self.n_days(working=working), self.n_drop(working=working)
            if n_drop < 0 or n_days <= 2 * n_drop:
                raise InvalidBaselineRule(
                    f"{self.name}: {n_days} days leave none once {n_drop} are dropped at each end"
                )
        if not 1 <= self.lookback_days <= 366 or self.adjustment_periods < 0 or self.adjustment_gap_periods < 0:
            raise InvalidBaselineRule(f"{self.name}: lookback must be 1 to 366 days, window and gap not negative")
        if not min(1, self.adjustment_periods) <= self.min_adjustment_periods:
            raise InvalidBaselineRule(f"{self.name}: an adjustment needs at least one half-hour read")
        if self.adjustment_cap_share is not None and not 0 <= self.adjustment_cap_share < float("inf"):
            raise InvalidBaselineRule(f"{self.name}: adjustment_cap_share must be 0 or more, or None")
        if self.level not in ("portfolio", "asset"):
            raise InvalidBaselineRule(f"{self.name}: level must be portfolio or asset, found {self.level}")

    def n_days(self, *, working: bool) -> int:
        return self.n_working_days if working else self.n_non_working_days

    def n_drop(self, *, working: bool) -> int:
        return self.n_drop_working if working else self.n_drop_non_working


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
        adjustment_kwh: (n_row,) energy added to every period, 0 where none was possible.
        baseline_kwh: (n_row, n_period) rounded once, from the unrounded sum of the two.
        n_days: (n_row, n_period) eligible days found, before any are dropped.
        is_adjusted: (n_row,) the window had enough reads, or the rule has no window.
        is_capped: (n_row,) the cap cut the adjustment.
        is_floored: (n_row, n_period) a negative baseline became 0.
    """

    unadjusted_kwh: FloatArray
    adjustment_kwh: FloatArray
    baseline_kwh: FloatArray
    n_days: IntArray
    is_adjusted: BoolArray
    is_capped: BoolArray
    is_floored: BoolArray


def middle_days_kwh(history_kwh: FloatArray, *, n_drop: int = 1, n_ranked: int | None = None) -> FloatArray:
    """Average the eligible days left once the highest and the lowest are dropped.

    Args:
        history_kwh: (n_row, n_day, n_period) energy drawn in the event window, finite, oldest day first.
        n_drop: days dropped at each end, ranked per row by the window's total; 1 of 10 days is mid 8-in-10.
        n_ranked: rank on the first ``n_ranked`` periods only; the rest follow the same days (adjustment window).

    Returns:
        (n_row, n_period) baseline energy in kWh.

    Raises:
        TooFewEligibleDays: n_day <= 2 * n_drop.

    Source: docs/methods/baseline.md
    """
    n_day = history_kwh.shape[1]
    if n_day <= 2 * n_drop:
        raise TooFewEligibleDays(f"the rule needs more than {2 * n_drop} eligible days, found {n_day}", n_day=n_day)
    # Stable: equal totals rank by recency, so a re-run settles the same money.
    by_total = np.argsort(history_kwh[:, :, :n_ranked].sum(axis=2), axis=1, kind="stable")
    kept = by_total[:, n_drop : n_day - n_drop, np.newaxis]
    baseline_kwh: FloatArray = np.take_along_axis(history_kwh, kept, axis=1).mean(axis=1)
    return baseline_kwh


def same_day_adjustment_kwh(metered_kwh: FloatArray, unadjusted_kwh: FloatArray, *, min_periods: int = 1) -> FloatArray:
    """Average how far the day of the event runs above its unadjusted baseline in the window.

    Args:
        metered_kwh: (n_row, n_window) energy metered in the window; NaN is a missing read.
        unadjusted_kwh: (n_row, n_window) unadjusted baseline of the window.
        min_periods: at least this many half-hours must have both.

    Returns:
        (n_row,) energy to add to every event period, in kWh; NaN where too few half-hours were read.

    Source: docs/methods/baseline.md
    """
    above_kwh = metered_kwh - unadjusted_kwh
    n_present = np.sum(~np.isnan(above_kwh), axis=1)
    mean_kwh = np.nansum(above_kwh, axis=1) / np.maximum(n_present, 1)
    adjustment_kwh: FloatArray = np.where(n_present >= max(min_periods, 1), mean_kwh, np.nan)
    return adjustment_kwh


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
    raw = same_day_adjustment_kwh(
        to_quanta(history.adjustment_metered_kwh), window, min_periods=rule.min_adjustment_periods
    )
    is_adjusted = ~np.isnan(raw) | (rule.adjustment_periods == 0)
    wanted = np.nan_to_num(raw, nan=0.0)
    adjustment = _capped(wanted, unadjusted, rule.adjustment_cap_share)
    adjusted = nearest_quanta(unadjusted + adjustment[:, np.newaxis])
    is_floored = (adjusted < 0) & rule.floor_at_zero
    return EventBaseline(
        unadjusted_kwh=from_quanta(nearest_quanta(unadjusted)),
        adjustment_kwh=from_quanta(nearest_quanta(adjustment)),
        baseline_kwh=from_quanta(np.where(is_floored, 0.0, adjusted)),
        n_days=n_days,
        is_adjusted=is_adjusted,
        is_capped=adjustment != wanted,
        is_floored=is_floored,
    )


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
            n_days=rule.n_days(working=is_working),
            lookback_days=rule.lookback_days,
        )
        # A date that holds only window periods has no event energy to rank by; it ranks on the window's.
        n_event = len(block.event)
        means = _means_of_chosen(
            energy, chosen, n_drop=rule.n_drop(working=is_working), n_ranked=n_event or energy.shape[2]
        )
        event_means[:, block.event] = means[:, :n_event]
        window_means[:, block.window] = means[:, n_event:]
        n_days[:, block.event] = chosen.sum(axis=1)[:, np.newaxis]
    return event_means, window_means, n_days


def _means_of_chosen(energy: FloatArray, chosen: BoolArray, *, n_drop: int, n_ranked: int) -> FloatArray:
    """(n_row, n_period) mean of each row's middle days; NaN for a row with too few."""
    n_found = chosen.sum(axis=1)
    means = np.full((energy.shape[0], energy.shape[2]), np.nan)
    for n_day in np.unique(n_found[n_found > 2 * n_drop]).tolist():
        rows = np.flatnonzero(n_found == n_day)
        days = np.nonzero(chosen[rows])[1].reshape(len(rows), n_day)
        means[rows] = middle_days_kwh(energy[rows[:, np.newaxis], days], n_drop=n_drop, n_ranked=n_ranked)
    return means


def _capped(adjustment: FloatArray, unadjusted: FloatArray, cap_share: float | None) -> FloatArray:
    if cap_share is None:
        return adjustment
    n_known = np.maximum(np.sum(~np.isnan(unadjusted), axis=1), 1)
    largest = cap_share * np.abs(np.nansum(unadjusted, axis=1) / n_known)
    capped: FloatArray = np.clip(adjustment, -largest, largest)
    return capped
