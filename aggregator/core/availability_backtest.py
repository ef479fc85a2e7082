"""How good the availability forecast would have been, day by day, knowing only what was known."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from aggregator.core.availability import (
    COUNT_QUANTILES,
    QUANTILES,
    AvailabilityForecast,
    PlanningRule,
    forecast_availability,
)
from aggregator.core.climatology import day_visits
from aggregator.core.intervals import periods_from_start, split_by_period
from aggregator.core.local_clock import N_CLOCK_PERIOD, ChargingDays, DayTypes, clock_period
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import charging_day
from aggregator.core.types import BoolArray, FloatArray, IntArray
from aggregator.core.virtual_evse import deliver


@dataclass(frozen=True, slots=True)
class BacktestScores:
    """Scores over all days tested.

    Attributes:
        n_day, n_visit: charging days tested; visits with a forecast on them.
        brier, brier_constant: mean squared error of the probability of plugging in, and of always saying the mean.
        coverage: (3, n_quantile) share of visits at or below each of ``QUANTILES``: plug-in, plug-out, energy.
        pinball: (3, n_quantile) mean pinball loss, in hours, hours and kWh.
        count_coverage, count_pinball: (n_count_quantile,) the same for vehicles plugged in per group and period.
        asked_kwh: what the real sessions could have taken on their own.
        in_window_kwh: of that, what fits into the planning windows at the rating.
        planned_kwh: energy planned for.
        served_kwh: what the real sessions would take if each planned energy were put into the cheapest periods of its
            window, at the rating, and nothing but the spare ceiling were allowed beside.
    """

    n_day: int
    n_visit: int
    brier: float
    brier_constant: float
    coverage: FloatArray
    pinball: FloatArray
    count_coverage: FloatArray
    count_pinball: FloatArray
    asked_kwh: float
    in_window_kwh: float
    planned_kwh: float
    served_kwh: float

    @property
    def window_share(self) -> float:
        return self.in_window_kwh / self.asked_kwh

    @property
    def served_share(self) -> float:
        return self.served_kwh / self.asked_kwh

    @property
    def reserved_ratio(self) -> float:
        """Energy planned for every kWh asked."""
        return self.planned_kwh / self.asked_kwh


@dataclass(frozen=True, slots=True)
class _DayScores:
    """One day's contribution: sums that can be added up."""

    n_visit: int
    n_active: int
    n_in: int
    brier_sum: float
    at_or_below: FloatArray
    pinball_sum: FloatArray
    n_count: int
    count_at_or_below: FloatArray
    count_pinball_sum: FloatArray
    energy_kwh: FloatArray  # asked, in the windows, planned, served


def pinball_loss(actual: FloatArray, forecast: FloatArray, quantiles: FloatArray) -> FloatArray:
    """(n, n_quantile) loss of (n, n_quantile) quantile forecasts of (n,) outcomes."""
    short = actual[:, np.newaxis] - forecast
    loss: FloatArray = np.maximum(quantiles * short, (quantiles - 1) * short)
    return loss


def backtest(
    history: SessionHistory,
    *,
    evse_groups: IntArray,
    days: ChargingDays,
    day_types: DayTypes,
    rated_kw: FloatArray,
    merit: FloatArray,
    spare_kw: FloatArray | None = None,
    rule: PlanningRule | None = None,
    lead: timedelta = timedelta(hours=18),
) -> BacktestScores:
    """Forecast each of ``days`` as it would have been at ``lead`` before its noon, and score it against what came.

    An EVSE counts from its first session to its last: afterwards it has left the record, not stayed away.

    Args:
        rated_kw: (n_evse,).
        merit: (48,) order in which planned energy fills a window, lowest first, by London clock period from midnight;
            a day's prices, say.
        spare_kw: (48,) ceiling every EVSE has beside its plan, by London clock period from midnight; none if absent.
    """
    scores = [
        _score_day(
            history,
            index=index,
            evse_groups=evse_groups,
            days=days,
            day_types=day_types,
            rated_kw=rated_kw,
            merit=merit,
            spare_kw=np.zeros(N_CLOCK_PERIOD) if spare_kw is None else spare_kw,
            rule=rule or PlanningRule(),
            lead=lead,
        )
        for index in range(days.n_day)
    ]
    n_visit, n_active = sum(score.n_visit for score in scores), sum(score.n_active for score in scores)
    n_count, in_share = sum(score.n_count for score in scores), sum(score.n_in for score in scores) / n_active
    asked, in_window, planned, served = np.sum([score.energy_kwh for score in scores], axis=0).tolist()
    return BacktestScores(
        n_day=days.n_day,
        n_visit=n_visit,
        brier=sum(score.brier_sum for score in scores) / n_active,
        brier_constant=in_share * (1 - in_share),
        coverage=np.sum([score.at_or_below for score in scores], axis=0) / n_visit,
        pinball=np.sum([score.pinball_sum for score in scores], axis=0) / n_visit,
        count_coverage=np.sum([score.count_at_or_below for score in scores], axis=0) / n_count,
        count_pinball=np.sum([score.count_pinball_sum for score in scores], axis=0) / n_count,
        asked_kwh=asked,
        in_window_kwh=in_window,
        planned_kwh=planned,
        served_kwh=served,
    )


