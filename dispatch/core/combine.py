"""One problem solved in parts: cut, coordinate, put the parts' plans together, and prove the whole.

The plan of the whole is held to what every plan is: repaired, rounded and checked against the whole problem, with
nothing taken from the parts but their power and their bounds.

Source: docs/methods/dispatch.md
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from time import perf_counter
from typing import TypeAlias

import numpy as np

from aggregator.core.types import FloatArray
from dispatch.core.bound import Prices, lower_bound_gbp
from dispatch.core.coordinate import Coordination, PartsUnanswered, coordinate
from dispatch.core.greedy import safe_power_kw
from dispatch.core.network import Network
from dispatch.core.parts import PartRunner, parts_here
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.proof import Candidate, prove
from dispatch.core.sample import sampled_prices
from dispatch.core.solve import solve
from dispatch.core.split import Split, level_for, split_problem, upper_prices

logger = logging.getLogger(__name__)

Runners: TypeAlias = Callable[[Sequence[DispatchProblem]], AbstractContextManager[PartRunner]]
# Of the time limit, by when a sample's prices are taken as they are, and by when rounds end; the rest is for repair,
# rounding and check of the whole.
_TIME_OF_SAMPLE, _TIME_OF_ROUNDS = 0.15, 0.85


def solve_in_parts(
    problem: DispatchProblem,
    *,
    runners: Runners = parts_here,
    level: int | None = None,
    method: str = "auto",
    gap: float = 1e-4,
    time_limit_s: float = 60.0,
) -> DispatchPlan:
    """Dispatch one network area, cut in parts that are solved apart under prices exchanged between rounds.

    Args:
        runners: opens whoever solves the parts; this process unless said otherwise.
        level: steps under the roots where the tree is cut; None takes the highest cut that makes two parts.
        method: of the parts, as ``solve`` takes it.
        gap, time_limit_s: as ``solve`` takes them.

    Returns:
        A plan no hard limit of which is broken by more than 1e-6 kW; greedy where parts gave no answer in time.

    Raises:
        InvalidCut: a negative level.
        MethodNotAvailable, InvalidSolveOption: as ``solve`` raises them.
        CheckFailed: the plan broke a limit after all; a bug.
    """
    started = perf_counter()
    network = Network.of(problem)
    split = split_problem(problem, network, level=level_for(problem) if level is None else level)

    def left_s(share: float = 1.0) -> float:
        return share * time_limit_s - (perf_counter() - started)

    if len(split.parts) < 2:
        return solve(problem, method=method, gap=gap, time_limit_s=time_limit_s)
    sampled = sampled_prices(problem, network, lambda: left_s(_TIME_OF_SAMPLE))
    prices = None if sampled is None else upper_prices(problem, split, sampled)
    with runners([part.problem for part in split.parts]) as runner:
        try:
            rounds = coordinate(
                split, runner, method=method, gap=gap, left_s=lambda: left_s(_TIME_OF_ROUNDS), prices=prices
            )
        except PartsUnanswered as failure:
            logger.warning("a problem is solved whole, without a solver: %s", failure)
            plan = solve(problem, method="greedy", gap=gap, time_limit_s=max(left_s(), 0.1))
            return replace(plan, solve_s=perf_counter() - started)
        mixed_kw, node_price = _mixed(problem, split, rounds, runner)
    safe_kw = safe_power_kw(problem, network, mixed_kw, lambda: left_s(1.05) < 0)
    bound_gbp = max(rounds.lower_bound_gbp, lower_bound_gbp(problem, network, Prices.zero(problem)))
    return prove(
        problem,
        network,
        Candidate(safe_kw, node_price, bound_gbp, _method(rounds), rounds.n_round, "certified"),
        gap=gap,
        elapsed_s=lambda: perf_counter() - started,
        is_late=lambda: left_s(1.05) < 0,
    )


def _mixed(
    problem: DispatchProblem, split: Split, rounds: Coordination, runner: PartRunner
) -> tuple[FloatArray, FloatArray]:
    """Every part's plans by their weights, and its node prices at the best prices above; one plan in memory at a time.

    Returns:
        (n_session, n_period) power, (n_node, n_period) prices of one more kW, GBP per kWh.
    """
    power_kw = np.zeros((problem.n_session, problem.n_period))
    node_price = np.zeros((problem.n_node, problem.n_period))
    node_price[split.upper_nodes] = rounds.prices.cap / problem.step_h
    priced = rounds.answered or (0,) * len(split.parts)
    for weight, column in zip(rounds.weight.tolist(), rounds.columns, strict=True):
        if weight > 0 or column.round == priced[column.part]:
            plan, part = runner.plan(column.part, column.round), split.parts[column.part]
            power_kw[part.sessions] += weight * plan.power_kw
            if column.round == priced[column.part]:
                node_price[part.nodes] = plan.node_price_gbp_per_kwh[: len(part.nodes)]
    return power_kw, node_price


def _method(rounds: Coordination) -> str:
    """``parts`` and what solved them, in the first word of each."""
    return "parts " + "+".join(sorted({method.split()[0] for method in rounds.methods}))
