"""Hypothesis strategies: whole dispatch problems, small enough to solve hundreds of times."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchProblem, FlexRequest

LIMITS_KW = st.one_of(st.floats(0.0, 40.0), st.just(np.inf), st.floats(-5.0, 0.0))


# Six orders of magnitude, the everyday ones most often.
UNSERVED_GBP_PER_KWH = (2.0, 2.0, 4.0, 0.2, 0.01, 100.0, 1e4)


def network_trees() -> st.SearchStrategy[tuple[list[int], list[bool]]]:
    """Parents and phase marks, parents first: a distribution network as it is built, or any tree at all."""
    return st.one_of(built_trees(), any_trees())


@st.composite
def any_trees(draw: st.DrawFn, *, max_nodes: int = 9) -> tuple[list[int], list[bool]]:
    """Any depth from single roots to one long chain; a phase is a leaf, and its feeder may have one to many."""
    parents, phases = [-1], [False]
    for index in range(1, draw(st.integers(1, max_nodes))):
        parent = draw(st.one_of(st.just(index - 1), st.integers(-1, index - 1)))
        parents.append(parents[parent] if parent >= 0 and phases[parent] else parent)
        phases.append(parents[-1] >= 0 and draw(st.sampled_from([False, False, True])))
    return parents, phases


@st.composite
def built_trees(draw: st.DrawFn) -> tuple[list[int], list[bool]]:
    """Parents and phase marks: one or two primaries, substations under them, feeders, some of them with phases."""
    parents: list[int] = []
    phases: list[bool] = []

    def add(parent: int, is_phase: bool = False) -> int:
        parents.append(parent)
        phases.append(is_phase)
        return len(parents) - 1

    for _ in range(draw(st.integers(1, 2))):
        primary = add(-1)
        for _ in range(draw(st.integers(0, 2))):
            substation = add(primary)
            feeder = add(substation)
            if draw(st.booleans()):
                for _ in range(3):
                    add(feeder, is_phase=True)
    return parents, phases


@st.composite
def dispatch_problems(draw: st.DrawFn, *, max_sessions: int = 6, max_periods: int = 6) -> DispatchProblem:
    """A problem of any shape the contract allows: empty fleets, several roots, negative prices and limits, phases."""
    parents, phases = draw(network_trees())
    n_node, n_period = len(parents), draw(st.integers(1, max_periods))
    sessions = [draw(_sessions(phases, n_period)) for _ in range(draw(st.integers(0, max_sessions)))]

    def column(name: str, kind: type) -> Any:
        return np.array([session[name] for session in sessions], dtype=kind)

    return DispatchProblem(
        step_h=draw(st.sampled_from([1 / 12, 0.25, 0.5])),
        node_ids=np.array([f"node-{index}" for index in range(n_node)]),
        node_parent=np.array(parents),
        node_is_phase=np.array(phases),
        node_limit_kw=np.array([[draw(LIMITS_KW) for _ in range(n_period)] for _ in range(n_node)]),
        node_diversity=np.array([draw(st.sampled_from([1.0, 1.0, 0.5, 0.3])) for _ in range(n_node)]),
        node_ramp_kw=np.array([draw(st.sampled_from([np.inf, np.inf, 0.0, 3.0])) for _ in range(n_node)]),
        session_ids=np.array([f"session-{index}" for index in range(len(sessions))], dtype=np.str_),
        session_node=column("node", int),
        session_phases=column("phases", int),
        session_start=column("start", int),
        session_end=column("end", int),
        session_max_kw=column("max_kw", float),
        session_energy_kwh=column("energy_kwh", float),
        session_min_kw=column("min_kw", float),
        session_unserved_gbp_per_kwh=column("unserved", float),
        session_tariff=column("tariff", int),
        price_gbp_per_kwh=np.array([[draw(st.floats(-0.1, 0.4)) for _ in range(n_period)] for _ in range(2)]),
        requests=tuple(draw(_contested_requests(n_node, n_period))),
        ramp_gbp_per_kwh=draw(st.sampled_from([0.0, 0.05, 0.5])),
    )


@st.composite
def _sessions(draw: st.DrawFn, phases: list[bool], n_period: int) -> dict[str, Any]:
    node = draw(st.integers(0, len(phases) - 1))
    start = draw(st.integers(0, n_period - 1))
    return {
        "node": node,
        "phases": 1 if phases[node] else draw(st.sampled_from([1, 3])),
        "start": start,
        "end": draw(st.integers(start + 1, n_period)),
        "max_kw": draw(st.one_of(st.sampled_from([0.0, 1.0, 3.68, 7.36, 22.08]), st.floats(0.5, 25.0))),
        "energy_kwh": draw(st.one_of(st.just(0.0), st.floats(0.01, 30.0))),
        "min_kw": draw(st.sampled_from([0.0, 1.38, 4.14, 2.0])),
        "unserved": draw(st.sampled_from(UNSERVED_GBP_PER_KWH)),
        "tariff": draw(st.integers(0, 1)),
    }


@st.composite
def _contested_requests(draw: st.DrawFn, n_node: int, n_period: int) -> list[FlexRequest]:
    """Up to three anywhere, sometimes with one against the first: the other direction, at its node, in its window."""
    requests = draw(st.lists(_requests(n_node, n_period), max_size=3))
    if requests and draw(st.booleans()):
        direction = TURN_UP if requests[0].direction == TURN_DOWN else TURN_DOWN
        requests.append(replace(requests[0], direction=direction, target_kw=draw(st.floats(0.0, 20.0))))
    return requests


@st.composite
def _requests(draw: st.DrawFn, n_node: int, n_period: int) -> FlexRequest:
    start = draw(st.integers(0, n_period - 1))
    return FlexRequest(
        node=draw(st.integers(0, n_node - 1)),
        start=start,
        end=draw(st.integers(start + 1, n_period)),
        direction=draw(st.sampled_from([TURN_DOWN, TURN_UP])),
        target_kw=draw(st.floats(0.0, 20.0)),
        shortfall_gbp_per_kwh=draw(st.sampled_from([0.0, 0.3, 3.0])),
    )
