"""Dispatch an area for a charging day: load what was known, solve, check, store. What is stored is in force."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import TypeAlias

import numpy as np
from django.db import transaction

from aggregator.arrays.background import load_measured_demand
from aggregator.arrays.calendar import day_types
from aggregator.arrays.findings import store_findings
from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.forecasts import load_forecast_sessions
from aggregator.arrays.network import find_node, load_area
from aggregator.arrays.prices import find_tariff, load_carbon_gco2_per_kwh, load_prices_gbp_per_kwh
from aggregator.core.align import NOWHERE, index_of
from aggregator.core.background import forecast_background
from aggregator.core.behaviour import Behaviour
from aggregator.core.digest import digest
from aggregator.core.diversity import override_reserve_kw
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.fleet import Fleet, ForecastSessions
from aggregator.core.gap_fill import PeriodValues
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import BoolArray, FloatArray, Int16Array, IntArray
from aggregator.models import AvailabilityForecast, Organisation
from aggregator.services.turns import take_turn
from dispatch.arrays.runs import HeldBack, newest_run, store_run
from dispatch.arrays.shortfall import load_past_shortfall
from dispatch.arrays.targets import load_signals, load_spared
from dispatch.core.assemble import Assembled, RunParameters, assemble_problem, request_window
from dispatch.core.fairness import PastShortfall
from dispatch.core.portable import problem_to_arrays
from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchPlan, DispatchProblem, FlexRequest
from dispatch.core.solve import solve
from dispatch.core.spare import FleetCeilings, fleet_problem, node_links, offer_spare, open_periods, valley_kw
from dispatch.core.spared import Spared, solve_sparing
from dispatch.models import DispatchRun, TargetSignal
from dispatch.services.run_log import record_run, refuse_above_cap

logger = logging.getLogger(__name__)

Solver: TypeAlias = Callable[..., DispatchPlan]

METHOD = "day-ahead-5"  # part of every run's fingerprint: a changed method is a new run of the same facts
SHORT_KWH = 1e-3  # less is nobody's loss


class NoForecast(FlexError):
    code = "dispatch.no_forecast"


class NothingDispatched(FlexError):
    code = "dispatch.nothing_dispatched"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything a run reads, once."""

    grid: TimeGrid
    area: NetworkArea
    fleet: Fleet
    sessions: ForecastSessions
    held_back: HeldBack
    price_gbp_per_kwh: FloatArray
    carbon_gco2_per_kwh: FloatArray
    signals: tuple[TargetSignal, ...]
    spared: Spared
    past: PastShortfall
    findings: tuple[FindingNote, ...]


def run_dispatch(
    *,
    forecast: AvailabilityForecast,
    as_of: datetime,
    tariff_code: str,
    parameters: RunParameters | None = None,
    solver: Solver = solve,
) -> DispatchRun:
    """Dispatch every DSRSP's fleet of the forecast's area in one run, under every limit and request.

    The same inputs again give the stored run back. A plan that fails the independent check is an error and nothing
    is stored, so the last run stays in force.

    Args:
        solver: ``solve``, or what answers as it does: ``solve_in_parts`` with workers.

    Raises:
        UnknownTariff, NothingToFillFrom: no such tariff, or no price of it was known at ``as_of``.
        AreaAboveCap: the area's EVSEs add up to more than may be controlled.
        CheckFailed: a bug; the plan broke a limit.
    """
    parameters = parameters or RunParameters()
    facts = load_facts(forecast=forecast, as_of=as_of, tariff_code=tariff_code, parameters=parameters)
    refuse_above_cap(area=forecast.area, fleet=facts.fleet)
    assembled = assemble(facts, parameters)
    input_sha256 = _fingerprint(assembled, facts, parameters)
    same = DispatchRun.objects.filter(area=forecast.area, charging_day=forecast.charging_day, input_sha256=input_sha256)
    if known := same.first():
        logger.info("read %s: run %s has these inputs already, wrote nothing", _inputs(assembled), known.pk)
        return known
    plan = solve_sparing(
        assembled.problem,
        facts.spared.of(assembled.evse),
        solver=solver,
        method=parameters.method,
        gap=parameters.gap,
        time_limit_s=parameters.time_limit_s,
    )
    ceilings = _with_spare(facts, assembled, plan, parameters)
    with transaction.atomic():
        take_turn("dispatch", forecast.area_id, forecast.charging_day)
        if stored_meanwhile := same.first():
            return stored_meanwhile
        run = store_run(
            run=_header(forecast, as_of, facts, stored_parameters(parameters, tariff_code), plan, input_sha256),
            plan=plan,
            ceilings=ceilings,
            assembled=assembled,
            area=facts.area,
            fleet=facts.fleet,
            held_back=facts.held_back,
            signals=facts.signals,
        )
        _store_findings(run, facts, assembled, plan)
        record_run(run=run, n_evse=facts.fleet.n_evse, signals=facts.signals)
    logger.info(
        "read %s; wrote run %s of %s: setpoints of %d EVSEs, cost %.2f GBP, gap %.1e, %s",
        _inputs(assembled),
        run.pk,
        forecast.charging_day,
        facts.fleet.n_evse,
        plan.cost_gbp,
        plan.gap,
        plan.rung,
    )
    return run


