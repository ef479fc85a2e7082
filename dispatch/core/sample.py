"""A part of the sessions that stands for all of them: quick to solve, and its prices are near those of the whole.

Whole small subtrees are taken or left, so that what binds inside them binds as ever; limits, targets and ramps above
are scaled by the share of the connected power that was taken. Prices may come from anywhere, so a poor sample costs
rounds and never the certificate.

Source: docs/methods/dispatch.md
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numba import njit

from aggregator.core.types import FloatArray, IntArray
from dispatch.core.bound import Prices
from dispatch.core.fast.engine import solve_fast
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.split import of_sessions
from dispatch.core.tree import add_upwards

# How many sessions a sample aims at, and the most of a subtree that is taken or left as one.
SAMPLE_SESSIONS, CLUSTER_SESSIONS = 5_000, 100
_GAP = 3e-4


def sampled_prices(problem: DispatchProblem, network: Network, left_s: Callable[[], float]) -> Prices | None:
    """Prices of the sample's plan, by the whole problem's nodes and requests; None where all are few already.

    Args:
        left_s: seconds the sample may take; the prices are those found by then.
    """
    every = problem.n_session // SAMPLE_SESSIONS
    if every < 2:
        return None
    part = sample(problem, network, every=every)
    return solve_fast(part, Network.of(part), gap=_GAP, left_s=left_s, threads=1).prices


def sample(problem: DispatchProblem, network: Network, *, every: int) -> DispatchProblem:
    """The problem with one in ``every`` small subtrees, and of the sessions above these, kept."""
    kept = np.flatnonzero(_cluster(problem) % every == every // 2)
    part = of_sessions(problem, kept)
    share = _share(Network.of(part).rated_kw, network.rated_kw)
    highest = _share(Network.of(part).rated_kw.max(axis=1, initial=0.0), network.rated_kw.max(axis=1, initial=0.0))
    return replace(
        part,
        node_limit_kw=network.cap_kw * share,
        node_diversity=np.ones(problem.n_node),
        node_ramp_kw=problem.node_ramp_kw * highest,
        requests=tuple(replace(one, target_kw=one.target_kw * float(highest[one.node])) for one in problem.requests),
    )


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part over whole; 1 where there is nothing, and where a part is so small that an infinite limit would vanish."""
    share: FloatArray = np.divide(part, whole, out=np.ones_like(whole), where=(whole > 0) & (part > 0))
    return share


def _cluster(problem: DispatchProblem) -> IntArray:
    """(n_session,) numbers of the small subtrees, in the order of their nodes; a number each for sessions above."""
    below = add_upwards(problem.node_parent, np.bincount(problem.session_node, minlength=problem.n_node))
    root = _small_roots(problem.node_parent, below, CLUSTER_SESSIONS)[problem.session_node]
    apart = np.where(root < 0, problem.n_node + np.arange(problem.n_session), root)
    numbered: IntArray = np.unique(apart, return_inverse=True)[1]
    return numbered


@njit(cache=True)
def _small_roots(parent: IntArray, below: IntArray, most: int) -> IntArray:
    """(n_node,) the topmost node of each node's path that has no more than ``most`` sessions below it; -1 above."""
    root = np.full(len(parent), -1)
    for v in range(len(parent)):
        if below[v] <= most:
            above = root[parent[v]] if parent[v] >= 0 else -1
            root[v] = above if above >= 0 else v
    return root
