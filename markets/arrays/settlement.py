"""What a settlement reads: portfolios, their history, and what was metered."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from django.db.models import F

from aggregator.arrays.calendar import bank_holidays
from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.network import load_area
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.meter_energy import MeterEnergy
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD, TimeGrid, utc
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray
from aggregator.models import Organisation
from dispatch.models import DispatchRun, Setpoint, TargetSignal
from markets.arrays.control_groups import NOBODY, HeldOut, load_held_out, spared_evses
from markets.core.baseline import BaselineHistory, BaselineRule
from markets.core.baseline_methods import METHODS
from markets.core.evse_baseline import event_table, evse_volume
from markets.core.evse_volume import EvseVolume, as_quanta
from markets.core.history import adjustment_starts, candidate_days, same_local_time
from markets.core.portfolio import portfolio_kwh, read_throughout
from markets.models import FlexEvent, FlexOrder, Instruction, InstructionStop, Product

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Portfolios:
    """The DSRSPs with EVSEs in an event's zone when it starts, by code.

    Attributes:
        organisations: (n_unit,) who is settled.
        evse_pks, meter_pks: (n_evse,) of those the event calls on: no EVSE of a control group is among them.
        unit: (n_evse,) index of each EVSE's DSRSP.
        held_out: the DSRSPs' control groups.
    """

    organisations: tuple[Organisation, ...]
    evse_pks: IntArray
    meter_pks: IntArray
    unit: IntArray
    held_out: HeldOut = NOBODY

    @property
    def unit_ids(self) -> tuple[str, ...]:
        return tuple(organisation.code for organisation in self.organisations)

    @property
    def n_unit(self) -> int:
        return len(self.organisations)

    @property
    def read_meter_pks(self) -> IntArray:
        """(n_meter,) every meter a settlement reads, ascending."""
        return np.union1d(self.meter_pks, self.held_out.meter_pks)


@dataclass(frozen=True, slots=True)
class PortfolioReadings:
    """History and event of each portfolio.

    Attributes:
        history: for the baseline.
        metered_kwh: (n_unit, n_period) of the meters read throughout the event; NaN where a unit has none.
        n_left_out: (n_unit,) meters with a gap in the event, left out of history and event alike.
        evses: what each EVSE would have drawn and drew, in the portfolios' order; None before the event.
    """

    history: BaselineHistory
    metered_kwh: FloatArray
    n_left_out: IntArray
    evses: EvseVolume | None = None


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event's portfolios and readings, read beforehand, with the portfolios' digest."""

    portfolios: Portfolios
    portfolio_sha256: str
    readings: PortfolioReadings


def event_grid(signal: TargetSignal) -> TimeGrid:
    """The settlement periods of a request's window."""
    return TimeGrid(signal.starts_at, (signal.ends_at - signal.starts_at) // SETTLEMENT_PERIOD)


def load_portfolios(*, event: FlexEvent, of_zone: bool = False) -> Portfolios:
    """Load who takes part in an event: the EVSEs under its node, with the DSRSP each is enrolled with at the start.

    Where one DSRSP is called alone, its EVSEs; with ``of_zone`` everybody's there all the same. EVSEs that its request
    spares take no part: they are whom the others are compared with.
    """
    signal = event.signal
    area = load_area(root=signal.node, starts_at=signal.starts_at, ends_at=signal.ends_at)
    fleet = load_fleet(area=area, at=signal.starts_at)
    spared_pks, called_pk = spared_evses(event=event), called_alone(event)
    takes_part = ~np.isin(fleet.evse_pks, spared_pks)
    if called_pk is not None and not of_zone:
        takes_part &= fleet.dsrsp_pks == called_pk
    dsrsp_pks = fleet.dsrsp_pks[takes_part].tolist()
    organisations = sorted(
        Organisation.objects.filter(pk__in=set(dsrsp_pks)), key=lambda organisation: organisation.code
    )
    index = {organisation.pk: at for at, organisation in enumerate(organisations)}
    unit = np.array([index[pk] for pk in dsrsp_pks], dtype=np.int64)
    held_out = load_held_out(evse_pks=spared_pks, unit_of=index, zone_pks=fleet.evse_pks, at=signal.starts_at)
    return Portfolios(tuple(organisations), fleet.evse_pks[takes_part], fleet.meter_pks[takes_part], unit, held_out)


def called_alone(event: FlexEvent) -> int | None:
    """Key of the DSRSP an event calls alone, by its order or by itself; None where it calls everybody in the zone."""
    order = order_of(event)
    return order.organisation_id if order else event.dsrsp_id


def order_of(event: FlexEvent) -> FlexOrder | None:
    """The order an event dispatches: then its DSRSP alone takes part, with the power ordered."""
    return FlexOrder.objects.across_tenants().filter(event=event.pk).first() if event.pk else None


def portfolio_sha256(portfolios: Portfolios) -> str:
    """Digest of who takes part, and of who is kept out: each EVSE with its meter and its DSRSP, in any order."""
    codes = portfolios.unit_ids
    who = zip(portfolios.evse_pks.tolist(), portfolios.meter_pks.tolist(), portfolios.unit.tolist(), strict=True)
    cells = sorted(f"{evse} {meter} {codes[unit]}" for evse, meter, unit in who)
    of_control = portfolios.held_out
    held_out = zip(of_control.evse_pks.tolist(), of_control.meter_pks.tolist(), of_control.unit.tolist(), strict=True)
    cells += sorted(f"control {evse} {meter} {codes[unit]}" for evse, meter, unit in held_out)
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()


def read_event(*, event: FlexEvent, rule: BaselineRule, as_of: datetime) -> ReadEvent:
    """Read who took part in an event that is over, and what was known at ``as_of`` of their meters."""
    portfolios = load_portfolios(event=event)
    readings = load_portfolio_readings(event=event, portfolios=portfolios, rule=rule, as_of=as_of)
    return ReadEvent(portfolios, portfolio_sha256(portfolios), readings)


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
    event_kwh = energy_at(energy, starts)
    counts = read_throughout(event_kwh) if with_event else np.ones(len(event_kwh), dtype=np.bool_)
    totals = _Totals(energy, portfolios, counts, event.product.min_meters_share)
    history = BaselineHistory(
        row_ids=portfolios.unit_ids,
        grid=grid,
        days=days,
        holidays=frozenset(bank_holidays(days[0], grid.ends_at.astimezone(LONDON).date())),
        is_event_day=load_event_days(event, portfolios, days),
        event_kwh=totals.by_day([same_local_time(starts, day) for day in days]),
        adjustment_kwh=totals.by_day([same_local_time(window, day) for day in days]),
        adjustment_metered_kwh=totals.at(window),
    )
    n_left_out = np.bincount(portfolios.unit[~counts], minlength=portfolios.n_unit)
    evses = _evses(event, portfolios, energy, history, rule) if with_event else None
    return PortfolioReadings(history, totals.at(starts), n_left_out, evses)


def _evses(
    event: FlexEvent, portfolios: Portfolios, energy: MeterEnergy, history: BaselineHistory, rule: BaselineRule
) -> EvseVolume:
    quanta = as_quanta(energy.energy_kwh.reshape(len(portfolios.meter_pks), -1))
    table = event_table(
        history.grid,
        rule,
        holidays=history.holidays,
        first_day=energy.first_day,
        n_half_hour=quanta.shape[1],
        has_own_baseline=has_own_baseline(event.product),
    )
    return evse_volume(quanta, unit=portfolios.unit, is_event_day=history.is_event_day, table=table)


def has_own_baseline(product: Product) -> bool:
    """Whether an EVSE's own history gives a baseline under a product: where the method is made of past days."""
    method = METHODS.get(product.baseline_method)
    return method is None or method.is_historical


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


def load_stops(*, event: FlexEvent, portfolios: Portfolios, as_of: datetime) -> TimeArray:
    """(n_unit,) ``datetime64[s]`` UTC when each DSRSP's instruction was stopped, as known then; NaT where it was not.

    A stop holds whichever run the DSRSP was instructed under; of several the earliest counts.
    """
    unit_of = {organisation.pk: unit for unit, organisation in enumerate(portfolios.organisations)}
    stopped_at = np.full(portfolios.n_unit, np.datetime64("NaT"), dtype="datetime64[s]")
    known = InstructionStop.objects.across_tenants().filter(
        instruction__event=event, organisation__in=unit_of, recorded_at__lte=as_of
    )
    for organisation_pk, at in known.order_by("-stopped_at").values_list("organisation_id", "stopped_at"):
        stopped_at[unit_of[organisation_pk]] = np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "s")
    return stopped_at


