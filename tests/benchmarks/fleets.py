"""Fleets of any size to measure the engine on: a national tree whose limits bind at every level."""

from dataclasses import dataclass

import numpy as np

from dispatch.core.problem import TURN_DOWN, DispatchProblem, FlexRequest

PER_FEEDER, FEEDERS_PER_SUBSTATION, SUBSTATIONS_PER_PRIMARY, PRIMARIES_PER_GRID_POINT = 50, 4, 40, 10


@dataclass(frozen=True, slots=True)
class Shape:
    """What to draw: sizes, and which of the model's features are in."""

    n_session: int
    n_period: int = 48
    seed: int = 1
    phases: bool = False
    requests: bool = False
    ramps: bool = False
    n_tariff: int = 3


def national_fleet(shape: Shape) -> DispatchProblem:
    """Evening arrivals from noon to noon; homes at 7.36 kW, one in ten three-phase at 22 kW where phases are in."""
    rng = np.random.default_rng(shape.seed)
    parent, is_phase, feeder = _tree(shape)
    n_node, n_session, n_period = len(parent), shape.n_session, shape.n_period
    step_h = 24.0 / n_period
    home = feeder[np.arange(n_session) // PER_FEEDER]
    triple = np.zeros(n_session, dtype=bool)
    node = home
    if shape.phases:
        triple = rng.random(n_session) < 0.1
        unknown = rng.random(n_session) < 0.05
        node = np.where(triple | unknown, home, home + 1 + np.arange(n_session) % 3)
    start = np.clip(np.rint(rng.normal(6.5, 2.0, n_session) / step_h), 0, n_period - 2).astype(int)
    end = np.clip(np.rint(rng.normal(19.5, 1.5, n_session) / step_h), start + 1, n_period).astype(int)
    max_kw = np.where(triple, 22.08, rng.choice([3.68, 7.36, 7.36, 7.36], n_session))
    energy_kwh = np.clip(rng.gamma(3.0, 4.0, n_session), 1.0, 60.0)
    return DispatchProblem(
        step_h=step_h,
        node_ids=np.arange(n_node),
        node_parent=parent,
        node_is_phase=is_phase,
        node_limit_kw=_limits(rng, parent, is_phase, n_session, n_period),
        node_diversity=np.ones(n_node),
        node_ramp_kw=_ramps(shape, parent),
        session_ids=np.arange(n_session),
        session_node=node,
        session_phases=np.where(triple, 3, 1),
        session_start=start,
        session_end=end,
        session_max_kw=max_kw,
        session_energy_kwh=energy_kwh,
        session_min_kw=np.where(triple, 4.14, 1.38),
        session_unserved_gbp_per_kwh=rng.choice([1.5, 2.0, 3.0], n_session),
        session_tariff=rng.integers(0, shape.n_tariff, n_session),
        price_gbp_per_kwh=_prices(rng, shape),
        requests=_requests(shape) if shape.requests else (),
        ramp_gbp_per_kwh=0.05 if shape.ramps else 0.0,
    )


def _tree(shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parents, phase marks and the feeders' indices: grid points, primaries, substations, feeders (and phases)."""
    n_feeder = -(-shape.n_session // PER_FEEDER) or 1
    n_substation = -(-n_feeder // FEEDERS_PER_SUBSTATION)
    n_primary = -(-n_substation // SUBSTATIONS_PER_PRIMARY)
    n_grid = -(-n_primary // PRIMARIES_PER_GRID_POINT)
    at_primary = n_grid
    at_substation = at_primary + n_primary
    at_feeder = at_substation + n_substation
    above = np.concatenate(
        [
            np.full(n_grid, -1),
            np.arange(n_primary) // PRIMARIES_PER_GRID_POINT,
            at_primary + np.arange(n_substation) // SUBSTATIONS_PER_PRIMARY,
        ]
    )
    feeder_above = at_substation + np.arange(n_feeder) // FEEDERS_PER_SUBSTATION
    if not shape.phases:
        parent = np.concatenate([above, feeder_above])
        return parent, np.zeros(len(parent), dtype=bool), at_feeder + np.arange(n_feeder)
    feeder = at_feeder + 4 * np.arange(n_feeder)
    block = np.stack([feeder_above, feeder, feeder, feeder], axis=1).ravel()
    parent = np.concatenate([above, block])
    is_phase = np.concatenate([np.zeros(len(above), dtype=bool), np.tile([False, True, True, True], n_feeder)])
    return parent, is_phase, feeder


def _limits(
    rng: np.random.Generator, parent: np.ndarray, is_phase: np.ndarray, n_session: int, n_period: int
) -> np.ndarray:
    """Headroom that dips in the evening; a node carries 90 % of what its children could together."""
    hour = (12 + 24 * np.arange(n_period) / n_period) % 24
    background = 0.35 + 0.45 * np.exp(-(((hour - 18.5) / 2.5) ** 2)) - 0.2 * np.exp(-(((hour - 3.5) / 3.0) ** 2))
    n_node = len(parent)
    limit = np.zeros((n_node, n_period))
    has_child = np.zeros(n_node, dtype=bool)
    has_child[parent[(parent >= 0) & ~is_phase]] = True
    leaf = ~has_child & ~is_phase
    rating = rng.uniform(90.0, 200.0, n_node)
    limit[leaf] = rating[leaf, np.newaxis] * (1.0 - background * rng.uniform(0.8, 1.1, (int(leaf.sum()), 1)))
    for v in range(n_node - 1, -1, -1):
        if is_phase[v]:
            limit[v] = limit[parent[v]] if not has_child[parent[v]] else np.inf
            limit[v] = 0.42 * limit[v]
        elif parent[v] >= 0:
            limit[parent[v]] += 0.9 * limit[v]
    return limit


def _ramps(shape: Shape, parent: np.ndarray) -> np.ndarray:
    """A free change for grid points and primaries only."""
    ramp = np.full(len(parent), np.inf)
    if shape.ramps:
        depth = np.zeros(len(parent), dtype=int)
        for v in np.flatnonzero(parent >= 0):
            depth[v] = depth[parent[v]] + 1
        ramp[depth == 0] = 0.05 * shape.n_session
        ramp[depth == 1] = 0.1 * min(shape.n_session, PER_FEEDER * FEEDERS_PER_SUBSTATION * SUBSTATIONS_PER_PRIMARY)
    return ramp


def _prices(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    hour = (12 + 24 * np.arange(shape.n_period) / shape.n_period) % 24
    day = 0.18 + 0.12 * np.exp(-(((hour - 18.0) / 2.0) ** 2)) - 0.08 * np.exp(-(((hour - 3.5) / 2.5) ** 2))
    return day * rng.uniform(0.8, 1.2, (shape.n_tariff, 1)) + rng.normal(0, 0.004, (shape.n_tariff, shape.n_period))


def _requests(shape: Shape) -> tuple[FlexRequest, ...]:
    evening, n = slice(int(5 * shape.n_period / 24), int(7 * shape.n_period / 24)), shape.n_session
    return (FlexRequest(0, evening.start, evening.stop, TURN_DOWN, 0.02 * min(n, 80_000), 0.6),)
