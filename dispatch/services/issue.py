"""Tell EVSEs, half-hour by half-hour, what they may draw now that it is known who is plugged in."""

from dataclasses import replace

import numpy as np
from django.db import transaction

from aggregator.core.types import BoolArray
from aggregator.services.turns import take_turn
from dispatch.arrays.runs import Ceilings, load_ceilings, store_issued
from dispatch.core.assemble import RunParameters
from dispatch.core.check import add_up
from dispatch.core.problem import DispatchProblem
from dispatch.core.rounding import ampere_kw
from dispatch.core.spare import FleetCeilings, release
from dispatch.models import DispatchRun
from dispatch.services.runs import RunFacts, assemble, room_for_spare


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
