"""Small problems for hand-worked cases: say what matters, the rest is harmless."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatch.core.problem import DispatchProblem


@dataclass(frozen=True, slots=True)
class Ev:
    """One session of a hand-worked case; by default 7 kW, plugged in throughout, on the last node."""

    energy_kwh: float
    max_kw: float = 7.0
    start: int = 0
    end: int | None = None
    node: int = -1
    phases: int = 1
    min_kw: float = 0.0
    unserved: float = 2.0
    tariff: int = 0


def make_problem(*evs: Ev, prices: Any = (0.1, 0.3), parents: Any = (-1,), limit_kw: Any = np.inf, **more: Any) -> Any:
    """A tree given by ``parents`` (default: one feeder), hourly periods, one limit for all or an array of them."""
    price = np.atleast_2d(np.asarray(prices, dtype=float))
    n_node, n_period = len(parents), price.shape[1]
    fields = {
        "step_h": 1.0,
        "node_ids": np.array([f"node-{index}" for index in range(n_node)]),
        "node_parent": np.array(parents),
        "node_is_phase": np.zeros(n_node, dtype=bool),
        "node_limit_kw": np.array(np.broadcast_to(limit_kw, (n_node, n_period)), dtype=float),
        "node_diversity": np.ones(n_node),
        "node_ramp_kw": np.full(n_node, np.inf),
        "session_ids": np.array([f"ev-{index}" for index in range(len(evs))], dtype=np.str_),
        "session_node": np.array([ev.node % n_node for ev in evs], dtype=int),
        "session_phases": np.array([ev.phases for ev in evs], dtype=int),
        "session_start": np.array([ev.start for ev in evs], dtype=int),
        "session_end": np.array([n_period if ev.end is None else ev.end for ev in evs], dtype=int),
        "session_max_kw": np.array([ev.max_kw for ev in evs], dtype=float),
        "session_energy_kwh": np.array([ev.energy_kwh for ev in evs], dtype=float),
        "session_min_kw": np.array([ev.min_kw for ev in evs], dtype=float),
        "session_unserved_gbp_per_kwh": np.array([ev.unserved for ev in evs], dtype=float),
        "session_tariff": np.array([ev.tariff for ev in evs], dtype=int),
        "price_gbp_per_kwh": price,
        "requests": (),
        "ramp_gbp_per_kwh": 0.0,
    }
    return DispatchProblem(**(fields | more))
