"""Offer headroom no plan uses: a car nobody expected, or one that needs more, can still charge when it is cheap.

A plan is made for forecast sessions; setpoints are ceilings. Raising them where room is left changes no limit: the
raised ceilings, all drawn at once, stay within every node's cap, and the independent check adds them up again.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.core.diversity import NO_NODE, NodeLinks, spare_ceilings_kw
from aggregator.core.fleet import Fleet
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray, Int16Array, IntArray
from dispatch.core.check import add_up, check_nodes
from dispatch.core.network import share_matrix
from dispatch.core.problem import TURN_UP, DispatchProblem, FlexRequest
from dispatch.core.rounding import PHASE_KV, least_a, most_a


@dataclass(frozen=True, slots=True)
class FleetCeilings:
    """What each EVSE of a fleet is told.

    Attributes:
        setpoint_a: (n_evse, n_period) whole amperes a phase.
        setpoint_kw, planned_kw: (n_evse, n_period) the same in kW, and the plan's part of it.
        node_kw: (n_node, n_period) what the nodes carry if every EVSE draws its ceiling.
    """

    setpoint_a: Int16Array
    setpoint_kw: FloatArray
    planned_kw: FloatArray
    node_kw: FloatArray


def fleet_problem(area: NetworkArea, fleet: Fleet, grid: TimeGrid, cap_kw: FloatArray) -> DispatchProblem:
    """Every EVSE of the fleet as if plugged in all day and in need of nothing: what ceilings are checked against."""
    n_evse = fleet.n_evse
    return DispatchProblem(
        step_h=grid.step_h,
        node_ids=area.codes,
        node_parent=area.parent,
        node_is_phase=area.is_phase,
        node_limit_kw=cap_kw,
        node_diversity=np.ones(area.n_node),
        node_ramp_kw=np.full(area.n_node, np.inf),
        session_ids=fleet.evse_ids,
        session_node=fleet.node,
        session_phases=fleet.phases,
        session_start=np.zeros(n_evse, dtype=np.int64),
        session_end=np.full(n_evse, grid.n_period, dtype=np.int64),
        session_max_kw=fleet.rated_kw,
        session_energy_kwh=np.zeros(n_evse),
        session_min_kw=fleet.min_current_a * PHASE_KV * fleet.phases,
        session_unserved_gbp_per_kwh=np.zeros(n_evse),
        session_tariff=np.zeros(n_evse, dtype=np.int64),
        price_gbp_per_kwh=np.zeros((1, grid.n_period)),
        requests=(),
        ramp_gbp_per_kwh=0.0,
    )


def node_links(problem: DispatchProblem) -> NodeLinks:
    """Which nodes each session loads and by how much, padded to one width."""
    by_session = share_matrix(problem).tocsc()
    n_link = np.diff(by_session.indptr)
    width = int(n_link.max(initial=1))
    shape = (problem.n_session, width)
    used = np.arange(width) < n_link[:, np.newaxis]
    node, share = np.full(shape, NO_NODE, dtype=np.int64), np.zeros(shape)
    node[used], share[used] = by_session.indices, by_session.data
    return NodeLinks(node, share, problem.n_node)


def open_periods(
    price_gbp_per_kwh: FloatArray, planned_a: Int16Array, requests: tuple[FlexRequest, ...], *, share: float
) -> BoolArray:
    """(n_evse, n_period) where each EVSE may be offered more than its plan, outside every turn-down's window.

    In the cheap part of the day, and from the end of its planned charging on: what a car still needs then, no plan
    will bring. Cheap are the ``share`` of periods with the lowest prices, but none at the highest price of a day that
    has several: under two prices only the lower one is cheap, under a flat price every period.

    Args:
        planned_a: (n_evse, n_period) amperes of the plan; an EVSE without any is open all day.
    """
    is_flat = price_gbp_per_kwh.min() == price_gbp_per_kwh.max()
    is_cheap = (price_gbp_per_kwh <= np.quantile(price_gbp_per_kwh, share)) & (
        is_flat | (price_gbp_per_kwh < price_gbp_per_kwh.max())
    )
    still_planned = np.cumsum(planned_a[:, ::-1] > 0, axis=1)[:, ::-1] > 0
    is_open: BoolArray = is_cheap | ~still_planned
    for request in sorted(requests, key=lambda request: -request.direction):  # where both are asked, down wins
        is_open[:, request.start : request.end] = request.direction == TURN_UP
    return is_open


def valley_kw(background_kw: FloatArray, *, level: float) -> FloatArray:
    """(n_node, n_period) EV power that lifts no node above ``level`` times the highest demand it sees without EVs.

    Spare that filled every node to its rating would let all cars start at once when a request or a dear hour ends, and
    make a second peak. A node without other demand has no valley, and no bound.

    Args:
        background_kw: (n_node, n_period) other demand expected that day.
    """
    peak_kw = background_kw.max(axis=1, keepdims=True)
    valley: FloatArray = np.where(peak_kw > 0, np.maximum(level * peak_kw - background_kw, 0.0), np.inf)
    return valley


def offer_spare(
    problem: DispatchProblem,
    planned_a: Int16Array,
    *,
    is_open: BoolArray,
    order: IntArray,
    bound_kw: FloatArray | None = None,
) -> FleetCeilings:
    """Raise planned ceilings into unused headroom, in whole amperes.

    Args:
        problem: of the whole fleet (``fleet_problem``).
        planned_a: (n_evse, n_period) amperes of the plan.
        is_open: (n_evse, n_period) where ceilings may be raised.
        order: (n_evse,) who is raised to its minimum first; turned from day to day.
        bound_kw: (n_node, n_period) nothing is raised above it (``valley_kw``), whatever the cap would allow.

    Returns:
        Ceilings nowhere below ``planned_a``; 0 or at least each device's minimum.

    Raises:
        CheckFailed: the ceilings break a cap after all; a bug, and never answered with those ceilings.
    """
    unit_kw = PHASE_KV * problem.session_phases[:, np.newaxis]
    least, most = least_a(problem)[:, np.newaxis], most_a(problem)[:, np.newaxis]
    raised_kw = spare_ceilings_kw(
        setpoint_kw=planned_a * unit_kw,
        rated_kw=problem.session_max_kw,
        min_kw=least[:, 0] * unit_kw[:, 0],
        links=node_links(problem),
        limit_kw=problem.node_limit_kw if bound_kw is None else np.minimum(problem.node_limit_kw, bound_kw),
        order=order,
        is_open=is_open & (most > 0),  # one whose rating is under its minimum would only take from others
    )
    whole_a = np.minimum(np.floor(raised_kw / unit_kw + 1e-9), most)
    setpoint_a = np.maximum(planned_a, np.where(whole_a >= least, whole_a, 0)).astype(np.int16)
    setpoint_kw = setpoint_a * unit_kw
    check_nodes(problem, setpoint_kw)
    return FleetCeilings(setpoint_a, setpoint_kw, planned_a * unit_kw, add_up(problem, setpoint_kw))


def release(
    problem: DispatchProblem,
    setpoint_a: Int16Array,
    *,
    is_present: BoolArray,
    is_open: BoolArray,
    order: IntArray,
    bound_kw: FloatArray | None = None,
) -> FleetCeilings:
    """Hand the ceilings of EVSEs without a car, period by period, to those with one.

    Who is there is known when a period starts; a car that comes later in it waits for the next, since what it would
    have been allowed is in use. Within a turn-down nobody is told more than before.

    Args:
        problem: of the whole fleet (``fleet_problem``).
        setpoint_a: (n_evse, n_period) amperes told the day before.
        is_present, is_open: (n_evse, n_period) plugged in at the start; where a ceiling may be raised.
        order, bound_kw: as in ``offer_spare``.

    Raises:
        CheckFailed: the ceilings break a cap after all; a bug, and never answered with those ceilings.
    """
    kept_a = np.where(is_present, setpoint_a, 0).astype(np.int16)
    return offer_spare(problem, kept_a, is_open=is_open & is_present, order=order, bound_kw=bound_kw)
