"""The headroom a run leaves: where ceilings may be raised into it, and in which order."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.types import BoolArray, FloatArray, Int16Array, IntArray
from dispatch.core.assemble import Assembled, RunParameters
from dispatch.core.problem import DispatchProblem
from dispatch.core.spare import fleet_problem, open_periods, valley_kw
from dispatch.services.run_facts import RunFacts


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