@dataclass(frozen=True, slots=True)
class _Totals:
    """Portfolio sums of one load of meters."""

    energy: MeterEnergy
    portfolios: Portfolios
    counts: BoolArray
    min_share: float

    def at(self, instants: TimeArray) -> FloatArray:
        """(n_unit, n_instant) kWh."""
        values = energy_at(self.energy, instants)[self.counts]
        unit = self.portfolios.unit[self.counts]
        return portfolio_kwh(values, unit, n_unit=self.portfolios.n_unit, min_share=self.min_share)

    def by_day(self, instants: list[TimeArray]) -> FloatArray:
        """(n_unit, n_day, n_instant) kWh."""
        flat = self.at(np.concatenate(instants))
        return flat.reshape(self.portfolios.n_unit, len(instants), -1)


def energy_at(energy: MeterEnergy, instants: TimeArray) -> FloatArray:
    """(n_meter, n_instant) energy of the half-hours that start at these instants; all lie in the days loaded."""
    first = np.datetime64(energy.first_day, "s")
    period = ((instants - first) // np.timedelta64(1800, "s")).astype(np.int64)
    values: FloatArray = energy.energy_kwh.reshape(len(energy.energy_kwh), energy.n_day * PERIODS_A_DAY)[:, period]
    return values


def load_event_days(event: FlexEvent, portfolios: Portfolios, days: tuple[date, ...]) -> BoolArray:
    """(n_unit, n_day) local days on which the portfolio was called before, whatever the zone; a night has two."""
    index = {organisation.pk: at for at, organisation in enumerate(portfolios.organisations)}
    place = {day: at for at, day in enumerate(days)}
    called = np.zeros((portfolios.n_unit, len(days)), dtype=np.bool_)
    if not place:
        return called
    # A month calls a portfolio hundreds of times: only windows that touch the days asked are read, each once.
    earlier = Instruction.objects.across_tenants().filter(
        organisation__in=index,
        event__signal__starts_at__lt=utc(max(place) + timedelta(days=1), time(0)),
        event__signal__ends_at__gt=utc(min(place), time(0)),
    )
    earlier = earlier.exclude(event=event.pk)
    earlier = earlier.exclude(stops__stopped_at__lte=F("event__signal__starts_at"))  # cancelled: it never was
    windows = earlier.values_list("organisation", "event__signal__starts_at", "event__signal__ends_at").distinct()
    for organisation_pk, starts_at, ends_at in windows:
        day = starts_at.astimezone(LONDON).date()
        while day <= (ends_at - SETTLEMENT_PERIOD).astimezone(LONDON).date():
            if day in place:
                called[index[organisation_pk], place[day]] = True
            day += timedelta(days=1)
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
