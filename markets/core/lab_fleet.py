"""A fleet's readings, and of each day without an event the histories a baseline is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Literal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import TimeGrid, utc
from aggregator.core.types import FloatArray, IntArray, StrArray, TimeArray
from markets.core.baseline import BaselineHistory, BaselineRule
from markets.core.history import adjustment_starts, candidate_days, is_clock_change_day, same_local_time
from markets.core.portfolio import portfolio_kwh

Level = Literal["fleet", "evse"]
HALF_HOUR = np.timedelta64(1800, "s")


class InvalidLab(FlexError):
    code = "baseline.invalid_lab"


@dataclass(frozen=True, slots=True)
class LabFleet:
    """A fleet's readings, as far back as the first tested day's history reaches.

    Attributes:
        evse_ids: (n_evse,) unique, ascending.
        rated_kw: (n_evse,).
        starts_at: start of the first half-hour, ``datetime64[s]`` UTC.
        energy_kwh: (n_evse, n_half_hour) consecutive half-hours; NaN is a missing read.
        called: local days on which the fleet was called: no history, and not tested.
        holidays: England's public holidays.

    Raises:
        InvalidLab: shapes that do not fit, ids that are not unique and ascending.
    """

    evse_ids: StrArray
    rated_kw: FloatArray
    starts_at: np.datetime64
    energy_kwh: FloatArray
    called: frozenset[date]
    holidays: frozenset[date]

    def __post_init__(self) -> None:
        n_evse = len(self.evse_ids)
        if self.rated_kw.shape != (n_evse,) or self.energy_kwh.ndim != 2 or len(self.energy_kwh) != n_evse:
            raise InvalidLab(f"{n_evse} EVSEs need as many ratings and rows of energy")
        if n_evse == 0 or not bool(np.all(self.evse_ids[1:] > self.evse_ids[:-1])):
            raise InvalidLab("evse_ids must be unique and ascending, and one at least")

    def at(self, instants: TimeArray) -> FloatArray:
        """(n_evse, n_instant) energy of the half-hours that start then; NaN outside of what was loaded."""
        index = ((instants - self.starts_at) // HALF_HOUR).astype(np.int64)
        is_inside = (index >= 0) & (index < self.energy_kwh.shape[1])
        found: FloatArray = np.where(is_inside, self.energy_kwh[:, np.where(is_inside, index, 0)], np.nan)
        return found


def lab_grid(day: date, *, starts: time, n_period: int) -> TimeGrid:
    """The half-hours an event of a day would have had."""
    return TimeGrid(utc(day, starts), n_period)


def lab_days(first: date, last: date, *, called: frozenset[date]) -> tuple[date, ...]:
    """Days from ``first`` to ``last``, both included, that may be tested: not called, and 48 half-hours long."""
    span = [date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)]
    return tuple(day for day in span if day not in called and not is_clock_change_day(day))


class LabDay:
    """One tested day of a fleet: the histories methods ask for, each made once."""

    def __init__(self, fleet: LabFleet, grid: TimeGrid, sample: IntArray, min_share: float) -> None:
        self.fleet, self.grid, self.sample, self.min_share = fleet, grid, sample, min_share
        self._histories: dict[tuple[Level, int, int, int], BaselineHistory] = {}

    def history(self, level: Level, rule: BaselineRule) -> BaselineHistory:
        key = (level, rule.lookback_days, rule.adjustment_periods, rule.adjustment_gap_periods)
        if key not in self._histories:
            self._histories[key] = self._load(level, rule)
        return self._histories[key]

    def metered_kwh(self, level: Level) -> FloatArray:
        """(n_row, n_period)."""
        return self._rows(level, self.grid.period_starts())

    def n_evse(self, level: Level) -> IntArray:
        """(n_row,) EVSEs of each row."""
        return np.array([len(self.fleet.evse_ids)]) if level == "fleet" else np.ones(len(self.sample), dtype=np.int64)

    def rated_kw(self, level: Level) -> FloatArray:
        rated_kw = self.fleet.rated_kw
        return rated_kw.sum(keepdims=True) if level == "fleet" else rated_kw[self.sample]

    def _load(self, level: Level, rule: BaselineRule) -> BaselineHistory:
        starts = self.grid.period_starts()
        window = adjustment_starts(
            self.grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
        )
        days = candidate_days(starts, window, lookback_days=rule.lookback_days)
        n_row = 1 if level == "fleet" else len(self.sample)
        return BaselineHistory(
            row_ids=("fleet",) if level == "fleet" else tuple(self.fleet.evse_ids[self.sample].tolist()),
            grid=self.grid,
            days=days,
            holidays=self.fleet.holidays,
            is_event_day=np.tile([day in self.fleet.called for day in days], (n_row, 1)),
            event_kwh=self._by_day(level, starts, days),
            adjustment_kwh=self._by_day(level, window, days),
            adjustment_metered_kwh=self._rows(level, window),
        )

    def _by_day(self, level: Level, instants: TimeArray, days: Sequence[date]) -> FloatArray:
        """(n_row, n_day, n_instant) kWh."""
        if len(instants) == 0 or not days:
            return np.zeros((1 if level == "fleet" else len(self.sample), len(days), len(instants)))
        flat = self._rows(level, np.concatenate([same_local_time(instants, day) for day in days]))
        return flat.reshape(len(flat), len(days), len(instants))

    def _rows(self, level: Level, instants: TimeArray) -> FloatArray:
        if level == "evse":
            return self.fleet.at(instants)[self.sample]
        unit = np.zeros(len(self.fleet.evse_ids), dtype=np.int64)
        return portfolio_kwh(self.fleet.at(instants), unit, n_unit=1, min_share=self.min_share)
