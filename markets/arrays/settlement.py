"""What a settlement reads: portfolios, their history, and what was metered."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from aggregator.arrays.calendar import bank_holidays
from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.network import load_area
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.meter_energy import MeterEnergy
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray
from aggregator.models import Organisation
from dispatch.models import DispatchRun, Setpoint, TargetSignal
from markets.core.baseline import BaselineHistory, BaselineRule
from markets.core.history import adjustment_starts, candidate_days, local_dates, same_local_time
from markets.core.portfolio import portfolio_kwh, read_throughout
from markets.models import FlexEvent, Instruction

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Portfolios:
    """The DSRSPs with EVSEs in an event's zone when it starts, by code.

    Attributes:
        organisations: (n_unit,) who is settled.
        evse_pks, meter_pks: (n_evse,).
        unit: (n_evse,) index of each EVSE's DSRSP.
    """

    organisations: tuple[Organisation, ...]
    evse_pks: IntArray
    meter_pks: IntArray
    unit: IntArray

    @property
    def unit_ids(self) -> tuple[str, ...]:
        return tuple(organisation.code for organisation in self.organisations)

    @property
    def n_unit(self) -> int:
        return len(self.organisations)


@dataclass(frozen=True, slots=True)
class PortfolioReadings:
    """History and event of each portfolio.

    Attributes:
        history: for the baseline.
        metered_kwh: (n_unit, n_period) of the meters read throughout the event; NaN where a unit has none.
        n_left_out: (n_unit,) meters with a gap in the event, left out of history and event alike.
    """

    history: BaselineHistory
    metered_kwh: FloatArray
    n_left_out: IntArray


def event_grid(signal: TargetSignal) -> TimeGrid:
    """The settlement periods of a request's window."""
    return TimeGrid(signal.starts_at, (signal.ends_at - signal.starts_at) // SETTLEMENT_PERIOD)


def load_portfolios(*, event: FlexEvent) -> Portfolios:
    """Load who takes part in an event: every EVSE under its node, with the DSRSP it is enrolled with at the start."""
    signal = event.signal
    area = load_area(root=signal.node, starts_at=signal.starts_at, ends_at=signal.ends_at)
    fleet = load_fleet(area=area, at=signal.starts_at)
    organisations = sorted(
        Organisation.objects.filter(pk__in=set(fleet.dsrsp_pks.tolist())), key=lambda organisation: organisation.code
    )
    index = {organisation.pk: at for at, organisation in enumerate(organisations)}
    unit = np.array([index[pk] for pk in fleet.dsrsp_pks.tolist()], dtype=np.int64)
    return Portfolios(tuple(organisations), fleet.evse_pks, fleet.meter_pks, unit)


def load_portfolio_readings(
    *, event: FlexEvent, portfolios: Portfolios, rule: BaselineRule, as_of: datetime, with_event: bool = True
) -> PortfolioReadings:
    """Load what was known at ``as_of`` of the portfolios' meters, in the event and on the days before it.

    Args:
        with_event: False before the event: there is nothing metered yet, and every meter counts.
    """
    grid = event_grid(event.signal)
    starts = grid.period_starts()
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    days = candidate_days(starts, window, lookback_days=rule.lookback_days)
    energy = load_energy_kwh(
        meter_pks=portfolios.meter_pks,
        first_day=days[0] - ONE_DAY,
        last_day=grid.ends_at.date(),
        as_of=as_of,
    )
    event_kwh = _at(energy, starts)
    counts = read_throughout(event_kwh) if with_event else np.ones(len(event_kwh), dtype=np.bool_)
    totals = _Totals(energy, portfolios, counts, event.product.min_meters_share)
    history = BaselineHistory(
        row_ids=portfolios.unit_ids,
        grid=grid,
        days=days,
        holidays=frozenset(bank_holidays(days[0], grid.ends_at.astimezone(LONDON).date())),
        is_event_day=_event_days(event, portfolios, days),
        event_kwh=totals.by_day([same_local_time(starts, day) for day in days]),
        adjustment_kwh=totals.by_day([same_local_time(window, day) for day in days]),
        adjustment_metered_kwh=totals.at(window),
    )
    n_left_out = np.bincount(portfolios.unit[~counts], minlength=portfolios.n_unit)
    return PortfolioReadings(history, totals.at(starts), n_left_out)


def load_instructions(*, event: FlexEvent, run: DispatchRun, portfolios: Portfolios) -> FloatArray:
    """(n_unit, n_period) kW instructed under a run; 0 for a DSRSP that was told nothing.

    What an event that crosses noon has beyond the run's charging day is as the newest run of that day instructed it.
    """
    unit_of = {organisation.pk: unit for unit, organisation in enumerate(portfolios.organisations)}
    of_area = Instruction.objects.across_tenants().filter(event=event, run__area=run.area_id)
    by_day = {
        (instruction.organisation_id, instruction.run.charging_day): instruction.instructed_kw
        for instruction in of_area.select_related("run").order_by("run__created_at", "run")
        if instruction.run.charging_day != run.charging_day or instruction.run_id == run.pk
    }
    instructed_kw = np.zeros((portfolios.n_unit, event_grid(event.signal).n_period))
    for (organisation_pk, _), day_kw in by_day.items():
        if organisation_pk in unit_of:
            instructed_kw[unit_of[organisation_pk]] += day_kw  # 0 in each period of another charging day
    return instructed_kw


@dataclass(frozen=True, slots=True)
class _Totals:
    """Portfolio sums of one load of meters."""

    energy: MeterEnergy
    portfolios: Portfolios
    counts: BoolArray
    min_share: float

    def at(self, instants: TimeArray) -> FloatArray:
        """(n_unit, n_instant) kWh."""
        values = _at(self.energy, instants)[self.counts]
        unit = self.portfolios.unit[self.counts]
        return portfolio_kwh(values, unit, n_unit=self.portfolios.n_unit, min_share=self.min_share)

    def by_day(self, instants: list[TimeArray]) -> FloatArray:
        """(n_unit, n_day, n_instant) kWh."""
        flat = self.at(np.concatenate(instants))
        return flat.reshape(self.portfolios.n_unit, len(instants), -1)


def _at(energy: MeterEnergy, instants: TimeArray) -> FloatArray:
    """(n_meter, n_instant) energy of the half-hours that start at these instants; all lie in the days loaded."""
    first = np.datetime64(energy.first_day, "s")
    period = ((instants - first) // np.timedelta64(1800, "s")).astype(np.int64)
    values: FloatArray = energy.energy_kwh.reshape(len(energy.energy_kwh), energy.n_day * PERIODS_A_DAY)[:, period]
    return values


def _event_days(event: FlexEvent, portfolios: Portfolios, days: tuple[date, ...]) -> BoolArray:
    """(n_unit, n_day) local days on which the portfolio was called before, whatever the zone; a night has two."""
    index = {organisation.pk: at for at, organisation in enumerate(portfolios.organisations)}
    earlier = Instruction.objects.across_tenants().filter(organisation__in=index).exclude(event=event)
    called = np.zeros((portfolios.n_unit, len(days)), dtype=np.bool_)
    for instruction in earlier.select_related("event__signal"):
        for day in set(local_dates(event_grid(instruction.event.signal).period_starts())) & set(days):
            called[index[instruction.organisation_id], days.index(day)] = True
    return called


def load_planned_kw(*, event: FlexEvent, run: DispatchRun, portfolios: Portfolios) -> FloatArray:
    """(n_unit, n_period) sum of a run's setpoints in the event, by portfolio: what may be drawn at most.

    NaN in periods of another charging day, of which the run says nothing.
    """
    grid = event_grid(event.signal)
    at_run = np.arange(grid.n_period) + (grid.starts_at - run.starts_at) // SETTLEMENT_PERIOD
    is_planned = (at_run >= 0) & (at_run < run.n_period)
    unit_of = dict(zip(portfolios.evse_pks.tolist(), portfolios.unit.tolist(), strict=True))
    planned_kw = np.where(is_planned, np.zeros((portfolios.n_unit, grid.n_period)), np.nan)
    setpoints = Setpoint.objects.across_tenants().filter(run=run, evse__in=unit_of)
    for evse_pk, ampere_kw, setpoint_a in setpoints.values_list("evse_id", "ampere_kw", "setpoint_a"):
        planned_kw[unit_of[evse_pk], is_planned] += np.array(setpoint_a)[at_run[is_planned]] * ampere_kw
    return planned_kw
