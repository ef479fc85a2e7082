"""Offer headroom no plan uses: a car nobody expected, or one that needs more, can still charge when it is cheap.

A plan is made for forecast sessions; setpoints are ceilings. Raising them where room is left changes no limit: the
raised ceilings, all drawn at once, stay within every node's cap, and the independent check adds them up again.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from aggregator.core.diversity import NO_NODE, NodeLinks, spare_ceilings_kw
from aggregator.core.fleet import Fleet
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray, Int16Array, IntArray
from dispatch.core.check import add_up, check_nodes
from dispatch.core.problem import TURN_UP, DispatchProblem, FlexRequest
from dispatch.core.rounding import PHASE_KV, ampere_kw, least_a, most_a
from dispatch.core.spared import Spared
from dispatch.core.tree import Tree


@dataclass(frozen=True, slots=True)
class FleetCeilings:
    """What each EVSE of a fleet is told.

    Attributes:
        setpoint_a, planned_a: (n_evse, n_period) whole amperes a phase: the ceiling, and the plan's part of it.
        ampere_kw: (n_evse,) kW of one ampere a phase.
        node_kw: (n_node, n_period) what the nodes carry if every EVSE draws its ceiling.
    """

    setpoint_a: Int16Array
    planned_a: Int16Array
    ampere_kw: FloatArray
    node_kw: FloatArray

    @property
    def setpoint_kw(self) -> FloatArray:
        """(n_evse, n_period) worked out anew each time: four times the amperes' memory."""
        setpoint_kw: FloatArray = self.setpoint_a * self.ampere_kw[:, np.newaxis]
        return setpoint_kw

    @property
    def planned_kw(self) -> FloatArray:
        """(n_evse, n_period) as ``setpoint_kw``."""
        planned_kw: FloatArray = self.planned_a * self.ampere_kw[:, np.newaxis]
        return planned_kw


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
    """Which nodes the sessions of each place load and by how much, padded to one width."""
    tree = Tree.of(problem)
    by_place = tree.shares.tocsc()
    n_link = np.diff(by_place.indptr)
    width = int(n_link.max(initial=1))
    used = np.arange(width) < n_link[:, np.newaxis]
    node, share = np.full(used.shape, NO_NODE, dtype=np.int64), np.zeros(used.shape)
    node[used], share[used] = by_place.indices, by_place.data
    return NodeLinks(node, share, problem.n_node, tree.session_place)


def open_periods(
    price_gbp_per_kwh: FloatArray,
    planned_a: Int16Array,
    requests: tuple[FlexRequest, ...],
    *,
    share: float,
    spared: Spared | None = None,
) -> BoolArray:
    """(n_evse, n_period) where each EVSE may be offered more than its plan, outside every turn-down's window.

    In the cheap part of the day, and from the end of its planned charging on: what a car still needs then, no plan
    will bring. Cheap are the ``share`` of periods with the lowest prices, but none at the highest price of a day that
    has several: under two prices only the lower one is cheap, under a flat price every period.

    Args:
        planned_a: (n_evse, n_period) amperes of the plan; an EVSE without any is open all day.
        spared: EVSEs for which the requests that spare them close and open nothing; None for none.
    """
    is_flat = price_gbp_per_kwh.min() == price_gbp_per_kwh.max()
    is_cheap = (price_gbp_per_kwh <= np.quantile(price_gbp_per_kwh, share)) & (
        is_flat | (price_gbp_per_kwh < price_gbp_per_kwh.max())
    )
    is_open: BoolArray = is_cheap | (np.arange(planned_a.shape[1]) >= _end_of_plan(planned_a)[:, np.newaxis])
    heard = np.full((len(requests), len(planned_a)), True)
    if spared is not None:
        heard = ~(spared.by[:, np.newaxis] & spared.who)
    for at in sorted(range(len(requests)), key=lambda at: -requests[at].direction):  # where both are asked, down wins
        is_open[heard[at], requests[at].start : requests[at].end] = requests[at].direction == TURN_UP
    return is_open


def _end_of_plan(planned_a: Int16Array) -> IntArray:
    """(n_evse,) the period after the last one planned, 0 without any."""
    is_planned = planned_a[:, ::-1] > 0
    end: IntArray = np.where(is_planned.any(axis=1), planned_a.shape[1] - is_planned.argmax(axis=1), 0)
    return end


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
    unit_kw, least, most = ampere_kw(problem), least_a(problem), most_a(problem)
    table_kw = spare_ceilings_kw(
        setpoint_kw=planned_a * unit_kw[:, np.newaxis],
        rated_kw=problem.session_max_kw,
        min_kw=least * unit_kw,
        links=node_links(problem),
        limit_kw=problem.node_limit_kw if bound_kw is None else np.minimum(problem.node_limit_kw, bound_kw),
        order=order,
        is_open=is_open & (most > 0)[:, np.newaxis],  # one rated under its minimum would only take from others
    )
    setpoint_a = _whole_amperes(table_kw, planned_a, unit_kw, least, most)
    np.multiply(setpoint_a, unit_kw[:, np.newaxis], out=table_kw)
    check_nodes(problem, table_kw)
    return FleetCeilings(setpoint_a, planned_a, unit_kw, add_up(problem, table_kw))


@njit(cache=True, nogil=True)
def _whole_amperes(
    raised_kw: FloatArray, planned_a: Int16Array, unit_kw: FloatArray, least_a: IntArray, most_a: IntArray
) -> Int16Array:
    """(n_evse, n_period) raised ceilings cut to whole amperes, 0 or at least the minimum, nowhere below the plan."""
    setpoint_a = planned_a.copy()
    for evse in range(raised_kw.shape[0]):
        for period in range(raised_kw.shape[1]):
            whole_a = min(np.floor(raised_kw[evse, period] / unit_kw[evse] + 1e-9), most_a[evse])
            if whole_a >= least_a[evse] and whole_a > planned_a[evse, period]:
                setpoint_a[evse, period] = whole_a
    return setpoint_a


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
