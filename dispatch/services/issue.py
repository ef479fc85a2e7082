"""Tell EVSEs, half-hour by half-hour, what they may draw now that it is known who is plugged in."""

import logging
from dataclasses import replace

import numpy as np
from django.db import transaction

from aggregator.core.behaviour import BehaviourDraws
from aggregator.core.sessions import SessionHistory
from aggregator.core.types import BoolArray
from aggregator.services.turns import take_turn
from dispatch.arrays.runs import Ceilings, load_ceilings, store_issued
from dispatch.core.assemble import RunParameters
from dispatch.core.check import add_up, check_nodes
from dispatch.core.problem import DispatchProblem
from dispatch.core.rolling_day import roll_day
from dispatch.core.rounding import ampere_kw
from dispatch.core.spare import FleetCeilings, release
from dispatch.models import DispatchRun
from dispatch.services.rolling import day_of, rolling_rule
from dispatch.services.run_facts import RunFacts, assemble
from dispatch.services.run_spare import room_for_spare

logger = logging.getLogger(__name__)


def issue_anew(
    *,
    run: DispatchRun,
    facts: RunFacts,
    parameters: RunParameters,
    sessions: SessionHistory,
    draws: BehaviourDraws,
) -> FleetCeilings:
    """Dispatch the rest of the day anew at the start of every half-hour, and keep what each EVSE was told in the end.

    Limits are those of ``facts``: a limit that fell since the run is met, whatever was told the day before.

    Args:
        facts, parameters: what the run read and how it was asked (``facts_of``).
        sessions, draws: what the virtual EVSEs do; of it a half-hour knows only what was seen before.

    Raises:
        CheckFailed: a bug; a plan or its ceilings broke a limit, and nothing was told.
    """
    told, fleet, grid = load_ceilings(run=run).of(facts.fleet), facts.fleet, facts.grid
    day = day_of(run=run, facts=facts, assembled=assemble(facts, parameters), parameters=parameters)
    rolled = roll_day(
        day,
        sessions,
        draws=draws,
        rated_kw=fleet.rated_kw[sessions.evse],
        grid=grid,
        told_a=told.setpoint_a,
        rule=rolling_rule(run=run, parameters=parameters, method=parameters.rolling_method),
    )
    unit_kw = ampere_kw(day.everyone)
    setpoint_kw = rolled.setpoint_a * unit_kw[:, np.newaxis]
    check_nodes(day.everyone, setpoint_kw)  # once more, all half-hours together
    issued = FleetCeilings(rolled.setpoint_a, told.planned_a, unit_kw, add_up(day.everyone, setpoint_kw))
    with transaction.atomic():
        take_turn("issue", run.pk)
        store_issued(run=run, fleet=fleet, ceilings=issued)
    logger.info(
        "dispatched run %s anew %d times; %d setpoints already sent changed",
        run.pk,
        grid.n_period,
        rolled.n_changed.sum(),
    )
    return issued


def issue_setpoints(
    *, run: DispatchRun, facts: RunFacts, parameters: RunParameters, is_present: BoolArray
) -> FleetCeilings:
    """Hand what the run holds for EVSEs without a car to those with one, and keep what each was told.

    Every node's cap is the run's own and is checked again with all ceilings added up. Where one fell since, what was
    told the day before stands and nothing is added; a lower limit is met by dispatching anew.

    Args:
        facts, parameters: what the run read and how it was asked (``facts_of``).
        is_present: (n_evse, n_period) EVSEs of ``facts.fleet`` with a car when the period starts.

    Raises:
        CheckFailed: a bug; the ceilings broke a cap, and nothing was told.
    """
    told = load_ceilings(run=run).of(facts.fleet)
    room = room_for_spare(facts, assemble(facts, parameters), told.planned_a, parameters)
    issued = release(
        _with_caps_of(room.problem, told),
        told.setpoint_a,
        is_present=is_present,
        is_open=room.is_open,
        order=room.order,
        bound_kw=room.bound_kw,
    )
    with transaction.atomic():
        take_turn("issue", run.pk)
        store_issued(run=run, fleet=facts.fleet, ceilings=issued)
    return issued


def _with_caps_of(problem: DispatchProblem, told: Ceilings) -> DispatchProblem:
    """The same with caps no lower than what the run, checked against its own, had told."""
    told_kw = add_up(problem, told.setpoint_a * ampere_kw(problem)[:, np.newaxis])
    return replace(problem, node_limit_kw=np.maximum(problem.node_limit_kw, told_kw))