def _score_day(
    history: SessionHistory,
    *,
    index: int,
    evse_groups: IntArray,
    days: ChargingDays,
    day_types: DayTypes,
    rated_kw: FloatArray,
    merit: FloatArray,
    spare_kw: FloatArray,
    rule: PlanningRule,
    lead: timedelta,
) -> _DayScores:
    grid = charging_day(days.first_day + timedelta(days=index))
    forecast = forecast_availability(
        history, evse_groups=evse_groups, grid=grid, day_types=day_types, as_of=grid.starts_at - lead, rule=rule
    )
    today = ChargingDays(days.first_day + timedelta(days=index), days.noon_at[index : index + 2])
    actual = history.select(today.index_of(history.plug_in_at) == 0)
    active = _active(history, today)
    visits = day_visits(actual, today)
    came = np.zeros(len(history.evse_ids), dtype=np.bool_)
    came[visits.evse] = True
    seen = ~np.isnan(forecast.plug_in_h[visits.evse, 0])
    outcomes = np.stack([visits.in_h, visits.out_h, visits.energy_kwh])[:, seen]
    told = np.stack([forecast.plug_in_h, forecast.plug_out_h, forecast.energy_kwh])[:, visits.evse[seen]]
    losses = [pinball_loss(outcomes[row], told[row], np.array(QUANTILES)).sum(axis=0) for row in range(3)]
    counted = _count_plugged_in(actual, evse_groups, forecast)
    scale = np.bincount(evse_groups, weights=active) / np.bincount(evse_groups)
    told_count = (forecast.plugged_in_count * scale[:, np.newaxis, np.newaxis]).transpose(0, 2, 1)
    is_counted = np.repeat(scale > 0, grid.n_period)
    counted, told_count = counted.ravel()[is_counted], told_count.reshape(-1, len(COUNT_QUANTILES))[is_counted]
    return _DayScores(
        n_visit=int(seen.sum()),
        n_active=int(active.sum()),
        n_in=int((came & active).sum()),
        brier_sum=float(((forecast.probability - came)[active] ** 2).sum()),
        at_or_below=(outcomes[:, :, np.newaxis] <= told).sum(axis=1),
        pinball_sum=np.stack(losses),
        n_count=len(counted),
        count_at_or_below=(counted[:, np.newaxis] <= told_count + 1e-9).sum(axis=0),
        count_pinball_sum=pinball_loss(counted, told_count, np.array(COUNT_QUANTILES)).sum(axis=0),
        energy_kwh=_energies_kwh(actual, forecast, active, rated_kw, merit, spare_kw),
    )


def _active(history: SessionHistory, today: ChargingDays) -> BoolArray:
    """(n_evse,) first session before today's noon, last one not before it."""
    n_evse = len(history.evse_ids)
    seconds = history.plug_in_at.view(np.int64)
    first, last = np.full(n_evse, np.iinfo(np.int64).max), np.full(n_evse, np.iinfo(np.int64).min)
    np.minimum.at(first, history.evse, seconds)
    np.maximum.at(last, history.evse, seconds)
    noon = today.noon_at[0].astype(np.int64)
    active: BoolArray = (first < noon) & (last >= noon)
    return active


def _count_plugged_in(actual: SessionHistory, groups: IntArray, forecast: AvailabilityForecast) -> FloatArray:
    """(n_group, n_period) vehicles plugged in, mean over each period."""
    grid = forecast.grid
    starts, ends = periods_from_start(actual.plug_in_at, grid), periods_from_start(actual.plug_out_at, grid)
    pieces = split_by_period(starts, ends, grid.n_period)
    counted = np.zeros((len(forecast.plugged_in_count), grid.n_period))
    np.add.at(counted, (groups[actual.evse[pieces.row]], pieces.period), pieces.share)
    return counted


def _energies_kwh(
    actual: SessionHistory,
    forecast: AvailabilityForecast,
    active: BoolArray,
    rated_kw: FloatArray,
    merit: FloatArray,
    spare_kw: FloatArray,
) -> FloatArray:
    """(4,) asked, inside the windows, planned, served."""
    grid = forecast.grid
    period = np.arange(grid.n_period)
    rating = rated_kw[actual.evse]
    in_window = (period >= forecast.window_start[:, np.newaxis]) & (period < forecast.window_end[:, np.newaxis])
    room_kwh = in_window.sum(axis=1) * rated_kw * grid.step_h
    planned_kwh = np.where(active, np.minimum(forecast.window_energy_kwh, room_kwh), 0.0)
    full_kw = np.where(in_window, rated_kw[:, np.newaxis], 0.0)
    within = deliver(actual, setpoint_kw=full_kw, rated_kw=rating, grid=grid)
    cheapest = np.argsort(merit[clock_period(grid)], kind="stable")
    filled_kwh = np.cumsum(full_kw[:, cheapest] * grid.step_h, axis=1)
    by_rank = np.diff(np.minimum(filled_kwh, planned_kwh[:, np.newaxis]), axis=1, prepend=0.0) / grid.step_h
    setpoint_kw = np.zeros_like(full_kw)
    setpoint_kw[:, cheapest] = by_rank
    setpoint_kw = np.maximum(setpoint_kw, spare_kw[clock_period(grid)])
    served = deliver(actual, setpoint_kw=setpoint_kw, rated_kw=rating, grid=grid)
    totals = (served.asked_kwh, within.delivered_kwh, planned_kwh, served.delivered_kwh)
    return np.array([total.sum() for total in totals])
