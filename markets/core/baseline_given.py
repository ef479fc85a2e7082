"""Baselines that come from no past days: nominated, nothing, all an asset can draw, a reference, a control group."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, get_args

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.local_clock import clock_period
from aggregator.core.timegrid import TimeGrid, utc
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray
from markets.core.baseline import BaselineLevel, InvalidBaselineRule
from markets.core.history import local_dates

LateNomination = Literal["previous", "ineligible"]
ControlForm = Literal["difference", "ratio"]
CLOCK_PERIODS = 48


class InvalidNominations(FlexError):
    code = "baseline.invalid_nominations"


class InvalidControlGroup(FlexError):
    code = "baseline.invalid_control_group"


@dataclass(frozen=True, slots=True)
class NominationRule:
    """What was submitted before a deadline is the baseline.

    Attributes:
        deadline: London clock time; what comes at that instant is late.
        days_before: the deadline is on this many days before the settlement date of each half-hour.
        late: after a late nomination the last one in time stands, or the half-hour has no baseline.

    Source: docs/methods/baseline.md
    """

    name: str = "nomination"
    version: str = "1"
    deadline: time = time(12)
    days_before: int = 1
    late: LateNomination = "previous"
    level: BaselineLevel = "portfolio"

    def __post_init__(self) -> None:
        if self.days_before < 0 or self.late not in get_args(LateNomination):
            raise InvalidBaselineRule(
                f"{self.name}: the deadline is 0 or more days before, late previous or ineligible"
            )


@dataclass(frozen=True, slots=True)
class ZeroRule:
    """Nothing would have been drawn."""

    name: str = "zero"
    version: str = "1"
    level: BaselineLevel = "portfolio"


@dataclass(frozen=True, slots=True)
class AssetCapacityRule:
    """All the row's EVSEs would have drawn their rated power."""

    name: str = "asset-capacity"
    version: str = "1"
    level: BaselineLevel = "portfolio"


@dataclass(frozen=True, slots=True)
class FixedReferenceRule:
    """Each EVSE would have drawn a reference power.

    Attributes:
        reference_kw: per EVSE: one value, or 48 by the London clock's half-hours.
    """

    name: str = "fixed-reference"
    version: str = "1"
    reference_kw: tuple[float, ...] = (0.83,)
    level: BaselineLevel = "portfolio"

    def __post_init__(self) -> None:
        if len(self.reference_kw) not in (1, CLOCK_PERIODS) or not np.isfinite(self.reference_kw).all():
            raise InvalidBaselineRule(
                f"{self.name}: reference_kw is 1 or {CLOCK_PERIODS} finite powers, found {len(self.reference_kw)}"
            )


@dataclass(frozen=True, slots=True)
class ControlGroupRule:
    """The row would have drawn what EVSEs drew that were not called, corrected for how it differed before.

    Attributes:
        form: add the difference of the window before, or multiply by its ratio.
        min_evses: with fewer of the group's EVSEs read there is no baseline; no rule found states a number.
        adjustment_periods, adjustment_gap_periods, min_adjustment_periods: as in ``BaselineRule``.
    """

    name: str = "control-group-difference"
    version: str = "1"
    form: ControlForm = "difference"
    adjustment_periods: int = 6
    adjustment_gap_periods: int = 2
    min_adjustment_periods: int = 3
    floor_at_zero: bool = True
    level: BaselineLevel = "portfolio"
    min_evses: int = 10

    def __post_init__(self) -> None:
        if self.min_evses < 1:
            raise InvalidBaselineRule(f"{self.name}: min_evses is {self.min_evses}, expected 1 or more")
        if self.form not in get_args(ControlForm) or self.adjustment_gap_periods < 0:
            raise InvalidBaselineRule(f"{self.name}: form is difference or ratio, the gap not negative")
        if not 1 <= self.min_adjustment_periods <= self.adjustment_periods:
            raise InvalidBaselineRule(f"{self.name}: a control group is compared on one half-hour at least")


@dataclass(frozen=True, slots=True)
class Nominations:
    """What was submitted for one event, in any order.

    Attributes:
        ids: (n_nomination,) unique; of two submitted at one instant the higher id counts as the later.
        row: (n_nomination,) index of the baselined row.
        submitted_at: (n_nomination,) ``datetime64[us]`` UTC.
        energy_kwh: (n_nomination, n_period) NaN where it says nothing of a half-hour.

    Raises:
        InvalidNominations: shapes that do not fit, repeated ids, infinite energy.
    """

    ids: tuple[str, ...]
    row: IntArray
    submitted_at: TimeArray
    energy_kwh: FloatArray

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.row.shape != (n,) or self.submitted_at.shape != (n,) or self.energy_kwh.shape[:1] != (n,):
            raise InvalidNominations(f"{n} nominations need as many rows, times and energies")
        if len(set(self.ids)) != n:
            raise InvalidNominations(f"ids must be unique, found {n - len(set(self.ids))} repeated")
        if np.isinf(self.energy_kwh).any():
            raise InvalidNominations("energy_kwh holds infinite energy", field="energy_kwh")


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """What each row is compared with.

    Attributes:
        n_evse: (n_row,) EVSEs in the control group of each row.
        event_kwh: (n_row, n_period) energy of that group in the event; NaN is a missing read.
        window_kwh: (n_row, n_window) its energy in the window before.
        n_held_out: (n_row,) EVSEs kept out of the event, of which those that were not read are not in ``n_evse``; None
            where nobody was kept out on purpose.

    Raises:
        InvalidControlGroup: shapes that do not fit, fewer than 0 EVSEs, infinite energy.
    """

    n_evse: IntArray
    event_kwh: FloatArray
    window_kwh: FloatArray
    n_held_out: IntArray | None = None

    def __post_init__(self) -> None:
        n_row = len(self.n_evse)
        if self.event_kwh.shape[:1] != (n_row,) or self.window_kwh.shape[:1] != (n_row,):
            raise InvalidControlGroup(f"{n_row} control groups need as many rows of energy")
        if (self.n_evse < 0).any() or np.isinf(self.event_kwh).any() or np.isinf(self.window_kwh).any():
            raise InvalidControlGroup("a control group has 0 or more EVSEs and finite energy")