def _inputs(assembled: Assembled) -> str:
    problem = assembled.problem
    return (
        f"{problem.n_session} planned sessions, {problem.n_node} nodes, {problem.n_request} requests and prices of "
        f"{problem.n_period} periods"
    )


def run_in_force(*, area_code: str, day: date) -> DispatchRun:
    """The newest stored run of an area and charging day.

    Raises:
        UnknownNode: no node has this code.
        NothingDispatched: no run was stored.
    """
    run = newest_run(area_pk=find_node(area_code).pk, charging_day=day)
    if run is None:
        raise NothingDispatched(f"nothing was dispatched in {area_code} for {day}", area=area_code, day=str(day))
    return run


def newest_forecast(*, area_code: str, day: date, as_of: datetime) -> AvailabilityForecast:
    """The newest forecast of an area and charging day that was made of what was known at ``as_of``.

    Raises:
        UnknownNode: no node has this code.
        NoForecast: none was stored.
    """
    forecasts = AvailabilityForecast.objects.filter(area=find_node(area_code), charging_day=day, as_of__lte=as_of)
    forecast = forecasts.order_by("-as_of", "-pk").first()
    if forecast is None:
        raise NoForecast(f"{area_code} was not forecast for {day} by {as_of.isoformat()}", area=area_code, day=str(day))
    return forecast


def load_facts(
    *, forecast: AvailabilityForecast, as_of: datetime, tariff_code: str, parameters: RunParameters
) -> RunFacts:
    """Load what a run of this forecast reads, as it was known at ``as_of``."""
    grid = TimeGrid(forecast.starts_at, forecast.n_period)
    area = load_area(root=forecast.area, starts_at=grid.starts_at, ends_at=grid.ends_at)
    fleet = load_fleet(area=area, at=grid.starts_at)
    sessions = load_forecast_sessions(forecast=forecast)
    background_kw, background_notes = _background(area, grid, as_of, parameters)
    reserve_kw = _reserve(area, fleet, sessions, grid, parameters, min_probability(forecast))
    price = load_prices_gbp_per_kwh(tariff=find_tariff(tariff_code), grid=grid, as_of=as_of)
    carbon = _carbon(grid, as_of, parameters)
    signals = load_signals(area=area, grid=grid, as_of=as_of)
    return RunFacts(
        grid=grid,
        area=area,
        fleet=fleet,
        sessions=sessions,
        held_back=HeldBack(background_kw, reserve_kw),
        price_gbp_per_kwh=price.values,
        carbon_gco2_per_kwh=carbon.values,
        signals=signals,
        spared=load_spared(signals=signals, evse_pks=fleet.evse_pks),
        past=load_past_shortfall(
            area_pk=forecast.area_id,
            fleet=fleet,
            day=forecast.charging_day,
            n_day=parameters.fairness_days,
            as_of=as_of,
        ),
        findings=(*background_notes, *price.findings, *carbon.findings),
    )


def _carbon(grid: TimeGrid, as_of: datetime, parameters: RunParameters) -> PeriodValues:
    """Carbon intensity where a run gives it a weight; without one nothing needs to be known of it."""
    if parameters.carbon_gbp_per_tonne == 0:
        return PeriodValues(np.zeros(grid.n_period), np.zeros(grid.n_period, dtype=np.bool_), ())
    return load_carbon_gco2_per_kwh(grid=grid, as_of=as_of)


def min_probability(forecast: AvailabilityForecast) -> float:
    """What an EVSE without a planned session may at most have had as its chance of plugging in."""
    return float(forecast.rule["min_probability"])


def _background(
    area: NetworkArea, grid: TimeGrid, as_of: datetime, parameters: RunParameters
) -> tuple[FloatArray, Sequence[FindingNote]]:
    last_day = as_of.date() - timedelta(days=1)
    first_day = last_day - timedelta(days=parameters.background_days - 1)
    measured = load_measured_demand(area=area, first_day=first_day, last_day=last_day, as_of=as_of)
    forecast = forecast_background(
        measured,
        area=area,
        grid=grid,
        day_types=day_types(first_day - timedelta(days=1), grid.ends_at.date() + timedelta(days=1)),
        quantile=parameters.background_quantile,
    )
    return forecast.power_kw, forecast.findings


