"""What every baseline method says of days on which nothing was asked, against what was metered.

On such a day the right baseline is the metered energy, so each method's error can be read off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, time

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray
from markets.core.baseline import BaselineHistory
from markets.core.baseline_gaming import departure
from markets.core.baseline_given import ControlGroup, ControlGroupRule
from markets.core.baseline_methods import METHODS, BaselineFacts, Rule, baseline_kwh, history_rule
from markets.core.gaming_findings import LIKE_DAYS, like_days
from markets.core.history import adjustment_starts
from markets.core.lab_fleet import LabDay, LabFleet, Level, lab_grid
from markets.core.portfolio import portfolio_kwh

LEVELS: tuple[Level, ...] = ("fleet", "evse")
UNTESTED = ("nomination",)  # nobody nominated anything for a day without an event
N_BIN = 10
TESTED = tuple(name for name in METHODS if name not in UNTESTED)


class TooFewLabDays(FlexError):
    code = "baseline.too_few_lab_days"


@dataclass(frozen=True, slots=True)
class MethodScore:
    """One method against what was metered; powers are means of a half-hour, per EVSE.

    Attributes:
        method: name in ``METHODS``.
        level: baselines of single EVSEs, or of the fleet's sum.
        n_compared: half-hours with a baseline and a reading; ``n_without`` that had no baseline.
        metered_kw: mean of what was metered.
        bias_kw: mean of baseline minus metered: above 0 would have paid for nothing in a turn-down.
        rmse_kw: root of the mean square of it.
        low_kw, high_kw: a tenth of the differences lie below ``low_kw``, a tenth above ``high_kw``.
    """

    method: str
    level: Level
    n_compared: int
    n_without: int
    metered_kw: float
    bias_kw: float
    rmse_kw: float
    low_kw: float
    high_kw: float

    @property
    def bias_share(self) -> float | None:
        """Bias as a share of what was metered; None where that was nothing."""
        return self.bias_kw / self.metered_kw if self.metered_kw > 0 else None

    @property
    def rmse_share(self) -> float | None:
        return self.rmse_kw / self.metered_kw if self.metered_kw > 0 else None


@dataclass(frozen=True, slots=True)
class ZeroDays:
    """How many of an EVSE's like days have no energy at all in the event's half-hours.

    Attributes:
        mean_share: of all EVSEs, tested days and like days.
        low_share, median_share, high_share: a tenth of the EVSEs lie below ``low_share``, half below the median, a
            tenth above ``high_share``.
        mostly_zero_share: pairs of EVSE and day with more than half of the like days at zero.
        metered_zero_share: pairs of EVSE and tested day on which nothing was metered.
        n_evse_by_share: (10,) EVSEs by their share of zero days: 0 to 10 %, … 90 to 100 %.
    """

    mean_share: float
    low_share: float
    median_share: float
    high_share: float
    mostly_zero_share: float
    metered_zero_share: float
    n_evse_by_share: IntArray


@dataclass(frozen=True, slots=True)
class FlagRate:
    """Flags of the gaming test on days without an event: every one of them is a false alarm."""

    level: Level
    alpha: float
    n_tested: int
    n_flagged: int

    @property
    def rate(self) -> float | None:
        return self.n_flagged / self.n_tested if self.n_tested else None


@dataclass(frozen=True, slots=True)
class LabResult:
    """Everything of one laboratory.

    Attributes:
        days: days tested; ``n_evse`` in the fleet, of which ``n_evse_tested`` were baselined one by one.
        scores: both levels of every method that can be tested, fleet first.
        flags: false alarms at both levels.
    """

    days: tuple[date, ...]
    n_evse: int
    n_evse_tested: int
    scores: tuple[MethodScore, ...]
    zero_days: ZeroDays
    flags: tuple[FlagRate, ...]


def run_lab(
    fleet: LabFleet,
    *,
    days: Sequence[date],
    starts: time,
    n_period: int,
    methods: Sequence[str] = TESTED,
    n_sample: int = 300,
    min_meters_share: float = 0.8,
    alpha: float = 0.01,
) -> LabResult:
    """Make the baseline of an event on each of these days by every method, and compare it with what was metered.

    Args:
        days: days without an event, ascending.
        starts: London clock time of the event's first half-hour.
        methods: names in ``METHODS``, with their standard parameters.
        n_sample: EVSEs baselined one by one, evenly spread over the ids; the fleet's sum is always of all.
        min_meters_share: share of the meters read, for a half-hour of the fleet to count (``portfolio_kwh``).

    Raises:
        TooFewLabDays: there is no day.

    Source: docs/methods/baseline.md
    """
    if not days:
        raise TooFewLabDays("a laboratory needs a day without an event, found none")
    sample = np.unique(np.linspace(0, len(fleet.evse_ids) - 1, min(n_sample, len(fleet.evse_ids))).round().astype(int))
    tests = [LabDay(fleet, lab_grid(day, starts=starts, n_period=n_period), sample, min_meters_share) for day in days]
    rules = {name: METHODS[name].rule for name in methods}
    scores = [_score(name, level, rule, tests) for level in LEVELS for name, rule in rules.items()]
    return LabResult(
        days=tuple(days),
        n_evse=len(fleet.evse_ids),
        n_evse_tested=len(sample),
        scores=tuple(scores),
        zero_days=_zero_days(tests),
        flags=tuple(_flag_rate(level, tests, alpha) for level in LEVELS),
    )


def _compared(tested: LabDay, level: Level, rule: Rule) -> tuple[FloatArray, FloatArray, IntArray]:
    """(n_row, n_period) baseline and metered energy, and (n_row,) EVSEs of each row."""
    if isinstance(rule, ControlGroupRule):
        return _against_control(tested, level, rule)
    history, n_evse = tested.history(level, history_rule(rule)), tested.n_evse(level)
    facts = BaselineFacts(n_evse=n_evse, rated_kw=tested.rated_kw(level))
    return baseline_kwh(rule, history, facts).baseline_kwh, tested.metered_kwh(level), n_evse


def _against_control(tested: LabDay, level: Level, rule: ControlGroupRule) -> tuple[FloatArray, FloatArray, IntArray]:
    """One EVSE against all others; of a fleet, every second EVSE against the rest (both halves would cancel)."""
    asked = history_rule(rule)
    history = tested.history(level, asked)
    event, window = (
        tested.grid.period_starts(),
        adjustment_starts(
            tested.grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
        ),
    )
    treated = np.arange(len(tested.fleet.evse_ids)) % 2 == 0
    if level == "evse":
        n_evse = np.ones(len(tested.sample), dtype=np.int64)
        n_control = np.full(len(tested.sample), len(treated) - 1)
        metered = tested.metered_kwh(level)
        control = ControlGroup(n_control, _others(tested, event), _others(tested, window))
    else:
        n_evse, n_control = np.array([treated.sum()]), np.array([(~treated).sum()])
        metered = _sum_of(tested, event, treated)
        control = ControlGroup(n_control, _sum_of(tested, event, ~treated), _sum_of(tested, window, ~treated))
        history = replace(history, adjustment_metered_kwh=_sum_of(tested, window, treated))
    return baseline_kwh(rule, history, BaselineFacts(n_evse=n_evse, control=control)).baseline_kwh, metered, n_evse


def _others(tested: LabDay, instants: TimeArray) -> FloatArray:
    """(n_sample, n_instant) energy of all EVSEs but the row's own, scaled up to those that were not read."""
    energy = tested.fleet.at(instants)
    is_read = ~np.isnan(energy)
    total, n_read = np.nansum(energy, axis=0), is_read.sum(axis=0)
    own, own_read = np.nan_to_num(energy[tested.sample]), is_read[tested.sample]
    n_others = n_read - own_read
    scale = (len(energy) - 1) / np.maximum(n_others, 1)
    others: FloatArray = np.where(n_others > 0, (total - own) * scale, np.nan)
    return others


