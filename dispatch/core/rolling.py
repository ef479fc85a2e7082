"""The rolling horizon: what is left of a day's problem once it is known who came, and a plan moved along to it.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.core.belief import Need
from aggregator.core.errors import FlexError
from aggregator.core.fleet_state import AWAITED, FleetState
from aggregator.core.types import Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core.check import add_up
from dispatch.core.costs import price_plan
from dispatch.core.greedy import towards_zero
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchPlan, DispatchProblem, FlexRequest
from dispatch.core.rounding import ampere_kw
from dispatch.core.sessions import connected
from dispatch.core.validate import IdArray


class InvalidHorizon(FlexError):
    code = "dispatch.horizon_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Remaining:
    """The problem from ``now`` to the day's end.

    Attributes:
        problem: its sessions are those of EVs that are there and want energy, then those still awaited.
        evse: (n_session,) index into the fleet.
        request: (n_request,) index into the day's requests; those that are over are gone.
        held_kw: (n_evse, n_period of the rest) what EVSEs that follow no setpoint may draw; off the limits already.
    """

    now: int
    problem: DispatchProblem
    evse: IntArray
    request: IntArray
    held_kw: FloatArray


def remaining_problem(
    day: DispatchProblem,
    everyone: DispatchProblem,
    *,
    state: FleetState,
    need: Need,
    unserved_gbp_per_kwh: FloatArray,
    tariff: IntArray,
    told_a: Int16Array,
    fallback_kw: FloatArray,
    least_chance: float,
    bound_kw: FloatArray | None = None,
) -> Remaining:
    """The day's problem from now on, with EVs as they are.

    - An EV that is there wants what it is believed to want still, from now to when it is believed to leave.
    - One still awaited keeps its session of the day, from the next period on, while it is likely enough to come.
    - One that was overridden draws its rating until it is believed to leave, whatever it is told.
    - One offline may draw its last ceiling or its fallback, whichever is more, to the day's end.

    Both of the latter are taken off every node's limit, so no limit rests on their doing what they are told.

    Args:
        day: the whole day's problem; session ids are EVSE ids.
        everyone: every EVSE of the fleet as a session (``spare.fleet_problem``), in the order of ``state``.
        told_a: (n_evse, n_period of the day) ceilings told last.
        unserved_gbp_per_kwh, tariff: (n_evse,) of any EVSE's session, expected or not.
        fallback_kw: (n_evse,) what an EVSE may draw that lost its setpoints.
        least_chance: an EVSE less likely to see an EV yet is left out.
        bound_kw: (n_node, n_period of the rest) further caps, +inf for none.

    Raises:
        InvalidHorizon: nothing of the day is left, or ``everyone`` and ``state`` hold other EVSEs.
    """
    if not state.now < day.n_period:
        raise InvalidHorizon(f"period {state.now} is not one of the day's {day.n_period}", now=state.now)
    if not np.array_equal(everyone.session_ids, state.evse_ids):
        raise InvalidHorizon("the fleet's problem and its state must hold the same EVSEs in the same order")
    now, rest = state.now, rest_of(everyone, state.now)
    held_kw = _held_kw(rest, state, need, told_a[:, now:], fallback_kw)
    here = np.flatnonzero(state.is_present & (need.energy_kwh > 0) & ~state.is_overridden & ~state.is_offline)
    due, of_day = _awaited(day, state, need, least_chance)
    evse = np.concatenate([here, due])
    start = np.maximum(day.session_start[of_day] - now, 1)  # one that comes in this period waits for the next
    node_held_kw = add_up(rest, held_kw)
    requests, request = _requests_left(day, node_held_kw, now)
    limit_kw = day.node_limit_kw[:, now:] - node_held_kw
    problem = replace(
        rest,
        node_limit_kw=limit_kw if bound_kw is None else np.minimum(limit_kw, bound_kw),
        node_diversity=day.node_diversity,
        node_ramp_kw=day.node_ramp_kw,
        session_ids=rest.session_ids[evse],
        session_node=rest.session_node[evse],
        session_phases=rest.session_phases[evse],
        session_start=np.concatenate([np.zeros(len(here), dtype=np.int64), start]),
        session_end=np.concatenate([need.end[here], day.session_end[of_day]]) - now,
        session_max_kw=rest.session_max_kw[evse],
        session_energy_kwh=np.concatenate([need.energy_kwh[here], day.session_energy_kwh[of_day]]),
        session_min_kw=rest.session_min_kw[evse],
        session_unserved_gbp_per_kwh=unserved_gbp_per_kwh[evse],
        session_tariff=tariff[evse],
        price_gbp_per_kwh=day.price_gbp_per_kwh[:, now:],
        requests=requests,
        ramp_gbp_per_kwh=day.ramp_gbp_per_kwh,
    )
    return Remaining(now, _hold_diversity(problem, rest, held_kw), evse, request, held_kw)


def shift_plan(plan: DispatchPlan, old: DispatchProblem, new: DispatchProblem, *, n_gone: int) -> DispatchPlan:
    """Move a plan ``n_gone`` periods on to another problem: a start for its solver, no plan to be sent.

    Sessions are matched by id, and so are nodes for their prices. A session the old plan didn't know starts at
    nothing; power outside a session's new window or above its need is cut. Limits aren't looked at: the bound is
    minus infinity and the violation infinite, because nothing was proved of it.

    Raises:
        InvalidHorizon: steps of other lengths, or a shift before the old plan's first period or past its last.
    """
    if old.step_h != new.step_h or not 0 <= n_gone < old.n_period:
        raise InvalidHorizon(
            f"a plan of {old.n_period} periods of {old.step_h} h can't move {n_gone} on to steps of {new.step_h} h",
            n_gone=n_gone,
        )
    network = Network.of(new)
    row = rows_of(old.session_ids, new.session_ids)
    moved_kw = _moved(plan.power_kw, row, n_gone, new.n_period) * connected(new)
    power_kw = _within_need(np.minimum(moved_kw, new.session_max_kw[:, np.newaxis]), network, new.step_h)
    setpoint_a = (_moved(plan.setpoint_a, row, n_gone, new.n_period) * connected(new)).astype(np.int16)
    costs = price_plan(new, network, power_kw)
    node = rows_of(old.node_ids, new.node_ids)
    return replace(
        plan,
        power_kw=power_kw,
        unserved_kwh=costs.unserved_kwh,
        unserveable_kwh=new.session_energy_kwh - network.serveable_kwh,
        shortfall_kw=costs.shortfall_kw,
        node_power_kw=costs.node_power_kw,
        node_price_gbp_per_kwh=_moved(plan.node_price_gbp_per_kwh, node, n_gone, new.n_period),
        cost_gbp=costs.total_gbp,
        cost_energy_gbp=costs.energy_gbp,
        cost_unserved_gbp=costs.unserved_gbp,
        cost_shortfall_gbp=costs.shortfall_gbp,
        cost_ramp_gbp=costs.ramp_gbp,
        unavoidable_gbp=0.0,
        lower_bound_gbp=-np.inf,
        gap=np.inf,
        setpoint_a=setpoint_a,
        rounded_unserved_kwh=costs.unserved_kwh,
        rounding_cost_gbp=0.0,
        max_violation_kw=np.inf,
        rung="last-plan",
    )


def start_of(problem: DispatchProblem, power_kw: FloatArray, node_price_gbp_per_kwh: FloatArray) -> DispatchPlan:
    """A plan of which only its (n_session, n_period) power and its (n_node, n_period) prices were kept.

    Good to start from, not to send: its costs are taken, nothing is proved, and setpoints are its power rounded down.
    """
    costs = price_plan(problem, Network.of(problem), power_kw)
    return DispatchPlan(
        power_kw=towards_zero(power_kw),
        unserved_kwh=costs.unserved_kwh,
        unserveable_kwh=np.zeros(problem.n_session),
        shortfall_kw=costs.shortfall_kw,
        node_power_kw=costs.node_power_kw,
        node_price_gbp_per_kwh=node_price_gbp_per_kwh,
        cost_gbp=costs.total_gbp,
        cost_energy_gbp=costs.energy_gbp,
        cost_unserved_gbp=costs.unserved_gbp,
        cost_shortfall_gbp=costs.shortfall_gbp,
        cost_ramp_gbp=costs.ramp_gbp,
        unavoidable_gbp=0.0,
        lower_bound_gbp=-np.inf,
        gap=np.inf,
        setpoint_a=np.floor(power_kw / ampere_kw(problem)[:, np.newaxis]).astype(np.int16),
        rounded_unserved_kwh=costs.unserved_kwh,
        rounding_cost_gbp=0.0,
        max_violation_kw=np.inf,
        rung="last-plan",
        method="stored",
        iterations=0,
        solve_s=0.0,
    )


def rows_of(known: IdArray, asked: IdArray) -> IntArray:
    """(n_asked,) row of each asked id among the known ones, -1 where it isn't one of them."""
    if not len(known):
        return np.full(len(asked), -1)
    order = np.argsort(known)
    at = order[np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)]
    rows: IntArray = np.where(known[at] == asked, at, -1)
    return rows