def _reserve(
    area: NetworkArea,
    fleet: Fleet,
    sessions: ForecastSessions,
    grid: TimeGrid,
    parameters: RunParameters,
    least_probability: float,
) -> FloatArray:
    """(n_node, n_period) held back for overrides; when in the day one would come is not guessed."""
    at = index_of(sessions.evse_pks, fleet.evse_pks)
    planned = sessions.probability[at] if len(sessions.probability) else np.zeros(fleet.n_evse)
    probability = np.where(at == NOWHERE, least_probability, planned)
    everyone = fleet_problem(area, fleet, grid, np.full((area.n_node, grid.n_period), np.inf))
    reserve_kw = override_reserve_kw(
        rated_kw=fleet.rated_kw,
        override_probability=probability[:, np.newaxis] * Behaviour().mean_override_rate,
        links=node_links(everyone),
        alpha=parameters.override_alpha,
    )
    return np.repeat(reserve_kw, grid.n_period, axis=1)


def assemble(facts: RunFacts, parameters: RunParameters) -> Assembled:
    """The problem of these facts."""
    return assemble_problem(
        area=facts.area,
        fleet=facts.fleet,
        sessions=facts.sessions,
        grid=facts.grid,
        background_kw=facts.held_back.background_kw,
        reserve_kw=facts.held_back.reserve_kw,
        price_gbp_per_kwh=facts.price_gbp_per_kwh,
        carbon_gco2_per_kwh=facts.carbon_gco2_per_kwh,
        requests=tuple(_request(signal, facts) for signal in facts.signals),
        parameters=parameters,
        past=facts.past,
    )


