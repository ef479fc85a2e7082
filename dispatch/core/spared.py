"""Requests that spare some EVSEs: those are planned as if the request had not been made, and the others around them.

Two solves. The first leaves out the requests that spare anybody, and of its plan those spared keep theirs. The second
plans the others under all requests, in what room that leaves and towards what it leaves of each target.

Source: docs/methods/dispatch.md
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core.check import add_up
from dispatch.core.costs import price_plan
from dispatch.core.network import Network
from dispatch.core.problem import RUNGS, TURN_DOWN, DispatchPlan, DispatchProblem, FlexRequest
from dispatch.core.proof import Candidate, prove
from dispatch.core.rounding import ampere_kw

Solver: TypeAlias = Callable[..., DispatchPlan]


class InvalidSpared(FlexError):
    code = "dispatch.spared_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Spared:
    """Whom requests spare.

    An EVSE that one request spares is spared by all that spare anybody: whose plan none of them may move.

    Attributes:
        who: (n,) EVSEs, or sessions.
        by: (n_request,) requests that spare anybody.
    """

    who: BoolArray
    by: BoolArray

    @property
    def is_any(self) -> bool:
        return bool(self.who.any() and self.by.any())

    def of(self, who: IntArray, requests: IntArray | None = None) -> "Spared":
        """For rows ``who`` of these, under these requests; under all where none are named."""
        return Spared(self.who[who], self.by if requests is None else self.by[requests])

    def others(self, requests: tuple[FlexRequest, ...]) -> tuple[FlexRequest, ...]:
        """The requests that call on everybody."""
        return tuple(request for request, spares in zip(requests, self.by.tolist(), strict=True) if not spares)


def nobody_spared(n: int, n_request: int) -> Spared:
    """Requests that all call on everybody."""
    return Spared(np.zeros(n, dtype=np.bool_), np.zeros(n_request, dtype=np.bool_))


def solve_sparing(
    problem: DispatchProblem,
    spared: Spared,
    *,
    solver: Solver,
    method: str,
    gap: float,
    time_limit_s: float,
    **options: Any,
) -> DispatchPlan:
    """Dispatch one network area, sparing some of its sessions.

    Args:
        spared: (n_session,) and (n_request,).
        solver: ``solve``, or what answers as it does; ``options`` go to its first call.

    Raises:
        InvalidSpared: shapes that are not the problem's.
        FlexError: what the solver raises.
    """
    if spared.who.shape != (problem.n_session,) or spared.by.shape != (problem.n_request,):
        raise InvalidSpared(
            f"{len(spared.who)} sessions and {len(spared.by)} requests, expected {problem.n_session} and "
            f"{problem.n_request}"
        )
    if not spared.is_any:
        return solver(problem, method=method, gap=gap, time_limit_s=time_limit_s, **options)
    started = perf_counter()
    half = {"method": method, "gap": gap, "time_limit_s": time_limit_s / 2}
    first = solver(replace(problem, requests=spared.others(problem.requests)), **half, **options)
    second = solver(_others_problem(problem, spared, first), **half)
    network, power_kw, setpoint_a = Network.of(problem), *_together(spared.who, first, second)
    bound_gbp = second.lower_bound_gbp + _fixed_gbp(problem, network, spared, first)
    rung = max(first.rung, second.rung, key=RUNGS.index)
    candidate = Candidate(
        power_kw,
        second.node_price_gbp_per_kwh,
        bound_gbp,
        f"{second.method} sparing",
        first.iterations + second.iterations,
        rung,
    )
    return prove(
        problem,
        network,
        candidate,
        gap=gap,
        elapsed_s=lambda: perf_counter() - started,
        setpoint_a=setpoint_a,
    )


def _kept_kw(spared: Spared, first: DispatchPlan) -> FloatArray:
    """(n_session, n_period) power of those spared in the first plan, 0 of the others."""
    return np.where(spared.who[:, np.newaxis], first.power_kw.astype(np.float64), 0.0)


def _others_problem(problem: DispatchProblem, spared: Spared, first: DispatchPlan) -> DispatchProblem:
    """The problem of all others: less room at each node, and less left to reach of each target.

    What those spared may draw is their plan or their ceiling, whichever is more.
    """
    kept_kw = _kept_kw(spared, first)
    ceiling_kw = first.setpoint_a * ampere_kw(problem)[:, np.newaxis]
    most_kw = np.where(spared.who[:, np.newaxis], np.maximum(kept_kw, ceiling_kw), 0.0)
    node_kept_kw = add_up(problem, kept_kw)
    goes_on = ~spared.who
    requests = [one for request in problem.requests for one in _less_kept(request, node_kept_kw[request.node])]
    return replace(
        problem,
        # The shares of connected ratings are in the caps already, of all sessions.
        node_limit_kw=Network.of(problem).cap_kw - add_up(problem, most_kw),
        node_diversity=np.ones(problem.n_node),
        session_ids=problem.session_ids[goes_on],
        session_node=problem.session_node[goes_on],
        session_phases=problem.session_phases[goes_on],
        session_start=problem.session_start[goes_on],
        session_end=problem.session_end[goes_on],
        session_max_kw=problem.session_max_kw[goes_on],
        session_energy_kwh=problem.session_energy_kwh[goes_on],
        session_min_kw=problem.session_min_kw[goes_on],
        session_unserved_gbp_per_kwh=problem.session_unserved_gbp_per_kwh[goes_on],
        session_tariff=problem.session_tariff[goes_on],
        requests=tuple(requests),
    )


def _less_kept(request: FlexRequest, kept_kw: FloatArray) -> list[FlexRequest]:
    """A request a run of periods in which those kept draw the same at its node, (n_period,) ``kept_kw``."""
    window_kw = kept_kw[request.start : request.end]
    begins = np.flatnonzero(np.diff(window_kw, prepend=np.nan) != 0).tolist()
    ends = [*begins[1:], len(window_kw)]
    return [
        replace(
            request,
            start=request.start + begin,
            end=request.start + end,
            target_kw=max(request.target_kw - float(window_kw[begin]), 0.0),
        )
        for begin, end in zip(begins, ends, strict=True)
    ]


def _together(who: BoolArray, first: DispatchPlan, second: DispatchPlan) -> tuple[Float32Array, Int16Array]:
    """Power and ceilings of all sessions: of those spared by the first plan, of the others by the second."""
    power_kw, setpoint_a = first.power_kw.copy(), first.setpoint_a.copy()
    power_kw[~who], setpoint_a[~who] = second.power_kw, second.setpoint_a
    return power_kw, setpoint_a


def _fixed_gbp(problem: DispatchProblem, network: Network, spared: Spared, first: DispatchPlan) -> float:
    """What those spared cost at least, whatever the others do: no plan that keeps them is cheaper than that."""
    kept_kw = _kept_kw(spared, first)
    costs = price_plan(problem, network, kept_kw)
    missing_kwh = np.where(spared.who, costs.unserved_kwh, 0.0)
    beyond_gbp = sum(
        problem.step_h
        * request.shortfall_gbp_per_kwh
        * float(np.maximum(costs.node_power_kw[request.node, request.start : request.end] - request.target_kw, 0).sum())
        for request in problem.requests
        if request.direction == TURN_DOWN
    )
    change_kw = np.abs(np.diff(costs.node_power_kw, axis=1))[np.isfinite(problem.node_ramp_kw)]
    ramp_gbp = problem.step_h * problem.ramp_gbp_per_kwh * float(change_kw.sum())
    return costs.energy_gbp + float(problem.session_unserved_gbp_per_kwh @ missing_kwh) + beyond_gbp - ramp_gbp
