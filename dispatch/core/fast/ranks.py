"""Bring penalties near the prices of energy, keeping their order, and stretch the prices found back.

A penalty of 100 GBP/kWh would have to be climbed by prices that move in pennies. But once a penalty is dearer than any
difference between energy prices, how much dearer hardly matters: it says who is served first, by order alone. So the
gaps between neighbouring penalties are cut down to a few times what energy prices differ by. The certificate is taken
at the true penalties, with prices stretched where a penalty shows in them.
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.core.types import FloatArray, IntArray
from dispatch.core.bound import Prices
from dispatch.core.problem import TURN_DOWN, DispatchProblem

_LEAST_SPREAD = 1e-3
# A gap is left as it is up to this many spreads of the energy prices.
_WIDEST_GAP = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Penalties as they are and as the engine sees them, all in GBP/kWh.

    Attributes:
        true, near: (n_level,) the different penalties, rising, and what they are brought to.
        unserved_gbp_per_kwh, shortfall_gbp_per_kwh: (n_session,), (n_request,) brought near.
        spread_gbp_per_kwh: what energy prices differ by; at least something.
        highest_gbp_per_kwh: the dearest energy.
    """

    true: FloatArray
    near: FloatArray
    unserved_gbp_per_kwh: FloatArray
    shortfall_gbp_per_kwh: FloatArray
    spread_gbp_per_kwh: float
    highest_gbp_per_kwh: float

    @classmethod
    def of(cls, problem: DispatchProblem) -> "Ranks":
        """Rank the penalties of a problem above its energy prices."""
        price = problem.price_gbp_per_kwh
        spread = max(float(np.ptp(price)) if price.size else 0.0, _LEAST_SPREAD)
        highest = float(price.max(initial=0.0))
        unserved = problem.session_unserved_gbp_per_kwh
        shortfall = np.array([request.shortfall_gbp_per_kwh for request in problem.requests], dtype=np.float64)
        true = np.unique(np.concatenate([unserved, shortfall, [max(highest, 0.0)]]))
        widest = _WIDEST_GAP * spread + 2.0 * problem.ramp_gbp_per_kwh
        near = true[0] + np.concatenate([[0.0], np.cumsum(np.minimum(np.diff(true), widest))])
        return cls(true, near, _at(true, near, unserved), _at(true, near, shortfall), spread, highest)

    @classmethod
    def true_ones(cls, problem: DispatchProblem) -> "Ranks":
        """The penalties as they are."""
        ranks = cls.of(problem)
        shortfall = np.array([request.shortfall_gbp_per_kwh for request in problem.requests], dtype=np.float64)
        return replace(
            ranks,
            near=ranks.true,
            unserved_gbp_per_kwh=problem.session_unserved_gbp_per_kwh,
            shortfall_gbp_per_kwh=shortfall,
            spread_gbp_per_kwh=max(ranks.spread_gbp_per_kwh, float(ranks.true[-1])),
        )

    @property
    def is_plain(self) -> bool:
        """Whether every penalty is as it was."""
        return bool(self.near[-1] == self.true[-1])

    def stretch(self, problem: DispatchProblem, prices: Prices) -> Prices:
        """Prices for the true penalties, of those found for the near ones."""
        if self.is_plain:
            return prices
        near, true = self._knots()
        return self._mapped(problem, prices, _Map(near, true, self.near, self.true))

    def shrink(self, problem: DispatchProblem, prices: Prices) -> Prices:
        """The other way, for a start from an earlier plan's prices."""
        if self.is_plain:
            return prices
        near, true = self._knots()
        return self._mapped(problem, prices, _Map(true, near, self.true, self.near))

    def _mapped(self, problem: DispatchProblem, prices: Prices, rule: "_Map") -> Prices:
        """Map what a kW pays in all down to each node, and take each node's part as the difference it makes.

        A rising map keeps every part at least nothing. Where a session goes unserved, what it pays is its penalty
        less the price of energy: the map moves that band as a whole and stretches only what lies between bands.
        """
        step_h = problem.step_h
        down = np.zeros_like(prices.cap)
        cap, request = np.zeros_like(prices.cap), prices.request.copy()
        of_node = _requests_by_node(problem)
        for level in _levels(problem.node_parent):
            parent = problem.node_parent[level]
            above = np.where(parent[:, np.newaxis] >= 0, down[np.maximum(parent, 0)], 0.0)
            with_cap = above + prices.cap[level]
            cap[level] = rule.charge(with_cap, step_h) - rule.charge(above, step_h)
            down[level] = with_cap
            for node in set(level.tolist()) & of_node.keys():
                for index in of_node[node]:
                    if problem.requests[index].direction != TURN_DOWN:
                        request[index] = rule.penalty(prices.request[index], step_h)
                        continue
                    after = down[node] + prices.request[index]
                    request[index] = rule.charge(after, step_h) - rule.charge(down[node], step_h)
                    down[node] = after
        return Prices(cap, request, prices.ramp_up, prices.ramp_down)

    def _knots(self) -> tuple[FloatArray, FloatArray]:
        """Where charges for near penalties lie, and where those for true ones: straight lines run between.

        The band below each penalty, as wide as energy prices differ, is moved as a whole; what lies under a band is
        left as the band before it, but for one spread in which the map catches up.
        """
        lowest = self.highest_gbp_per_kwh - self.spread_gbp_per_kwh
        low, high = self.near - self.highest_gbp_per_kwh, self.near - min(lowest, 0.0)
        shift, before = self.true - self.near, low - self.spread_gbp_per_kwh
        near = np.stack([before, low, high])
        true = near + np.stack([np.concatenate([[0.0], shift[:-1]]), shift, shift])
        kept = (before > 0)[np.newaxis].repeat(3, axis=0)
        near, true = np.append(0.0, near[kept]), np.append(0.0, true[kept])
        order = np.argsort(near, kind="stable")
        return near[order], np.maximum.accumulate(true[order])


def _at(true: FloatArray, near: FloatArray, penalty: FloatArray) -> FloatArray:
    brought: FloatArray = near[np.searchsorted(true, penalty)]
    return brought


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """A rising map of charges, by knots and their values, and of penalties; all in GBP/kWh."""

    knots: FloatArray
    values: FloatArray
    penalty_knots: FloatArray
    penalty_values: FloatArray

    def charge(self, charge: FloatArray, step_h: float) -> FloatArray:
        """Map charges in GBP per kW and period; beyond both ends they go on as they are."""
        beyond = np.maximum(charge - step_h * self.knots[-1], 0.0) + np.minimum(charge, 0.0)
        mapped: FloatArray = step_h * np.interp(charge / step_h, self.knots, self.values) + beyond
        return mapped

    def penalty(self, price: FloatArray, step_h: float) -> FloatArray:
        """Map the prices of a request that pays for power."""
        mapped: FloatArray = step_h * np.interp(price / step_h, self.penalty_knots, self.penalty_values)
        return np.where(price > 0, mapped, 0.0)


def _requests_by_node(problem: DispatchProblem) -> dict[int, list[int]]:
    of_node: dict[int, list[int]] = {}
    for index, request in enumerate(problem.requests):
        of_node.setdefault(request.node, []).append(index)
    return of_node


def _levels(parent: IntArray) -> list[IntArray]:
    """Nodes by depth, the roots first."""
    depth = np.zeros(len(parent), dtype=np.int64)
    for node in range(len(parent)):
        if parent[node] >= 0:
            depth[node] = depth[parent[node]] + 1
    return [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=-1)) + 1)]
