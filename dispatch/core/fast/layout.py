"""Lay a problem out for the fast engine: sessions by feeder, the tree cut into chunks that fit in cache.

A *chunk* is a subtree of few sessions; what lies above the chunks is the *top*, and nothing else couples them. The
sessions of a busy top node are sliced into chunks that have no node of their own. A *run* is the sessions of one
place inside a chunk.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import sparse

from aggregator.core.types import BoolArray, Float32Array, FloatArray, IntArray
from dispatch.core.fast.bundles import Chunks, Nodes, Sessions
from dispatch.core.fast.lanes import LANES
from dispatch.core.fast.projection import padded
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.tree import add_upwards

SESSIONS_PER_CHUNK = 1_000
# A row nobody can load still has a step, so that its price settles.
_LEAST_KW = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A problem in the engine's order.

    Attributes:
        session, node: (n_session,), (n_node,) the problem's index of each of the engine's.
        n_cell: padded cells of all sessions together.
        base: (n_tariff, padded n_period) GBP per kW in a period.
    """

    session: IntArray
    node: IntArray
    n_cell: int
    sessions: Sessions
    nodes: Nodes
    chunks: Chunks
    base: Float32Array


class _Cut(NamedTuple):
    """(n_node,) the engine's order of nodes, each node's rank in it, who starts a chunk; how many are in chunks."""

    order: IntArray
    rank: IntArray
    root: IntArray
    n_low: int


def lay_out(
    problem: DispatchProblem, network: Network, unserved_gbp_per_kwh: FloatArray, shortfall_gbp_per_kwh: FloatArray
) -> Layout:
    """Sort and cut a problem; (n_session,) and (n_request,) penalties are those the engine works with."""
    tree, cut = network.tree, _cut(problem)
    by_node = np.argsort(cut.rank[tree.place_node], kind="stable")
    place = np.empty_like(by_node)
    place[by_node] = np.arange(tree.n_place)
    session = np.argsort(place[tree.session_place], kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(place[tree.session_place], minlength=tree.n_place))])
    shares = sparse.csc_matrix(tree.shares.tocsc()[:, by_node])
    chunks = _chunks(cut, shares, cut.rank[tree.place_node[by_node]], first, _degree(problem, network)[by_node])
    sessions, n_cell = _sessions(problem, network, session, unserved_gbp_per_kwh)
    base = np.zeros((len(problem.price_gbp_per_kwh), padded(problem.n_period)), dtype=np.float32)
    base[:, : problem.n_period] = problem.step_h * problem.price_gbp_per_kwh
    return Layout(
        session, cut.order, n_cell, sessions, _nodes(problem, network, cut, shortfall_gbp_per_kwh), chunks, base
    )


def _cut(problem: DispatchProblem) -> _Cut:
    """Put nodes in the order of a walk, those of small subtrees first.

    A phase is loaded by its feeder's own sessions too, so the two are never parted.
    """
    parent, n_node = problem.node_parent, problem.n_node
    own = np.bincount(problem.session_node, minlength=n_node)
    below = add_upwards(parent, own)
    top = below > SESSIONS_PER_CHUNK
    above = np.maximum(parent, 0)
    shared_phase = problem.node_is_phase & (parent >= 0) & (own[above] > 0)
    top |= shared_phase & top[above]
    low = ~top & ((below > 0) | shared_phase)
    starts: BoolArray = low & ((parent < 0) | top[above])
    order = np.lexsort((_walk_position(parent), ~low)).astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(n_node)
    return _Cut(order, rank, np.sort(rank[starts]), int(low.sum()))


