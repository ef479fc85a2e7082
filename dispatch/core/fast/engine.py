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
# Believed within this many times the gap asked, a plan is made safe to see; time is kept for this many looks.
_HOPEFUL, _LAST_LOOKS = 2.0, 1.5
# Up to so many cells making a plan safe costs little, so it is always seen.
_CHEAP_CELLS = 1_000_000
# Refilling a plan closes most of what is believed: the gap seen after it is about this part.
_CLOSED_BY_REFILL = 1 / 6
# The first look; how many times the steps of the last look make the next one due; how the residual goes with the gap.
_FIRST_LOOK, _LONGEST_UNSEEN, _RESIDUAL_POWER = 80, 1.8, 0.75


@dataclass(frozen=True, slots=True, eq=False)
class FastSolution:
    """The best plan found, safe; the prices of the best bound found; the gap between the two."""

    power_kw: Float32Array
    prices: Prices
    iterations: int
    gap: float
    bound_gbp: float


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
    search = _Search(problem, network, gap, threads)
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

    def __init__(self, problem: DispatchProblem, network: Network, gap: float, threads: int) -> None:
        self._problem, self._network, self._gap, self._threads = problem, network, gap, threads
        self._power_kw: Float32Array | None = None
        self._prices = Prices.zero(problem)
        self._cost_gbp, self._bound_gbp = np.inf, -np.inf
        self._n_step = self._gained_at = self._seen_at = 0
        self._look_s, self._look_below, self._least_seen = 0.0, np.inf, np.inf
        self._raw_kw: Float32Array = np.zeros((problem.n_session, problem.n_period), dtype=np.float32)
        self._spread = float(np.ptp(problem.price_gbp_per_kwh)) if problem.price_gbp_per_kwh.size else 0.0

    def best(self) -> FastSolution:
        """What was found; there is always something, since the machine is looked at before it is given up."""
        if self._power_kw is None:
            raise RuntimeError("asked for a plan before the first look")
        return FastSolution(self._power_kw, self._prices, self._n_step, self.gap(), self._bound_gbp)

    def gap(self) -> float:
        return self._gap_of(self._cost_gbp)

    def run(self, machine: Machine, ranks: Ranks, left_s: Callable[[], float], *, is_warm: bool) -> None:
        """Move the machine on until what was seen is good enough, or there is no time or hope to see better."""
        self._gained_at = self._seen_at = 0
        self._least_seen = np.inf
        block = int(np.clip(_BLOCK_CELLS // max(machine.layout.n_cell, 1), _SHORTEST_BLOCK, _LONGEST_BLOCK))
        if is_warm:
            machine.settle()
            self._look(machine, ranks)
        while not self.gap() <= self._gap:  # not a number before the first look
            is_last = left_s() < _LAST_LOOKS * self._look_s or self._is_stuck(machine)
            settled = machine.advance(block)
            if is_last and not settled:
                machine.settle()
            if is_last or (settled and self._is_due(machine)):
                self._look(machine, ranks, is_last=is_last)
            if is_last:
                break
        self._n_step += machine.n_step

    def _is_due(self, machine: Machine) -> bool:
        """Looking costs as much as some dozens of steps: do it where the gap asked is likely, and now and then."""
        if self._seen_at == 0:
            return machine.n_step >= _FIRST_LOOK
        return machine.residual <= self._look_below or machine.n_step >= _LONGEST_UNSEEN * self._seen_at

    def _is_stuck(self, machine: Machine) -> bool:
        return machine.n_step - self._gained_at > max(_PATIENCE, 2 * self._gained_at)

    def _look(self, machine: Machine, ranks: Ranks, *, is_last: bool = False) -> None:
        """Bound the cost by the prices; where that is near enough, make the power safe and price it."""
        began = perf_counter()
        prices = ranks.stretch(self._problem, machine.prices())
        bound_gbp = lower_bound_gbp(self._problem, self._network, prices)
        if bound_gbp > self._bound_gbp:
            self._bound_gbp, self._prices = bound_gbp, prices
        seen = _CLOSED_BY_REFILL * self._believed_gap(machine)
        if seen <= _HOPEFUL * self._gap or is_last or machine.layout.n_cell <= _CHEAP_CELLS:
            seen = self._make_safe()
            self._look_s = perf_counter() - began
        if seen < 0.95 * self._least_seen:
            self._gained_at, self._least_seen = machine.n_step, seen
        missing = min(1.0, self._gap / max(seen, 1e-12))
        self._look_below = machine.residual * min(0.9, missing**_RESIDUAL_POWER)
        self._seen_at = machine.n_step
        self._look_s = max(self._look_s, 4.0 * (perf_counter() - began))

    def _believed_gap(self, machine: Machine) -> float:
        """What the gap would be if every kW over a cap were moved at the spread of the energy prices."""
        machine.write_power_kw(self._raw_kw)
        costs = price_plan(self._problem, self._network, self._raw_kw)
        over_kw = np.maximum(costs.node_power_kw - self._network.cap_kw, 0.0).sum()
        cost_gbp = costs.total_gbp + self._problem.step_h * self._spread * over_kw
        return abs(self._gap_of(float(cost_gbp)))

    def _make_safe(self) -> float:
        """Cut the power as it is to every limit and refill it; keep the plan if it is the cheapest so far."""
        power_kw = safe_power_kw(self._problem, self._network, self._raw_kw, threads=self._threads)
        costs = price_plan(self._problem, self._network, power_kw)
        if self._gap_of(costs.total_gbp) > self._gap:
            refill(self._problem, self._network, power_kw, threads=self._threads)
            costs = price_plan(self._problem, self._network, power_kw)
        if costs.total_gbp < self._cost_gbp:
            self._cost_gbp, self._power_kw = costs.total_gbp, power_kw
        return self._gap_of(costs.total_gbp)

    def _gap_of(self, cost_gbp: float) -> float:
        return (cost_gbp - self._bound_gbp) / max(1.0, abs(self._bound_gbp))