def _held_kw(
    everyone: DispatchProblem, state: FleetState, need: Need, told_a: Int16Array, fallback_kw: FloatArray
) -> FloatArray:
    """(n_evse, n_left) power of EVSEs that follow no setpoint now."""
    period = state.now + np.arange(told_a.shape[1])
    rated_kw = everyone.session_max_kw[:, np.newaxis]
    until = np.where(state.is_full, state.now, need.end)
    overridden_kw = np.where(state.is_overridden[:, np.newaxis] & (period < until[:, np.newaxis]), rated_kw, 0.0)
    last_kw = np.maximum(told_a * ampere_kw(everyone)[:, np.newaxis], fallback_kw[:, np.newaxis])
    offline_kw = np.where(state.is_offline[:, np.newaxis], last_kw, 0.0)
    held_kw: FloatArray = np.maximum(overridden_kw, np.minimum(offline_kw, rated_kw))
    return held_kw


def rest_of(everyone: DispatchProblem, now: int) -> DispatchProblem:
    """The fleet's problem without the periods that are over."""
    n_left = everyone.n_period - now
    return replace(
        everyone,
        node_limit_kw=everyone.node_limit_kw[:, now:],
        session_start=np.zeros(everyone.n_session, dtype=np.int64),
        session_end=np.full(everyone.n_session, n_left),
        price_gbp_per_kwh=everyone.price_gbp_per_kwh[:, now:],
    )