def _sum_of(tested: LabDay, instants: TimeArray, chosen: BoolArray) -> FloatArray:
    """(1, n_instant) energy of the chosen EVSEs; NaN with none."""
    unit = np.zeros(int(chosen.sum()), dtype=np.int64)
    return portfolio_kwh(tested.fleet.at(instants)[chosen], unit, n_unit=1, min_share=tested.min_share)


def _score(name: str, level: Level, rule: Rule, tests: Sequence[LabDay]) -> MethodScore:
    errors, metered_kw, n_without = [], [], 0
    for tested in tests:
        expected_kwh, metered_kwh, n_evse = _compared(tested, level, rule)
        to_kw = 1.0 / (n_evse[:, np.newaxis] * tested.grid.step_h)
        has_both = ~np.isnan(expected_kwh) & ~np.isnan(metered_kwh)
        errors.append(((expected_kwh - metered_kwh) * to_kw)[has_both])
        metered_kw.append((metered_kwh * to_kw)[has_both])
        n_without += int((np.isnan(expected_kwh) & ~np.isnan(metered_kwh)).sum())
    error_kw, metered = np.concatenate(errors), np.concatenate(metered_kw)
    if len(error_kw) == 0:
        nan = float("nan")
        return MethodScore(name, level, 0, n_without, nan, nan, nan, nan, nan)
    low_kw, high_kw = np.quantile(error_kw, [0.1, 0.9]).tolist()
    return MethodScore(
        method=name,
        level=level,
        n_compared=len(error_kw),
        n_without=n_without,
        metered_kw=float(metered.mean()),
        bias_kw=float(error_kw.mean()),
        rmse_kw=float(np.sqrt((error_kw**2).mean())),
        low_kw=low_kw,
        high_kw=high_kw,
    )


