"""The inner loops of the fast engine: one iteration of the primal-dual method, chunk of the tree by chunk.

Each chunk is priced, its sessions' power projected, its loads added up and its prices moved while it is in cache.
Compiled for the machine on first use and kept on disk. Power is a fraction ``x`` of the session's rating, in float32;
prices are GBP per kW in a period, in float64. Source: docs/methods/dispatch.md
"""

import numpy as np
from numba import njit

from aggregator.core.types import Float32Array, FloatArray, IntArray
from dispatch.core.fast.bundles import Chunks, Sessions, Step, Work
from dispatch.core.fast.price_moves import charge_node, move_node
from dispatch.core.fast.projection import cells, padded, project_run
from dispatch.core.leaf import summing_leaf


@summing_leaf
def _add(total: FloatArray | Float32Array, share: float, row: FloatArray | Float32Array) -> None:
    """Add a share of a row, which may be longer; an array expression would make a temporary of each."""
    for t in range(np.uint64(min(len(total), len(row)))):
        total[t] += share * row[t]


@njit(cache=True, nogil=True)
def _work_runs(c: int, work: Work, step: Step, charges: FloatArray, loads: FloatArray, moved: FloatArray) -> None:
    """Project every run of chunk ``c`` at the charges of the nodes it loads, and add what comes to their ``loads``."""
    chunks, sessions, primal, base, out = work.chunks, work.sessions, work.primal, work.base, work.out[c]
    n_period, low = len(out), chunks.node_first[c]
    port = np.zeros(n_period)
    charge, doubled = np.zeros(padded(n_period), dtype=np.float32), np.zeros(padded(n_period), dtype=np.float32)
    z, was = np.empty(padded(n_period), dtype=np.float32), np.empty(padded(n_period), dtype=np.float32)
    for k in range(chunks.top_ptr[c], chunks.top_ptr[c + 1]):
        _add(port, chunks.top_share[k], work.top_charge[chunks.top_node[k]])
    out[:] = 0.0
    for r in range(chunks.run_first[c], chunks.run_first[c + 1]):
        for t in range(n_period):
            charge[t] = port[t]
        for k in range(chunks.run_ptr[r], chunks.run_ptr[r + 1]):
            _add(charge, chunks.run_share[k], charges[chunks.run_node[k] - low])
        doubled[:] = 0.0
        eta = np.float32(1.0 / (step.weight * chunks.degree[r]))
        here = project_run(
            chunks.session_first[r], chunks.session_last[r], sessions, primal, base, charge, eta, step, doubled, z, was
        )
        moved[0] += here * step.weight * chunks.degree[r]
        for k in range(chunks.run_ptr[r], chunks.run_ptr[r + 1]):
            _add(loads[chunks.run_node[k] - low], chunks.run_share[k], doubled)
        _add(out, 1.0, doubled)


@njit(cache=True, nogil=True)
def sweep(first: int, last: int, work: Work, step: Step, moved: FloatArray) -> None:
    """Work chunks [first, last) once; each one's extrapolated load goes to its row of ``work.out``.

    Adds to ``moved`` (3,): movement squared of power and of prices, and their cross term.
    """
    nodes, chunks, dual, old = work.nodes, work.chunks, work.dual, work.old
    n_period, most = dual.cap.shape[1], 1
    for c in range(first, last):
        most = max(most, chunks.node_last[c] - chunks.node_first[c])
    charges, loads = np.empty((most, n_period)), np.empty((most, n_period))
    for c in range(first, last):
        low, n_node = chunks.node_first[c], chunks.node_last[c] - chunks.node_first[c]
        loads[:n_node] = 0.0
        for v in range(n_node):
            charge_node(low + v, nodes, dual, charges[v])
        _work_runs(c, work, step, charges, loads, moved)
        for v in range(n_node):
            move_node(low + v, nodes, dual, old, loads[v], step, moved)


@njit(cache=True, nogil=True)
def move_top(work: Work, step: Step, moved: FloatArray) -> None:
    """Add the chunks up at the nodes above them, move their prices and charge anew."""
    chunks, nodes = work.chunks, work.nodes
    loads = np.zeros(work.top_charge.shape)
    for c in range(len(chunks.top_ptr) - 1):
        for k in range(chunks.top_ptr[c], chunks.top_ptr[c + 1]):
            _add(loads[chunks.top_node[k]], chunks.top_share[k], work.out[c])
    for v in range(len(loads)):
        move_node(nodes.n_low + v, nodes, work.dual, work.old, loads[v], step, moved)
    charge_top(work)


@njit(cache=True, nogil=True)
def charge_top(work: Work) -> None:
    """Write the charges of the top's nodes from the prices as they are."""
    for v in range(len(work.top_charge)):
        charge_node(work.nodes.n_low + v, work.nodes, work.dual, work.top_charge[v])


@njit(cache=True, nogil=True)
def advance(n_step: int, age: int, weight: float, work: Work, moved: FloatArray) -> None:
    """Take ``n_step`` anchored steps in one thread without going back to Python; ``moved`` (n_step, 3) is filled."""
    for k in range(n_step):
        step = anchored_step(weight, age + k)
        sweep(0, len(work.out), work, step, moved[k])
        move_top(work, step, moved[k])


@njit(cache=True, nogil=True)
def anchored_step(weight: float, age: int) -> Step:
    """The step taken ``age`` steps after the anchor was set: the image's reflection, drawn towards the anchor."""
    pull = 1.0 / (age + 2.0)
    return Step(weight, 2.0 * (1.0 - pull), -(1.0 - pull), pull)


@njit(cache=True, nogil=True)
def add_loads(chunks: Chunks, sessions: Sessions, n_low: int, x: Float32Array, load_kw: FloatArray) -> None:
    """Write the load of fractions ``x`` on every node."""
    load_kw[:] = 0.0
    run = np.zeros(load_kw.shape[1])
    for c in range(len(chunks.node_first)):
        for r in range(chunks.run_first[c], chunks.run_first[c + 1]):
            run[:] = 0.0
            for i in range(chunks.session_first[r], chunks.session_last[r]):
                s, n, o = cells(sessions, i)
                for k in range(n):
                    run[s + k] += sessions.real[i, 0] * x[o + k]
            for k in range(chunks.run_ptr[r], chunks.run_ptr[r + 1]):
                load_kw[chunks.run_node[k]] += chunks.run_share[k] * run
            for k in range(chunks.top_ptr[c], chunks.top_ptr[c + 1]):
                load_kw[n_low + chunks.top_node[k]] += chunks.top_share[k] * run


@njit(cache=True, nogil=True)
def write_power(
    first: int, last: int, session: IntArray, sessions: Sessions, x: Float32Array, power_kw: Float32Array
) -> None:
    """Write fractions [first, last) as kW into the problem's (n_session, n_period) order."""
    for i in range(first, last):
        s, n, o = cells(sessions, i)
        rated, row = sessions.real[i, 0], power_kw[session[i]]
        for k in range(n):
            row[s + k] = rated * x[o + k]


@njit(cache=True, nogil=True)
def read_power(
    first: int, last: int, session: IntArray, sessions: Sessions, power_kw: Float32Array, x: Float32Array
) -> None:
    """Read (n_session, n_period) kW into fractions [first, last)."""
    for i in range(first, last):
        s, n, o = cells(sessions, i)
        rated, row = sessions.real[i, 0], power_kw[session[i]]
        if rated > 0:
            for k in range(n):
                x[o + k] = min(max(row[s + k] / rated, np.float32(0.0)), np.float32(1.0))