def _hold_diversity(problem: DispatchProblem, rest: DispatchProblem, held_kw: FloatArray) -> DispatchProblem:
    """Where a share of the connected ratings is the limit, EVSEs that follow no setpoint fill it like any other."""
    diverse = problem.node_diversity < 1
    if not (diverse.any() and held_kw.any()):
        return problem
    rated_kw = np.where(held_kw > 0, rest.session_max_kw[:, np.newaxis], 0.0)
    all_rated_kw = Network.of(problem).rated_kw + add_up(rest, rated_kw)
    left_kw = problem.node_diversity[:, np.newaxis] * all_rated_kw - add_up(rest, held_kw)
    limit_kw = np.where(diverse[:, np.newaxis], np.minimum(problem.node_limit_kw, left_kw), problem.node_limit_kw)
    return replace(problem, node_limit_kw=limit_kw)


def _awaited(day: DispatchProblem, state: FleetState, need: Need, least_chance: float) -> tuple[IntArray, IntArray]:
    """EVSEs whose EV is still to come, and the rows of their sessions in the day's problem."""
    row = rows_of(day.session_ids, state.evse_ids)
    likely = (state.presence == AWAITED) & ~state.is_offline & (need.chance >= least_chance) & (row >= 0)
    evse = np.flatnonzero(likely)
    evse = evse[day.session_end[row[evse]] > state.now + 1]
    return evse, row[evse]


def _requests_left(day: DispatchProblem, held_kw: FloatArray, now: int) -> tuple[tuple[FlexRequest, ...], IntArray]:
    """Requests that aren't over, less what EVSEs without setpoints draw at their nodes: the least sure part of it."""
    left = [index for index, request in enumerate(day.requests) if request.end > now]
    requests = []
    for request in (day.requests[index] for index in left):
        start, end = max(request.start - now, 0), request.end - now
        held = held_kw[request.node, start:end]
        sure_kw = float(held.max() if request.direction == TURN_DOWN else held.min())
        requests.append(replace(request, start=start, end=end, target_kw=max(request.target_kw - sure_kw, 0.0)))
    return tuple(requests), np.array(left, dtype=np.int64)


def _moved(values: Float32Array | FloatArray | Int16Array, row: IntArray, n_gone: int, n_period: int) -> FloatArray:
    """(n_row, n_period) rows by index, ``n_gone`` columns dropped; 0 where there is no row or no column."""
    moved = np.zeros((len(row), n_period))
    n_kept = min(n_period, values.shape[1] - n_gone)
    is_known = row >= 0
    moved[is_known, :n_kept] = values[row[is_known], n_gone : n_gone + n_kept]
    return moved


def _within_need(power_kw: FloatArray, network: Network, step_h: float) -> Float32Array:
    """Power cut off in time once it makes the session's serveable energy."""
    taken_kwh = np.minimum(np.cumsum(step_h * power_kw, axis=1), network.serveable_kwh[:, np.newaxis])
    return towards_zero(np.minimum(np.diff(taken_kwh, axis=1, prepend=0.0) / step_h, power_kw))