def _like_days(tested: LabDay, level: Level) -> tuple[BaselineHistory, BoolArray]:
    """History of a row, and (n_row, n_day) its most recent like days."""
    history = tested.history(level, LIKE_DAYS)
    return history, like_days(history)


def _zero_days(tests: Sequence[LabDay]) -> ZeroDays:
    n_like, n_zero, metered_zero = [], [], []
    for tested in tests:
        history, chosen = _like_days(tested, "evse")
        n_like.append(chosen.sum(axis=1))
        n_zero.append((chosen & (history.event_kwh.sum(axis=2) == 0)).sum(axis=1))
        metered = tested.metered_kwh("evse").sum(axis=1)
        metered_zero.append(metered[~np.isnan(metered)] == 0)
    like, zero = np.array(n_like, dtype=float), np.array(n_zero, dtype=float)
    has_days = like.sum(axis=0) > 0
    share = zero.sum(axis=0)[has_days] / like.sum(axis=0)[has_days]
    if len(share) == 0:
        raise TooFewLabDays("no EVSE has a like day: its history is too short, or was not read")
    low, median, high = np.quantile(share, [0.1, 0.5, 0.9]).tolist()
    pairs = like > 0
    counts, _ = np.histogram(share, bins=N_BIN, range=(0.0, 1.0))
    return ZeroDays(
        mean_share=float(zero.sum() / like.sum()),
        low_share=low,
        median_share=median,
        high_share=high,
        mostly_zero_share=float((zero[pairs] / like[pairs] > 0.5).mean()),
        metered_zero_share=float(np.concatenate(metered_zero).mean()),
        n_evse_by_share=counts.astype(np.int64),
    )


def _flag_rate(level: Level, tests: Sequence[LabDay], alpha: float) -> FlagRate:
    n_tested = n_flagged = 0
    for tested in tests:
        history, chosen = _like_days(tested, level)
        like_kwh = np.where(chosen, history.adjustment_kwh.sum(axis=2), np.nan)
        found = departure(history.adjustment_metered_kwh.sum(axis=1), like_kwh, direction="turn_down", alpha=alpha)
        n_tested += int((~np.isnan(found.t)).sum())
        n_flagged += int(found.is_flagged.sum())
    return FlagRate(level, alpha, n_tested, n_flagged)
