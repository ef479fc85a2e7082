"""Dispatch an area anew from now on: what is in force stands until a new plan is checked and stored."""

import logging
from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.arrays.fleet_state import load_fleet_state
from aggregator.arrays.visits import load_usual_visits
from aggregator.core.belief import BeliefRule
from aggregator.core.digest import digest
from aggregator.core.errors import FlexError
from aggregator.core.fleet_state import FleetState
from aggregator.core.types import BoolArray, FloatArray
from aggregator.services.turns import take_turn
from dispatch.arrays.runs import HeldBack, newest_run, store_run
from dispatch.arrays.stored_day import load_stored_day
from dispatch.core.assemble import Assembled, RunParameters, unserved_gbp_per_kwh
from dispatch.core.continued import StoredDay, whole_day
from dispatch.core.portable import problem_to_arrays
from dispatch.core.redispatch import Day, Redispatch, RollingRule, Told, redispatch
from dispatch.core.rolling import start_of
from dispatch.core.rounding import ampere_kw
from dispatch.core.spare import fleet_problem
from dispatch.core.steady import NOTHING_TOLD
from dispatch.models import DispatchRun
from dispatch.services.run_facts import RunFacts, assemble, load_facts, min_probability, stored_parameters
from dispatch.services.run_log import record_run, refuse_above_cap

logger = logging.getLogger(__name__)

_FIGURES = (
    "method",
    "rung",
    "iterations",
    "solve_s",
    "cost_gbp",
    "cost_energy_gbp",
    "cost_unserved_gbp",
    "cost_shortfall_gbp",
    "cost_ramp_gbp",
    "unavoidable_gbp",
    "lower_bound_gbp",
    "gap",
    "rounding_cost_gbp",
    "max_violation_kw",
)
METHOD = "rolling-1"  # part of every fingerprint: a changed method is a new run of the same facts


class NotInTheDay(FlexError):
    code = "dispatch.not_in_the_day"


class RunOvertaken(FlexError):
    code = "dispatch.run_overtaken"


def redispatch_run(*, run: DispatchRun, now: datetime, state: FleetState | None = None) -> DispatchRun:
    """Dispatch what is left of a run's day from what is known now, and store it as a run that continues it.

    Setpoints before now stay those of the run; limits, prices and requests are those known now. The same state and
    facts again give the stored run back. Until the new run is stored the old one is in force, so a solve that fails
    or is killed changes nothing.

    Args:
        run: in force for its area and day.
        state: of the fleet when the current period began or since; loaded from sessions and readings when absent.

    Raises:
        NotInTheDay: ``now`` lies outside the run's day.
        RunOvertaken: another run came into force meanwhile; dispatch that one anew.
        AreaAboveCap: the area's EVSEs add up to more than may be controlled.
        CheckFailed: a bug; plan or ceilings broke a limit.
    """
    period = (now - run.starts_at) // run.grid.step
    if not run.from_period <= period < run.n_period:
        raise NotInTheDay(
            f"run {run.pk} plans periods {run.from_period} to {run.n_period - 1} from {run.starts_at.isoformat()}, "
            f"asked as of {now.isoformat()}",
            run=run.pk,
        )
    asked = dict(run.parameters)
    tariff_code = str(asked.pop("tariff"))
    parameters = RunParameters(**asked)
    facts = load_facts(forecast=run.forecast, as_of=now, tariff_code=tariff_code, parameters=parameters)
    refuse_above_cap(area=run.area, fleet=facts.fleet)
    state = state or load_fleet_state(fleet=facts.fleet, grid=facts.grid, at=now)
    assembled = assemble(facts, parameters)
    day = day_of(run=run, facts=facts, assembled=assembled, parameters=parameters)
    stored = load_stored_day(run=run, fleet=facts.fleet, area=facts.area)
    told = _told(run, stored, day, state, parameters.told_periods)
    input_sha256 = _fingerprint(run, day, state, told, parameters)
    same = DispatchRun.objects.filter(area=run.area, charging_day=run.charging_day, input_sha256=input_sha256)
    if known := same.first():
        return known
    found = redispatch(day, state, told, rolling_rule(run=run, parameters=parameters, method=parameters.method))
    header = _header(run, now, parameters=stored_parameters(parameters, tariff_code), input_sha256=input_sha256)
    new = _store(header, facts, assembled, stored, state, found)
    logger.info(
        "read run %s and %d EVs plugged in at %s; wrote run %s from period %d: %d EVSEs told anew, cost %.2f GBP, %s",
        run.pk,
        int(state.is_present.sum()),
        now.isoformat(),
        new.pk,
        new.from_period,
        int(found.is_changed.sum()),
        new.cost_gbp,
        new.rung,
    )
    return new