def nomination_deadline(day: date, rule: NominationRule) -> datetime:
    """UTC instant at which a nomination for a settlement date comes too late.

    Source: docs/methods/baseline.md
    """
    return utc(day - timedelta(days=rule.days_before), rule.deadline)


def nominated_kwh(
    nominations: Nominations, rule: NominationRule, *, grid: TimeGrid, n_row: int
) -> tuple[FloatArray, BoolArray]:
    """Take, for each row and half-hour, the last nomination in time.

    Returns:
        (n_row, n_period) kWh, NaN where there is none; and whether one came late for that half-hour.

    Source: docs/methods/baseline.md
    """
    deadline = _deadlines(local_dates(grid.period_starts()), rule)
    order = np.lexsort((np.array(nominations.ids, dtype=np.str_), nominations.submitted_at))
    row, energy = nominations.row[order], nominations.energy_kwh[order]
    speaks = ~np.isnan(energy)
    in_time = nominations.submitted_at[order][:, np.newaxis] < deadline
    newest = np.full((n_row, grid.n_period), -1)
    np.maximum.at(newest, row, np.where(speaks & in_time, np.arange(len(order))[:, np.newaxis], -1))
    is_late = np.zeros((n_row, grid.n_period), dtype=np.bool_)
    np.logical_or.at(is_late, row, speaks & ~in_time)
    has_one = newest >= 0
    if rule.late == "ineligible":
        has_one &= ~is_late
    nominated = np.full((n_row, grid.n_period), np.nan)
    at_row, at_period = np.nonzero(has_one)
    nominated[at_row, at_period] = energy[newest[at_row, at_period], at_period]
    return nominated, is_late


def reference_kwh(n_evse: IntArray, rule: FixedReferenceRule, *, grid: TimeGrid) -> FloatArray:
    """(n_row, n_period) energy of ``n_evse`` (n_row,) EVSEs at the reference power.

    Source: docs/methods/baseline.md
    """
    by_period = np.array(rule.reference_kw)[clock_period(grid) % len(rule.reference_kw)]
    energy_kwh: FloatArray = n_evse[:, np.newaxis] * by_period * grid.step_h
    return energy_kwh


def control_group_kwh(
    control: ControlGroup, treated_window_kwh: FloatArray, n_evse: IntArray, rule: ControlGroupRule
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scale each row's control group to the row's EVSEs, and compare the two in the window before the event.

    Args:
        treated_window_kwh: (n_row, n_window) energy of the rows that are called; NaN is a missing read.
        n_evse: (n_row,) their EVSEs.

    Returns:
        (n_row, n_period) scaled control group; (n_row,) difference of a half-hour and (n_row,) ratio of the window,
        NaN where too few half-hours have both, and the ratio also where the control group drew nothing.

    Source: docs/methods/baseline.md
    """
    scale = np.where(control.n_evse > 0, n_evse / np.maximum(control.n_evse, 1), np.nan)[:, np.newaxis]
    scaled_window = control.window_kwh * scale
    has_both = ~np.isnan(treated_window_kwh) & ~np.isnan(scaled_window)
    n_both = has_both.sum(axis=1)
    treated = np.where(has_both, treated_window_kwh, 0.0).sum(axis=1)
    compared = np.where(has_both, scaled_window, 0.0).sum(axis=1)
    enough = n_both >= rule.min_adjustment_periods
    difference: FloatArray = np.where(enough, (treated - compared) / np.maximum(n_both, 1), np.nan)
    divides = enough & (compared > 0)
    ratio: FloatArray = np.where(divides, treated / np.where(divides, compared, 1.0), np.nan)
    return control.event_kwh * scale, difference, ratio


def _deadlines(days: tuple[date, ...], rule: NominationRule) -> TimeArray:
    """(n_period,) ``datetime64[us]`` UTC deadline of each half-hour."""
    deadline_of = {day: nomination_deadline(day, rule).replace(tzinfo=None) for day in set(days)}
    at: list[datetime] = [deadline_of[day] for day in days]
    return np.array(at, dtype="datetime64[us]")
