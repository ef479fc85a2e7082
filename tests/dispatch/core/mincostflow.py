"""A second exact oracle, for problems that are a flow: energy runs from sessions through their nodes to the roots.

No LP and no share of the engine's code: OR-tools' cost-scaling push-relabel over whole watts and millionths of a
pound. On a problem of whole units (``in_whole_units``) it is exact; on any other the answer is that of the rounded
one, off by at most half a watt an arc and half a millionth a kWh.
"""

from dataclasses import replace

import numpy as np
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

from dispatch.core.problem import DispatchProblem

WATT_PER_KW, UNIT_PER_GBP = 1_000, 1_000_000


class NotAFlow(ValueError):
    """Requests, ramps, diversity below 1, or a session that loads phases beside its path to the root."""


def in_whole_units(problem: DispatchProblem) -> DispatchProblem:
    """The nearest problem of whole watts (a kWh as watts over one period) and millionths of a pound."""

    def kw(values: np.ndarray) -> np.ndarray:
        return np.round(values * WATT_PER_KW) / WATT_PER_KW

    def gbp(values: np.ndarray) -> np.ndarray:
        return np.round(values * UNIT_PER_GBP) / UNIT_PER_GBP

    return replace(
        problem,
        node_limit_kw=kw(problem.node_limit_kw),
        session_max_kw=kw(problem.session_max_kw),
        session_energy_kwh=kw(problem.session_energy_kwh / problem.step_h) * problem.step_h,
        session_unserved_gbp_per_kwh=gbp(problem.session_unserved_gbp_per_kwh),
        price_gbp_per_kwh=gbp(problem.price_gbp_per_kwh),
    )


def optimum_gbp(problem: DispatchProblem) -> float:
    """Cost of the cheapest flow.

    Raises:
        NotAFlow: the problem has more than one commodity of rows.
    """
    refuse_more_than_a_flow(problem)
    if not problem.n_session:
        return 0.0
    energy_w = _served_at_most_w(problem)
    n_cell = problem.n_node * problem.n_period
    sink = n_cell + problem.n_session
    flow = SimpleMinCostFlow()
    for tail, head, most_w, unit in (*_session_arcs(problem, n_cell, sink, energy_w), _node_arcs(problem, sink)):
        flow.add_arcs_with_capacity_and_unit_cost(tail, head, most_w, unit)
    flow.set_nodes_supplies(np.arange(n_cell, sink), energy_w)
    flow.set_node_supply(sink, -int(energy_w.sum()))
    status = flow.solve()
    assert status == flow.OPTIMAL, status
    return flow.optimal_cost() * problem.step_h / WATT_PER_KW / UNIT_PER_GBP


def refuse_more_than_a_flow(problem: DispatchProblem) -> None:
    has_phases = np.zeros(problem.n_node, dtype=bool)
    has_phases[problem.node_parent[problem.node_is_phase & (problem.node_parent >= 0)]] = True
    if (
        problem.requests
        or np.isfinite(problem.node_ramp_kw).any()
        or (problem.node_diversity < 1).any()
        or has_phases[problem.session_node].any()
    ):
        raise NotAFlow("expected no requests, no ramps, diversity 1 and no session that hangs above phases")


def _served_at_most_w(problem: DispatchProblem) -> np.ndarray:
    """(n_session,) energy as watts over one period."""
    wanted_w = np.round(problem.session_energy_kwh / problem.step_h * WATT_PER_KW)
    window = problem.session_end - problem.session_start
    return np.minimum(wanted_w, window * np.round(problem.session_max_kw * WATT_PER_KW)).astype(np.int64)


def _session_arcs(problem: DispatchProblem, n_cell: int, sink: int, energy_w: np.ndarray) -> list[tuple]:
    """Session to its node in each period it is there at the tariff's price, and past the network unserved."""
    window = problem.session_end - problem.session_start
    session = np.repeat(np.arange(problem.n_session), window)
    period = np.arange(len(session)) - np.repeat(np.cumsum(window) - window - problem.session_start, window)
    price = problem.price_gbp_per_kwh[problem.session_tariff[session], period]
    max_w = np.round(problem.session_max_kw * WATT_PER_KW).astype(np.int64)
    at = problem.session_node[session] * problem.n_period + period
    source = n_cell + np.arange(problem.n_session)
    unserved = np.round(problem.session_unserved_gbp_per_kwh * UNIT_PER_GBP).astype(np.int64)
    return [
        (n_cell + session, at, max_w[session], np.round(price * UNIT_PER_GBP).astype(np.int64)),
        (source, np.full(problem.n_session, sink), energy_w, unserved),
    ]


def _node_arcs(problem: DispatchProblem, sink: int) -> tuple:
    """Node to its parent in every period, a root to the sink, up to the limit."""
    cell = np.arange(problem.n_node * problem.n_period)
    node, period = np.divmod(cell, problem.n_period)
    parent = problem.node_parent[node]
    # Where there is no limit, what all sessions could draw together is none.
    most_kw = np.minimum(np.maximum(problem.node_limit_kw, 0.0), problem.session_max_kw.sum() + 1.0)
    most_w = np.round(most_kw.ravel() * WATT_PER_KW).astype(np.int64)
    return cell, np.where(parent >= 0, parent * problem.n_period + period, sink), most_w, np.zeros_like(cell)