def _sessions(
    problem: DispatchProblem, network: Network, session: IntArray, unserved_gbp_per_kwh: FloatArray
) -> tuple[Sessions, int]:
    """The sessions in the engine's order, and how many cells they have.

    Cells are blocks of ``LANES`` periods that begin where such a block of the day begins, so that sessions of a place
    add to its load in step.
    """
    rated_kw, step_h = problem.session_max_kw[session], problem.step_h
    full_kwh = step_h * rated_kw
    periods = np.divide(network.serveable_kwh[session], full_kwh, out=np.zeros(len(session)), where=full_kwh > 0)
    start, end = problem.session_start[session], problem.session_end[session]
    block = np.concatenate([[0], np.cumsum(-(-end // LANES) - start // LANES)])
    whole = np.stack([start, end, problem.session_tariff[session], block[:-1]], axis=1)
    real = np.stack([rated_kw, periods, step_h * unserved_gbp_per_kwh[session]], axis=1)
    return Sessions(whole.astype(np.int32), real.astype(np.float32)), int(LANES * block[-1])


def _degree(problem: DispatchProblem, network: Network) -> FloatArray:
    """(n_place,) how many rows a kW of the place enters in the fullest period; at least one."""
    rows = (network.cap_kw < network.rated_kw).astype(np.float64)
    for request in problem.requests:
        rows[request.node, request.start : request.end] += 1.0
    rows += 2.0 * _has_ramp(problem)[:, np.newaxis]
    degree: FloatArray = np.maximum(network.tree.place_charge(rows).max(axis=1, initial=0.0), 1.0)
    return degree


def _has_ramp(problem: DispatchProblem) -> BoolArray:
    priced = problem.ramp_gbp_per_kwh > 0 and problem.n_period > 1
    has: BoolArray = np.isfinite(problem.node_ramp_kw) & priced
    return has


def _chunks(cut: _Cut, shares: sparse.csc_matrix, place_node: IntArray, first: IntArray, degree: FloatArray) -> Chunks:
    """Cut places, in the engine's order, into runs and chunks.

    Args:
        shares: (n_node, n_place) by the problem's nodes and the engine's places.
        place_node: (n_place,) the engine's node of each.
        first: (n_place + 1,) the first session of each.
    """
    n_low_place = int(np.searchsorted(place_node, cut.n_low))
    places, cuts = [np.arange(n_low_place)], [first[:n_low_place]]
    for busy in range(n_low_place, len(place_node)):
        slices = np.arange(first[busy], first[busy + 1], SESSIONS_PER_CHUNK)
        places.append(np.full(len(slices), busy))
        cuts.append(slices)
    place, session_first = np.concatenate(places).astype(np.int64), np.concatenate(cuts).astype(np.int64)
    chunk_of = np.searchsorted(cut.root, place_node[:n_low_place], side="right") - 1
    n_slice = len(place) - n_low_place
    runs = np.concatenate([np.bincount(chunk_of, minlength=len(cut.root)), np.ones(n_slice, dtype=np.int64)])
    run_first = np.concatenate([[0], np.cumsum(runs)]).astype(np.int64)
    none = np.zeros(n_slice, dtype=np.int64)
    low_rows, top_rows = _rows(shares, cut, low=True), _rows(shares, cut, low=False)
    run_ptr, run_node, run_share = _select(low_rows, place)
    top_ptr, top_node, top_share = _select(top_rows, place[run_first[:-1]])
    return Chunks(
        node_first=np.concatenate([cut.root, none]),
        node_last=np.concatenate([cut.root[1:], [cut.n_low][: len(cut.root)], none]).astype(np.int64),
        run_first=run_first,
        session_first=session_first,
        session_last=np.append(session_first, first[-1])[1:],
        degree=degree[place],
        run_ptr=run_ptr,
        run_node=run_node,
        run_share=run_share,
        top_ptr=top_ptr,
        top_node=top_node - cut.n_low,
        top_share=top_share,
    )


def _rows(shares: sparse.csc_matrix, cut: _Cut, *, low: bool) -> sparse.csr_matrix:
    """(n_place, n_node) shares by the engine's nodes, those of chunks or those of the top only."""
    by_place = sparse.coo_matrix(shares.T)
    node = cut.rank[by_place.col]
    kept = (node < cut.n_low) == low
    shape = (shares.shape[1], shares.shape[0])
    return sparse.csr_matrix((by_place.data[kept], (by_place.row[kept], node[kept])), shape=shape)


def _select(rows: sparse.csr_matrix, place: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """The rows of these places, compressed."""
    chosen = rows[place]
    return chosen.indptr.astype(np.int64), chosen.indices.astype(np.int64), chosen.data.astype(np.float64)


def _nodes(problem: DispatchProblem, network: Network, cut: _Cut, shortfall_gbp_per_kwh: FloatArray) -> Nodes:
    cap_kw, rated_kw = network.cap_kw[cut.order], network.rated_kw[cut.order]
    binds = cap_kw < rated_kw
    rated_kw = np.maximum(rated_kw, _LEAST_KW)
    requests = problem.requests
    request_node = np.array([cut.rank[request.node] for request in requests], dtype=np.int64)
    request_step = np.zeros((len(requests), problem.n_period))
    for index, request in enumerate(requests):
        window = slice(request.start, request.end)
        request_step[index, window] = 1.0 / rated_kw[request_node[index], window]
    has_ramp = _has_ramp(problem)[cut.order]
    ramp = np.where(has_ramp, np.cumsum(has_ramp) - 1, -1)
    ramped_kw = rated_kw[has_ramp]
    return Nodes(
        n_low=cut.n_low,
        cap_kw=np.where(binds, cap_kw, 0.0),
        cap_step=np.where(binds, 1.0 / rated_kw, 0.0),
        cap_scale=np.where(binds, rated_kw, 0.0),
        request_ptr=np.searchsorted(np.sort(request_node), np.arange(problem.n_node + 1)).astype(np.int64),
        request=np.argsort(request_node, kind="stable").astype(np.int64),
        request_sign=np.array([1.0 if request.direction == TURN_DOWN else -1.0 for request in requests]),
        request_kw=np.array([request.target_kw for request in requests], dtype=np.float64),
        request_most=problem.step_h * shortfall_gbp_per_kwh,
        request_step=request_step,
        ramp=ramp.astype(np.int64),
        ramp_free_kw=problem.node_ramp_kw[cut.order][has_ramp],
        ramp_step=1.0 / (ramped_kw[:, 1:] + ramped_kw[:, :-1]),
        ramp_most=problem.step_h * problem.ramp_gbp_per_kwh,
    )


@njit(cache=True)
def _walk_position(parent: IntArray) -> IntArray:
    """(n_node,) each node's position in a walk that visits a node before, and its subtree next to, its children's."""
    n_node = len(parent)
    size, free = np.ones(n_node, dtype=np.int64), np.zeros(n_node + 1, dtype=np.int64)
    for v in range(n_node - 1, -1, -1):
        if parent[v] >= 0:
            size[parent[v]] += size[v]
    position = np.zeros(n_node, dtype=np.int64)
    for v in range(n_node):
        # Index -1, the last, keeps count for the roots.
        position[v] = free[parent[v]]
        free[parent[v]] += size[v]
        free[v] = position[v] + 1
    return position