def _request(signal: TargetSignal, facts: RunFacts) -> FlexRequest:
    start, end = request_window(
        facts.grid,
        reference=signal.reference,
        starts=(signal.starts_at - facts.grid.starts_at) // SETTLEMENT_PERIOD,
        ends=-((facts.grid.starts_at - signal.ends_at) // SETTLEMENT_PERIOD),
    )
    return FlexRequest(
        node=facts.area.index_of(signal.node_id),
        start=start,
        end=end,
        direction=TURN_DOWN if signal.direction == TargetSignal.Direction.TURN_DOWN else TURN_UP,
        target_kw=signal.target_kw,
        shortfall_gbp_per_kwh=signal.shortfall_gbp_per_kwh,
    )


def _with_spare(facts: RunFacts, assembled: Assembled, plan: DispatchPlan, parameters: RunParameters) -> FleetCeilings:
    """The plan's ceilings, raised into what headroom it left in the cheaper periods."""
    planned_a = np.zeros((facts.fleet.n_evse, facts.grid.n_period), dtype=np.int16)
    planned_a[assembled.evse] = plan.setpoint_a
    room = room_for_spare(facts, assembled, planned_a, parameters)
    return offer_spare(room.problem, planned_a, is_open=room.is_open, order=room.order, bound_kw=room.bound_kw)


@dataclass(frozen=True, slots=True)
class SpareRoom:
    """Where and in which order ceilings may be raised, and the problem they are checked against."""

    problem: DispatchProblem
    is_open: BoolArray
    order: IntArray
    bound_kw: FloatArray


def room_for_spare(
    facts: RunFacts, assembled: Assembled, planned_a: Int16Array, parameters: RunParameters
) -> SpareRoom:
    """The spare headroom of a run whose plan is (n_evse, n_period) ``planned_a``."""
    problem = assembled.problem
    is_open = open_periods(
        problem.price_gbp_per_kwh[0],
        planned_a,
        problem.requests,
        share=parameters.spare_price_share,
        spared=facts.spared,
    )
    return SpareRoom(
        problem=fleet_problem(facts.area, facts.fleet, facts.grid, assembled.network.cap_kw),
        is_open=is_open,
        order=np.roll(np.arange(facts.fleet.n_evse), -facts.grid.starts_at.toordinal()),
        bound_kw=valley_kw(facts.held_back.background_kw, level=parameters.spare_peak_level),
    )


def stored_parameters(parameters: RunParameters, tariff_code: str) -> dict[str, float | str]:
    """What a run's row keeps of how it was asked."""
    return {"tariff": tariff_code, **asdict(parameters)}


def facts_of(*, run: DispatchRun) -> tuple[RunFacts, RunParameters]:
    """What a stored run read, loaded again as it was known then; EVSEs that left since are left out."""
    # A run of before there was a choice was delivered as dispatched, and treated everybody alike.
    asked = {"rolling": False, "fairness_most": 1.0, **run.parameters}
    tariff_code = str(asked.pop("tariff"))
    parameters = RunParameters(**asked)
    facts = load_facts(forecast=run.forecast, as_of=run.as_of, tariff_code=tariff_code, parameters=parameters)
    stayed = np.isin(facts.sessions.evse_pks, facts.fleet.evse_pks)
    return replace(facts, sessions=facts.sessions.select(stayed)), parameters


def _header(
    forecast: AvailabilityForecast,
    as_of: datetime,
    facts: RunFacts,
    parameters: dict[str, float | str],
    plan: DispatchPlan,
    input_sha256: str,
) -> DispatchRun:
    return DispatchRun(
        area=forecast.area,
        charging_day=forecast.charging_day,
        forecast=forecast,
        as_of=as_of,
        starts_at=facts.grid.starts_at,
        n_period=facts.grid.n_period,
        period_minutes=facts.grid.period_minutes,
        parameters=parameters,
        input_sha256=input_sha256,
        method=plan.method,
        rung=plan.rung,
        iterations=plan.iterations,
        solve_s=plan.solve_s,
        cost_gbp=plan.cost_gbp,
        cost_energy_gbp=plan.cost_energy_gbp,
        cost_unserved_gbp=plan.cost_unserved_gbp,
        cost_shortfall_gbp=plan.cost_shortfall_gbp,
        cost_ramp_gbp=plan.cost_ramp_gbp,
        unavoidable_gbp=plan.unavoidable_gbp,
        lower_bound_gbp=plan.lower_bound_gbp,
        gap=plan.gap,
        rounding_cost_gbp=plan.rounding_cost_gbp,
        max_violation_kw=plan.max_violation_kw,
    )


def _store_findings(run: DispatchRun, facts: RunFacts, assembled: Assembled, plan: DispatchPlan) -> None:
    """Keep what was odd: the network's for the network's operator, each session's for its DSRSP."""
    source = f"run:{run.pk}"
    store_findings(notes=(*facts.findings, *assembled.findings), source=source, noticed_at=run.as_of)
    session = np.flatnonzero(plan.rounded_unserved_kwh + plan.unserveable_kwh > SHORT_KWH)
    owner = facts.fleet.dsrsp_pks[assembled.evse[session]]
    for dsrsp in Organisation.objects.filter(pk__in=np.unique(owner).tolist()):
        own = _unserved(assembled, plan, session[owner == dsrsp.pk])
        store_findings(notes=own, source=source, noticed_at=run.as_of, organisation=dsrsp)


def _unserved(assembled: Assembled, plan: DispatchPlan, sessions: IntArray) -> Iterator[FindingNote]:
    """One finding for each of these sessions, which the plan leaves without part of its energy, however it was lost."""
    columns = (assembled.problem.session_ids, assembled.problem.session_energy_kwh)
    left_out = (plan.rounded_unserved_kwh, plan.unserveable_kwh)
    rows = zip(*(column[sessions].tolist() for column in (*columns, *left_out)), strict=True)
    for session_id, energy_kwh, unserved_kwh, unserveable_kwh in rows:
        yield FindingNote(
            "dispatch.unserved",
            session_id,
            f"{unserved_kwh + unserveable_kwh:.2f} of {energy_kwh:.2f} kWh can't be served in its window",
            details={"unserved_kwh": unserved_kwh, "unserveable_kwh": unserveable_kwh},
        )


def _fingerprint(assembled: Assembled, facts: RunFacts, parameters: RunParameters) -> str:
    arrays = problem_to_arrays(assembled.problem)
    named = [part for name in sorted(arrays) for part in (name, np.atleast_1d(arrays[name]))]
    references = ",".join(signal.reference for signal in facts.signals)
    fleet = facts.fleet  # whole: unused headroom is offered to EVSEs without a session too
    everyone = (fleet.evse_ids, fleet.dsrsp_pks, fleet.node, fleet.phases, fleet.rated_kw, fleet.min_current_a)
    # The background beside the limits it is part of: it bounds spare headroom where no rating is known, too.
    # Only where there is one: what was planned before there were any keeps its fingerprint.
    spared = (facts.spared.who, facts.spared.by) if facts.spared.is_any else ()
    return digest(METHOD, repr(parameters), references, *everyone, facts.held_back.background_kw, *named, *spared)
