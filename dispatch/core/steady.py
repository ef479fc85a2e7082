"""What was told stands: a new plan changes a setpoint already sent only where a limit asks for it or it pays.

A changed setpoint costs a message, a switching of the EVSE's contactor and a driver's trust; a plan made anew every
half-hour would change many of them for fractions of a penny. So each change is put back, unless that breaks a limit or
costs more than the price of a change.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, Int16Array, IntArray
from dispatch.core import steady_kernels as kernels
from dispatch.core.check import check_nodes
from dispatch.core.costs import ramp_excess_kw, shortfall_kw
from dispatch.core.problem import DispatchProblem
from dispatch.core.rounding import ampere_kw, least_a, most_a
from dispatch.core.tree import Tree

NOTHING_TOLD = -1
# Wear is about a penny: a relay good for 100,000 switchings in an EVSE of 1,000 GBP. The rest is a message and a
# driver's trust, a design value: 5 p is what 0.5 kWh save between hours 10 p/kWh apart, or 25 Wh unserved at 2 GBP.
CHANGE_GBP = 0.05
_PASSES = 8


class InvalidTold(FlexError):
    code = "dispatch.told_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Steady:
    """Ceilings that change little of what was told.

    Attributes:
        setpoint_a: (n_session, n_period).
        is_changed: (n_session,) told something else than before.
        gain_gbp: what the changes gain over the steadiest ceilings, believed needs and all prices taken.
    """

    setpoint_a: Int16Array
    is_changed: BoolArray
    gain_gbp: float


def keep_told(
    problem: DispatchProblem,
    free_a: Int16Array,
    told_a: Int16Array,
    *,
    cap_kw: FloatArray,
    change_gbp: float = CHANGE_GBP,
) -> Steady:
    """Put back what was told where limits allow and it costs no more than ``change_gbp`` a session.

    Two answers are weighed by cost plus ``change_gbp`` for each change, and the cheaper is given: free ceilings whose
    changes are put back one by one while that pays, and ceilings that keep all that fits.

    Args:
        problem: sessions as believed; all of them may be told something in every period.
        free_a: (n_session, n_period) ceilings of a plan made freely; within every cap.
        told_a: (n_session, n_told) what was told for the first periods, ``NOTHING_TOLD`` where nothing was.
        cap_kw: (n_node, n_period) hard caps.
        change_gbp: 0 changes whatever gains anything; infinity only what a limit asks for.

    Raises:
        InvalidTold: shapes that don't belong together, a told current that no plan could have held, or no price.
        CheckFailed: the ceilings break a cap after all; a bug, and never answered with those ceilings.
    """
    _refuse_bad_told(problem, free_a, told_a, change_gbp)
    facts = _Facts.of(problem, cap_kw)
    order = _raised_first(free_a, told_a)
    paying_a = _put_back(facts, free_a, told_a, order, change_gbp)
    kept_a = _put_back(facts, free_a, told_a, order, np.inf)
    gain_gbp = facts.cost_gbp(kept_a) - facts.cost_gbp(paying_a)
    n_paying, n_kept = _changed(told_a, paying_a).sum(), _changed(told_a, kept_a).sum()
    pays = n_paying == n_kept or gain_gbp > change_gbp * (n_paying - n_kept)
    chosen_a = paying_a if pays else kept_a
    ceiling_kw = chosen_a * ampere_kw(problem)[:, np.newaxis]
    check_nodes(_within(problem, cap_kw), ceiling_kw)
    return Steady(chosen_a, _changed(told_a, chosen_a), gain_gbp if pays else 0.0)


def _changed(told_a: Int16Array, setpoint_a: Int16Array) -> BoolArray:
    changed: BoolArray = ((told_a >= 0) & (told_a != setpoint_a[:, : told_a.shape[1]])).any(axis=1)
    return changed


def _raised_first(free_a: Int16Array, told_a: Int16Array) -> IntArray:
    """Changed sessions, those told less before in front: putting them back makes room for the others."""
    less_a = np.where(told_a >= 0, told_a - free_a[:, : told_a.shape[1]], 0).sum(axis=1, dtype=np.int64)
    changed = np.flatnonzero(_changed(told_a, free_a))
    order: IntArray = changed[np.argsort(less_a[changed], kind="stable")]
    return order


def _put_back(facts: "_Facts", free_a: Int16Array, told_a: Int16Array, order: IntArray, most_gbp: float) -> Int16Array:
    """Pass after pass until nothing more is put back, since one that makes room lets another in."""
    setpoint_a = free_a.astype(np.int16, copy=True)
    loads = facts.loads(setpoint_a)
    for _ in range(_PASSES):
        if not kernels.put_back(
            order, told_a, setpoint_a, facts.sessions, facts.network, facts.prices, loads, most_gbp
        ):
            break
    return setpoint_a


@dataclass(frozen=True, slots=True, eq=False)
class _Facts:
    """A problem as the loops read it."""

    problem: DispatchProblem
    tree: Tree
    sessions: kernels.Sessions
    network: kernels.Network
    prices: kernels.Prices

    @classmethod
    def of(cls, problem: DispatchProblem, cap_kw: FloatArray) -> "_Facts":
        tree = Tree.of(problem)
        sessions = kernels.Sessions(
            unit_kw=ampere_kw(problem),
            least_a=least_a(problem),
            most_a=most_a(problem),
            end=problem.session_end,
            energy_kwh=problem.session_energy_kwh,
            unserved_gbp_per_kwh=problem.session_unserved_gbp_per_kwh,
            tariff=problem.session_tariff,
            place=tree.session_place,
        )
        price = problem.price_gbp_per_kwh
        cheapest = np.argsort(price, axis=1, kind="stable")
        return cls(
            problem, tree, sessions, _network(problem, tree, cap_kw), kernels.Prices(price, cheapest, problem.step_h)
        )

    def drawn_kw(self, setpoint_a: Int16Array) -> FloatArray:
        """(n_session, n_period) what EVs draw under ceilings while they are there."""
        period = np.arange(self.problem.n_period)
        there = period < self.problem.session_end[:, np.newaxis]
        offered_kwh = self.problem.step_h * np.cumsum(setpoint_a * self.sessions.unit_kw[:, np.newaxis] * there, axis=1)
        taken_kwh = np.minimum(offered_kwh, self.problem.session_energy_kwh[:, np.newaxis])
        drawn_kw: FloatArray = np.diff(taken_kwh, axis=1, prepend=0.0) / self.problem.step_h
        return drawn_kw

    def loads(self, setpoint_a: Int16Array) -> kernels.Loads:
        ceiling_kw = setpoint_a * self.sessions.unit_kw[:, np.newaxis]
        tree = self.tree
        return kernels.Loads(
            tree.node_kw(tree.place_power_kw(ceiling_kw)),
            tree.node_kw(tree.place_power_kw(self.drawn_kw(setpoint_a))),
        )

    def cost_gbp(self, setpoint_a: Int16Array) -> float:
        """The objective of what EVs draw, but for energy no ceiling could serve, which no choice here changes."""
        drawn_kw, node_kw = self.drawn_kw(setpoint_a), self.loads(setpoint_a).drawn_kw
        price = self.prices.gbp_per_kwh[self.sessions.tariff] - self.sessions.unserved_gbp_per_kwh[:, np.newaxis]
        costs = float((price * drawn_kw).sum())
        missing = shortfall_kw(self.problem, node_kw).sum(axis=1)
        costs += float(self.network.request_gbp_per_kwh @ missing)
        costs += self.problem.ramp_gbp_per_kwh * float(ramp_excess_kw(self.problem, node_kw).sum())
        return costs * self.problem.step_h


def _network(problem: DispatchProblem, tree: Tree, cap_kw: FloatArray) -> kernels.Network:
    by_place = sparse.csr_matrix(tree.shares.T)
    requests = problem.requests

    def of_each(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    return kernels.Network(
        place_at=by_place.indptr.astype(np.int64),
        node=by_place.indices.astype(np.int64),
        share=by_place.data.astype(np.float64),
        cap_kw=np.ascontiguousarray(cap_kw),
        ramp_kw=problem.node_ramp_kw,
        ramp_gbp_per_kwh=problem.ramp_gbp_per_kwh,
        request_node=np.array([request.node for request in requests], dtype=np.int64),
        request_start=np.array([request.start for request in requests], dtype=np.int64),
        request_end=np.array([request.end for request in requests], dtype=np.int64),
        request_sign=of_each([request.direction for request in requests]),
        request_kw=of_each([request.target_kw for request in requests]),
        request_gbp_per_kwh=of_each([request.shortfall_gbp_per_kwh for request in requests]),
    )


def _within(problem: DispatchProblem, cap_kw: FloatArray) -> DispatchProblem:
    """The problem with its caps spelled out, for the check."""
    return replace(problem, node_limit_kw=cap_kw, node_diversity=np.ones(problem.n_node))


def _refuse_bad_told(problem: DispatchProblem, free_a: Int16Array, told_a: Int16Array, change_gbp: float) -> None:
    shape = (problem.n_session, problem.n_period)
    if free_a.shape != shape or told_a.ndim != 2 or len(told_a) != shape[0] or told_a.shape[1] > shape[1]:
        raise InvalidTold(
            f"free_a {free_a.shape} and told_a {told_a.shape} don't belong to {shape} sessions and periods"
        )
    if not change_gbp >= 0:
        raise InvalidTold(f"change_gbp is {change_gbp}, expected at least 0", field="change_gbp", value=change_gbp)
    told, least, most = told_a.astype(np.int64), least_a(problem)[:, np.newaxis], most_a(problem)[:, np.newaxis]
    bad = (told != NOTHING_TOLD) & (told != 0) & ((told < least) | (told > most))
    if bad.any():
        session, period = (int(at) for at in np.argwhere(bad)[0])
        who = str(problem.session_ids[session])
        raise InvalidTold(
            f"session {who!r} was told {told[session, period]} A for period {period}; expected {NOTHING_TOLD} for "
            f"nothing, 0, or {least[session, 0]} to {most[session, 0]} A",
            session=who,
            period=period,
        )
