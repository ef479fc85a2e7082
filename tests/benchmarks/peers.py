"""Everybody who can solve the problem, behind one call: the engine's methods, modellers, a flow."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dispatch.core.costs import price_plan
from dispatch.core.network import Network
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.reference import Solution, solve_model
from dispatch.core.solve import METHODS, solve
from dispatch.core.sparse import solve_sparse
from tests.dispatch.core import mincostflow

# What the figures are about; "auto" stands in for it in a version without it.
ENGINE = "fast" if "fast" in METHODS else "auto"


@dataclass(frozen=True, slots=True)
class Answer:
    """Cost in GBP; gap and bound where a certificate came with it; the rung of a plan, or "optimal"."""

    cost_gbp: float
    rung: str
    gap: float | None = None
    lower_bound_gbp: float | None = None
    iterations: int | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to an answer, and the size up to which it is tried."""

    answer: Callable[[DispatchProblem, float, float], Answer]
    most_sessions: float
    takes_any_problem: bool = True


def engine_plan(
    problem: DispatchProblem, gap: float, time_limit_s: float, start: DispatchPlan | None = None
) -> DispatchPlan:
    """In this process: under a time limit the exact methods solve in one of their own, out of the memory measured."""
    limit_s = time_limit_s if ENGINE == "fast" else math.inf
    return solve(problem, method=ENGINE, gap=gap, time_limit_s=limit_s, start=start)


def by_engine(problem: DispatchProblem, gap: float, time_limit_s: float) -> Answer:
    return of_plan(engine_plan(problem, gap, time_limit_s))


def of_plan(plan: DispatchPlan) -> Answer:
    return Answer(plan.cost_gbp, plan.rung, plan.gap, plan.lower_bound_gbp, plan.iterations)


def by_pulp(solver: str) -> Callable[[DispatchProblem, float, float], Answer]:
    def answer(problem: DispatchProblem, _gap: float, time_limit_s: float) -> Answer:
        return _optimal(problem, solve_model(problem, solver=solver, time_limit_s=time_limit_s))

    return answer


def by_sparse(problem: DispatchProblem, _gap: float, time_limit_s: float) -> Answer:
    return _optimal(problem, solve_sparse(problem, time_limit_s=time_limit_s))


def by_flow(problem: DispatchProblem, _gap: float, _time_limit_s: float) -> Answer:
    return Answer(mincostflow.optimum_gbp(problem), "optimal")


PEERS = {
    "engine": Peer(by_engine, math.inf),
    "min-cost flow": Peer(by_flow, 100_000, takes_any_problem=False),
    "sparse HiGHS": Peer(by_sparse, 10_000),
    "PuLP+HiGHS": Peer(by_pulp("HiGHS"), 10_000),
    "PuLP+CBC": Peer(by_pulp("CBC"), 10_000),
}


def with_changed_needs(problem: DispatchProblem, *, share: float, seed: int) -> DispatchProblem:
    """The same fleet a moment later: a share of its sessions need half to one and a half times what they did."""
    rng = np.random.default_rng(seed)
    changed = rng.random(problem.n_session) < share
    factor = np.where(changed, rng.uniform(0.5, 1.5, problem.n_session), 1.0)
    return replace(problem, session_energy_kwh=problem.session_energy_kwh * factor)


def _optimal(problem: DispatchProblem, solution: Solution) -> Answer:
    cost_gbp = price_plan(problem, Network.of(problem), solution.power_kw).total_gbp
    return Answer(cost_gbp, "optimal", iterations=solution.iterations)
