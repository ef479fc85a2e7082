"""Dispatch an area for a charging day: load what was known, solve, check, store. What is stored is in force."""

import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import TypeAlias

import numpy as np
from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.arrays.network import find_node
from aggregator.core.digest import digest
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.types import IntArray
from aggregator.models import AvailabilityForecast, Organisation
from aggregator.services.turns import take_turn
from dispatch.arrays.runs import newest_run, store_run
from dispatch.core.assemble import Assembled, RunParameters
from dispatch.core.portable import problem_to_arrays
from dispatch.core.problem import DispatchPlan
from dispatch.core.solve import solve
from dispatch.core.spare import FleetCeilings, offer_spare
from dispatch.core.spared import solve_sparing
from dispatch.models import DispatchRun
from dispatch.services.run_facts import RunFacts, assemble, load_facts, stored_parameters
from dispatch.services.run_log import record_run, refuse_above_cap
from dispatch.services.run_spare import room_for_spare

logger = logging.getLogger(__name__)

Solver: TypeAlias = Callable[..., DispatchPlan]

METHOD = "day-ahead-5"  # part of every run's fingerprint: a changed method is a new run of the same facts
SHORT_KWH = 1e-3  # less is nobody's loss


class NoForecast(FlexError):
    code = "dispatch.no_forecast"


class NothingDispatched(FlexError):
    code = "dispatch.nothing_dispatched"


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


def _with_spare(facts: RunFacts, assembled: Assembled, plan: DispatchPlan, parameters: RunParameters) -> FleetCeilings:
    """The plan's ceilings, raised into what headroom it left in the cheaper periods."""
    planned_a = np.zeros((facts.fleet.n_evse, facts.grid.n_period), dtype=np.int16)
    planned_a[assembled.evse] = plan.setpoint_a
    room = room_for_spare(facts, assembled, planned_a, parameters)
    return offer_spare(room.problem, planned_a, is_open=room.is_open, order=room.order, bound_kw=room.bound_kw)


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
