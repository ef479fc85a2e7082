"""The network tree as the engine walks it: sessions by place, places by the nodes they load.

All sessions that hang on one node with one number of phases load the same nodes by the same shares. Such a *place*
takes the sessions' stead in every sum over the network, so a million sessions cost the tree no more than its feeders.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from aggregator.core.types import Float32Array, FloatArray, IntArray
from dispatch.core.problem import DispatchProblem

THREE_PHASE_SHARE = 1 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Who loads what.

    Attributes:
        session_place: (n_session,) index of each session's place.
        place_node: (n_place,) the node it hangs on.
        shares: (n_node, n_place) sparse, kW on the node for each kW of the place.
    """

    session_place: IntArray
    place_node: IntArray
    shares: sparse.csr_matrix

    @classmethod
    def of(cls, problem: DispatchProblem) -> "Tree":
        """Group the sessions of a problem by place; only places with a session are kept."""
        key = problem.session_node * 2 + (problem.session_phases == 3)
        used = np.flatnonzero(np.bincount(key, minlength=2 * problem.n_node))
        place_of = np.zeros(2 * problem.n_node, dtype=np.int64)
        place_of[used] = np.arange(len(used))
        node, is_triple = used // 2, used % 2 == 1
        return cls(session_place=place_of[key], place_node=node, shares=_shares(problem, node, is_triple))

    @property
    def n_place(self) -> int:
        return len(self.place_node)

    def place_power_kw(self, power_kw: FloatArray | Float32Array) -> FloatArray:
        """(n_place, n_period) float64 sums of (n_session, n_period) ``power_kw``."""
        total = np.zeros((self.n_place, power_kw.shape[1]))
        _add_rows(total, self.session_place, readable(power_kw))
        return total

    def connected_kw(self, problem: DispatchProblem, kw: FloatArray) -> FloatArray:
        """(n_place, n_period) sums of (n_session,) ``kw`` over the sessions plugged in."""
        total = np.zeros((self.n_place, problem.n_period))
        _add_windows(total, self.session_place, problem.session_start, problem.session_end, kw)
        return total

    def node_kw(self, place_kw: FloatArray) -> FloatArray:
        """(n_node, n_period) what each node carries of (n_place, n_period) power."""
        total: FloatArray = np.asarray(self.shares @ place_kw)
        return total

    def place_charge(self, node_charge: FloatArray) -> FloatArray:
        """(n_place, n_period) what one kW of a place pays for (n_node, n_period) charges at the nodes it loads."""
        total: FloatArray = np.asarray(self.shares.T @ node_charge)
        return total


def readable(power_kw: FloatArray | Float32Array) -> FloatArray | Float32Array:
    """The table as a kernel compiled once for each precision reads it: contiguous, not to be written, not copied."""
    view: NDArray[Any] = np.ascontiguousarray(power_kw).view()
    view.flags.writeable = False
    return view


def _shares(problem: DispatchProblem, place_node: IntArray, is_triple: IntArray) -> sparse.csr_matrix:
    """A place loads its own node and all above by 1; on a feeder with phases, each of them too.

    By 1/3 each where it is three-phase, by 1 each where it is single-phase: its phase is unknown, any may be the worst.
    """
    n_place = len(place_node)
    rows, columns, at, place = [], [], place_node, np.arange(n_place)
    while len(at):
        rows.append(at)
        columns.append(place)
        above = problem.node_parent[at]
        at, place = above[above >= 0], place[above >= 0]
    row, column = np.concatenate([*rows, []]).astype(int), np.concatenate([*columns, []]).astype(int)
    upward = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(problem.n_node, n_place))
    phase = np.flatnonzero(problem.node_is_phase & (problem.node_parent >= 0))
    shape = (problem.n_node, problem.n_node)
    hangs_under = sparse.csc_matrix((np.ones(len(phase)), (phase, problem.node_parent[phase])), shape=shape)
    share = sparse.diags(np.where(is_triple, THREE_PHASE_SHARE, 1.0), shape=(n_place, n_place))
    return sparse.csr_matrix(upward + hangs_under[:, place_node] @ share)


@njit(cache=True, nogil=True)
def _add_rows(total: FloatArray, place: IntArray, power_kw: FloatArray | Float32Array) -> None:
    for i in range(power_kw.shape[0]):
        row = total[place[i]]
        for t in range(power_kw.shape[1]):
            row[t] += power_kw[i, t]


@njit(cache=True, nogil=True)
def _add_windows(total: FloatArray, place: IntArray, start: IntArray, end: IntArray, kw: FloatArray) -> None:
    for i in range(len(place)):
        for t in range(start[i], end[i]):
            total[place[i], t] += kw[i]


@njit(cache=True)
def add_upwards(parent: IntArray, own: IntArray) -> IntArray:
    """(n_node,) sums of ``own`` over each node's subtree."""
    total = own.copy()
    for v in range(len(parent) - 1, -1, -1):
        if parent[v] >= 0:
            total[parent[v]] += total[v]
    return total
