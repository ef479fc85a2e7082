"""Regions: sessions under one root of the tree share nothing with those under another, so they may be worked apart.

One region after another also keeps the loads of one in cache, where the order of need jumps all over the country.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from aggregator.core.types import IntArray
from dispatch.core.problem import DispatchProblem

# Below this many sessions a thread costs more than it brings.
SESSIONS_A_THREAD = 50_000


def split_by_region(problem: DispatchProblem, order: IntArray, n_part: int) -> list[IntArray]:
    """Cut an order of sessions into up to ``n_part`` orders of whole regions, each region's own order kept.

    Args:
        order: indices of sessions.
    """
    region = _roots(problem.node_parent)[problem.session_node[order]]
    # 16 bits are sorted by counting, which is ten times as fast.
    key = region.astype(np.int16) if region.max(initial=0) < 2**15 else region
    by_region = np.argsort(key, kind="stable")
    n_part = max(1, min(n_part, len(order) // SESSIONS_A_THREAD))
    counts = np.cumsum(np.bincount(region))
    cuts = counts[np.searchsorted(counts, np.arange(1, n_part) * len(order) / n_part)]
    return [order[part] for part in np.split(by_region, np.unique(cuts).astype(np.int64)) if len(part)]


def side_by_side(works: Sequence[Callable[[], None]]) -> None:
    """Do the works at the same time, a thread each, and raise what any of them raised."""
    if len(works) == 1:
        works[0]()
    elif works:
        with ThreadPoolExecutor(len(works), thread_name_prefix="dispatch") as pool:
            for done in [pool.submit(work) for work in works]:
                done.result()


@njit(cache=True)
def _roots(parent: IntArray) -> IntArray:
    """(n_node,) which root each node hangs under, counted from 0."""
    root, n_root = np.empty(len(parent), dtype=np.int64), 0
    for v in range(len(parent)):
        if parent[v] >= 0:
            root[v] = root[parent[v]]
        else:
            root[v] = n_root
            n_root += 1
    return root