def day_of(*, run: DispatchRun, facts: RunFacts, assembled: Assembled, parameters: RunParameters) -> Day:
    """What all re-dispatches of a run's day share."""
    fleet, grid, problem = facts.fleet, facts.grid, assembled.problem
    return Day(
        problem=problem,
        everyone=fleet_problem(facts.area, fleet, grid, np.maximum(problem.node_limit_kw, 0.0)),
        background_kw=facts.held_back.background_kw,
        visits=load_usual_visits(forecast=run.forecast, fleet=fleet, grid=grid),
        unserved_gbp_per_kwh=unserved_gbp_per_kwh(fleet, facts.past, parameters),
        tariff=np.zeros(fleet.n_evse, dtype=np.int64),
        fallback_kw=np.zeros(fleet.n_evse),
        order=np.roll(np.arange(fleet.n_evse), -grid.starts_at.toordinal()),
        spared=facts.spared,
    )


def rolling_rule(*, run: DispatchRun, parameters: RunParameters, method: str) -> RollingRule:
    """How a run asks to be dispatched anew."""
    return RollingRule(
        change_gbp=parameters.change_gbp,
        told_periods=parameters.told_periods,
        root_peak_level=parameters.root_peak_level,
        spare_price_share=parameters.spare_price_share,
        spare_peak_level=parameters.spare_peak_level,
        least_chance=min_probability(run.forecast),
        belief=BeliefRule(parameters.need_quantile, parameters.leave_quantile),
        gap=parameters.gap,
        time_limit_s=parameters.time_limit_s,
        method=method,
    )


def _told(run: DispatchRun, stored: StoredDay, day: Day, state: FleetState, told_periods: int) -> Told:
    """What stands: all the run's ceilings, and of those the first periods as sent to EVSEs that had an EV then."""
    now = state.now
    was_sent, heard = now - 1 + told_periods, state.is_present
    if run.continues_id is not None:
        was_sent, heard = run.from_period + told_periods, heard & (state.since <= run.from_period)
    sent_a = np.where(heard[:, np.newaxis], stored.setpoint_a[:, now : max(was_sent, now)], NOTHING_TOLD)
    planned_kw = stored.planned_a * ampere_kw(day.everyone)[:, np.newaxis]
    last = start_of(day.everyone, planned_kw, stored.price_gbp_per_kwh)
    return Told(stored.setpoint_a, sent_a.astype(np.int16), (last, day.everyone, 0))


def _fingerprint(run: DispatchRun, day: Day, state: FleetState, told: Told, parameters: RunParameters) -> str:
    arrays = problem_to_arrays(day.problem)
    named = [part for name in sorted(arrays) for part in (name, np.atleast_1d(arrays[name]))]
    states = [np.atleast_1d(getattr(state, name)) for name in state.__slots__]
    visits = [getattr(day.visits, name) for name in day.visits.__slots__]
    of_day: list[FloatArray | BoolArray] = [day.background_kw, day.unserved_gbp_per_kwh]
    if day.spared is not None and day.spared.is_any:
        of_day += [day.spared.who, day.spared.by]
    return digest(METHOD, run.input_sha256, repr(parameters), *named, *states, *visits, told.sent_a, *of_day)


def _header(run: DispatchRun, now: datetime, *, parameters: dict[str, float | str], input_sha256: str) -> DispatchRun:
    return DispatchRun(
        area=run.area,
        charging_day=run.charging_day,
        forecast=run.forecast,
        continues=run,
        from_period=(now - run.starts_at) // run.grid.step,
        as_of=now,
        starts_at=run.starts_at,
        n_period=run.n_period,
        period_minutes=run.period_minutes,
        parameters=parameters,
        input_sha256=input_sha256,
    )


def _store(
    header: DispatchRun,
    facts: RunFacts,
    assembled: Assembled,
    stored: StoredDay,
    state: FleetState,
    found: Redispatch,
) -> DispatchRun:
    """Write the whole day, unless what it continues is no longer in force."""
    now, everyone = (
        found.remaining.now,
        fleet_problem(facts.area, facts.fleet, facts.grid, assembled.problem.node_limit_kw),
    )
    day = whole_day(assembled, everyone, stored, state, found)
    for name in _FIGURES:
        setattr(header, name, getattr(day.plan, name))
    held_back = HeldBack(
        np.concatenate([stored.background_kw[:, :now], facts.held_back.background_kw[:, now:]], axis=1),
        np.concatenate([stored.reserve_kw[:, :now], facts.held_back.reserve_kw[:, now:]], axis=1),
    )
    with transaction.atomic():
        take_turn("dispatch", header.area_id, header.charging_day)
        in_force = newest_run(area_pk=header.area_id, charging_day=header.charging_day)
        if in_force is None or in_force.pk != header.continues_id:
            if in_force is not None and in_force.input_sha256 == header.input_sha256:
                return in_force
            raise RunOvertaken(
                f"run {header.continues_id} was dispatched anew, but {in_force} is in force", run=header.continues_id
            )
        run = store_run(
            run=header,
            plan=day.plan,
            ceilings=day.ceilings,
            assembled=day.assembled,
            area=facts.area,
            fleet=facts.fleet,
            held_back=held_back,
            signals=facts.signals,
        )
        store_findings(notes=(*facts.findings, *assembled.findings), source=f"run:{run.pk}", noticed_at=run.as_of)
        record_run(run=run, n_evse=facts.fleet.n_evse, signals=facts.signals)
    return run
