"""Availability of EVSEs on a charging day: climatology of what was known, nothing later."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np

from aggregator.core.climatology import LEVEL_NONE, Record, VisitQuantiles
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.intervals import to_datetime64
from aggregator.core.local_clock import (
    N_CLOCK_PERIOD,
    ChargingDays,
    DayTypes,
    charging_date,
    charging_days,
    clock_period,
    grid_position,
)
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
COUNT_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NOON_CLOCK_PERIOD = 24


class InvalidAvailabilityInput(FlexError):
    code = "availability.invalid_input"


@dataclass(frozen=True, slots=True)
class PlanningRule:
    """Which part of the forecast a plan is made for, and how much history it rests on.

    Attributes:
        plug_in_quantile, plug_out_quantile: the planning window runs between these two.
        energy_quantile: the energy planned for.
        min_probability: an EVSE less likely than this to plug in gets no planned session.
        min_sessions: visits of that day type an EVSE (or group) needs before its own quantiles are used.
        history_days: charging days looked back from the one forecast.
        prior_days: days of its group's record that are mixed into an EVSE's own probability and presence.

    Raises:
        InvalidAvailabilityInput: a quantile or probability outside 0 to 1, or a count below 1.

    Source: docs/methods/availability.md, where the defaults were measured
    """

    plug_in_quantile: float = 0.25
    plug_out_quantile: float = 0.75
    energy_quantile: float = 0.75
    min_probability: float = 0.1
    min_sessions: int = 6
    history_days: int = 84
    prior_days: float = 10.0

    def __post_init__(self) -> None:
        for name in ("plug_in_quantile", "plug_out_quantile", "energy_quantile", "min_probability"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidAvailabilityInput(f"{name} is {value}, expected 0 to 1", field=name, value=value)
        if self.min_sessions < 1 or self.history_days < 1 or not self.prior_days > 0:
            raise InvalidAvailabilityInput(
                f"min_sessions, history_days and prior_days must be above 0, found {self.min_sessions}, "
                f"{self.history_days}, {self.prior_days}"
            )

    def quantiles(self) -> FloatArray:
        """The three planned for: plug-in, plug-out, energy."""
        return np.array([self.plug_in_quantile, self.plug_out_quantile, self.energy_quantile])


@dataclass(frozen=True, slots=True)
class AvailabilityForecast:
    """What to expect of each EVSE and group on one charging day.

    Attributes:
        evse_ids: (n_evse,).
        grid: the charging day, 46, 48 or 50 half-hours.
        probability: (n_evse,) of plugging in on that day.
        level: (n_evse,) whose quantiles these are: LEVEL_OWN, LEVEL_GROUP, LEVEL_ALL or LEVEL_NONE.
        plug_in_h, plug_out_h, energy_kwh: (n_evse, n_quantile) at ``QUANTILES``, clock hours past London noon and
            kWh; NaN at LEVEL_NONE.
        plug_in_period, plug_out_period: (n_evse, n_quantile) the same as the period of ``grid`` that contains the
            plug-in, and the one after the last that is touched before the plug-out; -1 at LEVEL_NONE.
        is_planned: (n_evse,) likely enough, and a window of at least one whole period.
        window_start, window_end: (n_evse,) half-open planning window on ``grid``; 0, 0 where not planned.
        window_energy_kwh: (n_evse,) energy to plan for; 0 where not planned.
        plugged_in_share: (n_evse, n_period) expected share of the period the EVSE has a vehicle plugged in.
        plugged_in_count: (n_group, n_quantile, n_period) vehicles plugged in, at ``COUNT_QUANTILES``.
        findings: what the forecast had to do without.
    """

    evse_ids: StrArray
    grid: TimeGrid
    probability: FloatArray
    level: IntArray
    plug_in_h: FloatArray
    plug_out_h: FloatArray
    energy_kwh: FloatArray
    plug_in_period: IntArray
    plug_out_period: IntArray
    is_planned: BoolArray
    window_start: IntArray
    window_end: IntArray
    window_energy_kwh: FloatArray
    plugged_in_share: FloatArray
    plugged_in_count: FloatArray
    findings: tuple[FindingNote, ...] = field(default=())


def forecast_availability(
    history: SessionHistory,
    *,
    evse_groups: IntArray,
    grid: TimeGrid,
    day_types: DayTypes,
    as_of: datetime,
    rule: PlanningRule | None = None,
    observed_from: TimeArray | None = None,
) -> AvailabilityForecast:
    """Forecast a charging day from the sessions known at ``as_of``; later rows influence nothing.

    Args:
        evse_groups: (n_evse,) group of each EVSE, 0 to n_group - 1.
        grid: ``timegrid.charging_day`` of the day to forecast.
        day_types: covers the day itself and ``rule.history_days`` before it.
        observed_from: (n_evse,) ``datetime64[D]`` first charging day on which the EVSE could have been seen, e.g. its
            enrolment; its first known session's day when absent.

    Raises:
        InvalidAvailabilityInput: shapes differ, or a negative group.
        NotAChargingDay: the grid is no charging day.
        DayTypeUnknown: ``day_types`` is too short.

    Source: docs/methods/availability.md
    """
    rule = rule or PlanningRule()
    day = charging_date(grid)
    _check_groups(history, evse_groups, observed_from)
    known = history.known(as_of)
    days = _complete_days(day, as_of, rule.history_days)
    is_working = bool(day_types.of(np.array([day], dtype="datetime64[D]"))[0])
    is_like = day_types.of(days.dates()) == is_working
    record = Record.gather(known, days, is_like, evse_groups, observed_from)
    shown = record.quantiles(np.array(QUANTILES), rule.min_sessions)
    probability = record.probability(rule.prior_days)
    windows = _Windows.plan(record.quantiles(rule.quantiles(), rule.min_sessions), grid, probability, rule)
    clock = (clock_period(grid) - NOON_CLOCK_PERIOD) % N_CLOCK_PERIOD
    return AvailabilityForecast(
        evse_ids=history.evse_ids,
        grid=grid,
        probability=probability,
        level=shown.level,
        plug_in_h=shown.in_h,
        plug_out_h=shown.out_h,
        energy_kwh=shown.energy_kwh,
        plug_in_period=_as_period(np.floor(grid_position(shown.in_h, grid, "first")), grid.n_period - 1),
        plug_out_period=_as_period(np.ceil(grid_position(shown.out_h, grid, "last")), grid.n_period),
        is_planned=windows.is_planned,
        window_start=windows.start,
        window_end=windows.end,
        window_energy_kwh=windows.energy_kwh,
        plugged_in_share=record.presence(rule.prior_days)[:, clock],
        plugged_in_count=record.counts(np.array(COUNT_QUANTILES))[:, :, clock],
        findings=_remarks(day, int(is_like.sum()), shown.level),
    )


@dataclass(frozen=True, slots=True)
class _Windows:
    is_planned: BoolArray
    start: IntArray
    end: IntArray
    energy_kwh: FloatArray

    @classmethod
    def plan(cls, visits: VisitQuantiles, grid: TimeGrid, probability: FloatArray, rule: PlanningRule) -> "_Windows":
        energy_kwh = visits.energy_kwh[:, 2]
        # Whole periods only: the vehicle is there for all of each.
        start = _as_period(np.ceil(grid_position(visits.in_h[:, 0], grid, "first")), grid.n_period)
        end = _as_period(np.floor(grid_position(visits.out_h[:, 1], grid, "last")), grid.n_period)
        is_planned = (probability >= rule.min_probability) & (end > start) & (energy_kwh > 0)
        return cls(
            is_planned,
            np.where(is_planned, start, 0),
            np.where(is_planned, end, 0),
            np.where(is_planned, energy_kwh, 0.0),
        )


def _as_period(position: FloatArray, last: int) -> IntArray:
    period: IntArray = np.where(np.isnan(position), -1, np.clip(np.nan_to_num(position), 0, last)).astype(np.int64)
    return period


def _complete_days(day: date, as_of: datetime, history_days: int) -> ChargingDays:
    """The charging days before ``day`` that had ended at ``as_of``."""
    days = charging_days(day - timedelta(days=history_days), history_days)
    n_over = int((days.noon_at[1:] <= to_datetime64(as_of)).sum())
    return ChargingDays(days.first_day, days.noon_at[: n_over + 1])


def _check_groups(history: SessionHistory, evse_groups: IntArray, observed_from: TimeArray | None) -> None:
    n_evse = len(history.evse_ids)
    if evse_groups.shape != (n_evse,) or (evse_groups < 0).any():
        raise InvalidAvailabilityInput(
            f"evse_groups has shape {evse_groups.shape} and minimum {evse_groups.min(initial=0)}, "
            f"expected ({n_evse},) and 0 or more"
        )
    if observed_from is not None and observed_from.shape != (n_evse,):
        raise InvalidAvailabilityInput(f"observed_from has shape {observed_from.shape}, expected ({n_evse},)")


def _remarks(day: date, n_like_day: int, level: IntArray) -> tuple[FindingNote, ...]:
    n_none = int((level == LEVEL_NONE).sum())
    if not n_none:
        return ()
    return (
        FindingNote(
            "availability.no_history",
            day.isoformat(),
            f"{n_none} EVSEs have no forecast: no session is known on any of {n_like_day} like days",
            details={"n_evse": n_none, "n_like_day": n_like_day},
        ),
    )
