"""The fast engine: any number of sessions, with a certificate.

It moves power and prices together until the plan made safe of the one and the bound of the other are within the gap
asked. Only what is evaluated so counts; how near it is believed to be merely says when to look.
Source: docs/methods/dispatch.md
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from aggregator.core.types import Float32Array
from dispatch.core.bound import Prices, lower_bound_gbp
from dispatch.core.costs import price_plan
from dispatch.core.fast.layout import lay_out
from dispatch.core.fast.machine import Machine
from dispatch.core.fast.ranks import Ranks
from dispatch.core.greedy import refill, safe_power_kw
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem

FAST = "fast"
# Of the spread of prices in a period, in GBP per kW: found by trial, and flat around its best.
_WEIGHT = 0.12
_BLOCK_CELLS = 2_000_000
_LONGEST_BLOCK, _SHORTEST_BLOCK = 32, 6
# Nothing gained in this many steps, and in twice as many as were needed so far: it will not get better.
_PATIENCE = 1_500
# The first look; how many times the steps of the last look make the next one due; how the residual goes with the gap.
_FIRST_LOOK, _LONGEST_UNSEEN, _RESIDUAL_POWER = 80, 1.8, 0.75


@dataclass(frozen=True, slots=True, eq=False)
class FastSolution:
    """The best plan found, safe; the prices of the best bound found; the gap between the two."""

    power_kw: Float32Array
    prices: Prices
    iterations: int
    gap: float


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """An earlier plan of the same sessions and nodes: (n_session, n_period) power, and prices."""

    power_kw: Float32Array
    prices: Prices


def solve_fast(
    problem: DispatchProblem,
    network: Network,
    *,
    gap: float,
    left_s: Callable[[], float],
    start: Start | None = None,
    threads: int = 2,
) -> FastSolution:
    """Solve until the gap is certified, the time is up or nothing more is gained.

    Args:
        left_s: seconds still to be had; asked between blocks of steps.
    """
    search = _Search(problem, network, gap)
    for ranks, factor in _stages(problem):
        layout = lay_out(problem, network, ranks.unserved_gbp_per_kwh, ranks.shortfall_gbp_per_kwh)
        weight = factor * _WEIGHT * problem.step_h * ranks.spread_gbp_per_kwh
        with Machine(layout, n_period=problem.n_period, weight=weight, threads=threads) as machine:
            if start is not None:
                machine.start_at(start.power_kw, ranks.shrink(problem, start.prices))
            search.run(machine, ranks, left_s, is_warm=start is not None)
        found = search.best()
        if found.gap <= gap or left_s() <= 0:
            break
        start = Start(found.power_kw, found.prices)
    return found


def _stages(problem: DispatchProblem) -> Iterator[tuple[Ranks, float]]:
    """Penalties and step sizes to try in turn, each from where the one before got stuck."""
    ranks = Ranks.of(problem)
    yield ranks, 1.0
    true = Ranks.true_ones(problem)
    for factor in (0.5, 0.05, 5.0):
        yield true, factor
    yield ranks, 0.2


class _Search:
    """Looks at the machine's iterates when it pays, and keeps the best plan and the best bound."""

    def __init__(self, problem: DispatchProblem, network: Network, gap: float) -> None:
        self._problem, self._network, self._gap = problem, network, gap
        self._power_kw: Float32Array | None = None
        self._prices = Prices.zero(problem)
        self._cost_gbp, self._bound_gbp = np.inf, -np.inf
        self._n_step = self._gained_at = self._seen_at = 0
        self._look_s = 0.0
        self._look_below = np.inf

    def best(self) -> FastSolution:
        """What was found; there is always something, since the machine is looked at before it is given up."""
        if self._power_kw is None:
            raise RuntimeError("asked for a plan before the first look")
        return FastSolution(self._power_kw, self._prices, self._n_step, self.gap())

    def gap(self) -> float:
        return (self._cost_gbp - self._bound_gbp) / max(1.0, abs(self._bound_gbp))

    def run(self, machine: Machine, ranks: Ranks, left_s: Callable[[], float], *, is_warm: bool) -> None:
        """Move the machine on until what was seen is good enough, or there is no time or hope to see better."""
        self._gained_at = self._seen_at = 0
        block = int(np.clip(_BLOCK_CELLS // max(machine.layout.n_cell, 1), _SHORTEST_BLOCK, _LONGEST_BLOCK))
        if is_warm:
            machine.settle()
            self._look(machine, ranks)
        while self._power_kw is None or self.gap() > self._gap:
            is_late = left_s() < 2.0 * self._look_s
            if self._power_kw is not None and (is_late or self._is_stuck(machine)):
                break
            settled = machine.advance(block)
            if is_late and not settled:
                machine.settle()
            if is_late or (settled and self._is_due(machine)):
                self._look(machine, ranks)
        self._n_step += machine.n_step

    def _is_due(self, machine: Machine) -> bool:
        """Looking costs as much as some dozens of steps: do it where the gap asked is likely, and now and then."""
        if self._power_kw is None:
            return machine.n_step >= _FIRST_LOOK
        return machine.residual <= self._look_below or machine.n_step >= _LONGEST_UNSEEN * self._seen_at

    def _is_stuck(self, machine: Machine) -> bool:
        return machine.n_step - self._gained_at > max(_PATIENCE, 2 * self._gained_at)

    def _look(self, machine: Machine, ranks: Ranks) -> None:
        """Make the power safe and price it, bound the cost by the prices, keep what is better than before."""
        began = perf_counter()
        before = self.gap()
        prices = ranks.stretch(self._problem, machine.prices())
        bound_gbp = lower_bound_gbp(self._problem, self._network, prices)
        if bound_gbp > self._bound_gbp:
            self._bound_gbp, self._prices = bound_gbp, prices
        power_kw = safe_power_kw(self._problem, self._network, machine.power_kw())
        refill(self._problem, self._network, power_kw)
        cost_gbp = price_plan(self._problem, self._network, power_kw).total_gbp
        if cost_gbp < self._cost_gbp:
            self._cost_gbp, self._power_kw = cost_gbp, power_kw
        if self.gap() < 0.95 * before or not np.isfinite(before):
            self._gained_at = machine.n_step
        missing = self._gap / max(self.gap(), 1e-12)
        self._look_below = machine.residual * min(0.9, missing**_RESIDUAL_POWER)
        self._seen_at = machine.n_step
        self._look_s = perf_counter() - began
