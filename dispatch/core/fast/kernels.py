"""The inner loops of the fast engine: one iteration of the primal-dual method, chunk of the tree by chunk.

Each chunk is priced, its sessions' power projected, its loads added up and its prices moved while it is in cache.
Compiled for the machine on first use and kept on disk. Power is a fraction ``x`` of the session's rating, in float32;
prices are GBP per kW in a period, in float64. Source: docs/methods/dispatch.md
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from aggregator.core.types import Float32Array, FloatArray, Int32Array, IntArray
from dispatch.core.leaf import summing_leaf

# Cells of a session are padded to whole vector registers, so that the compiler's loops need no remainders.
LANES = 16
_FAR = np.float32(-1e30)
_TOLERANCE = np.float32(1e-5)


class Sessions(NamedTuple):
    """(n_session,) in the engine's order: first period, periods, first padded cell, rating, periods at full power to
    the energy, unserved price in GBP per kW and period, row of the tariff table."""

    start: Int32Array
    n_cell: Int32Array
    offset: IntArray
    rated_kw: Float32Array
    full_periods: Float32Array
    unserved: Float32Array
    tariff: Int32Array


class Nodes(NamedTuple):
    """In the engine's order, chunks' nodes before the top's; a step of 0 marks a row that cannot bind.

    Steps (1 / kW connected, the scale) scale each row; requests are listed by node (``request_ptr``); ``ramp`` is a
    node's row of the ramp tables or -1; ``ramp_most`` and ``request_most`` bound the prices of soft rows.
    """

    n_low: int
    cap_kw: FloatArray
    cap_step: FloatArray
    cap_scale: FloatArray
    request_ptr: IntArray
    request: IntArray
    request_sign: FloatArray
    request_kw: FloatArray
    request_most: FloatArray
    request_step: FloatArray
    ramp: IntArray
    ramp_free_kw: FloatArray
    ramp_step: FloatArray
    ramp_most: float


class Chunks(NamedTuple):
    """Subtrees worked by one thread at a time: their nodes, their runs (sessions of one place), who loads what.

    ``run_*`` and ``top_*`` are compressed rows: nodes of the chunk that a run loads, and nodes of the top that a
    chunk loads, with shares. ``degree`` (n_run,) is how many rows a kW of the run enters, which bounds its step.
    """

    node_first: IntArray
    node_last: IntArray
    run_first: IntArray
    session_first: IntArray
    session_last: IntArray
    degree: FloatArray
    run_ptr: IntArray
    run_node: IntArray
    run_share: FloatArray
    top_ptr: IntArray
    top_node: IntArray
    top_share: FloatArray


class Primal(NamedTuple):
    """(n_cell,) fractions and their anchor; (n_session,) thresholds of the last projection, to start the next from."""

    x: Float32Array
    anchor: Float32Array
    theta: Float32Array


class Dual(NamedTuple):
    """Prices of caps, requests and ramps (signed: up less down), and the (n_node, n_period) load of ``x``."""

    cap: FloatArray
    request: FloatArray
    ramp: FloatArray
    load_kw: FloatArray


class Step(NamedTuple):
    """Primal weight, and what the next iterate takes of the operator's image, of the iterate and of the anchor."""

    weight: float
    image: float
    iterate: float
    anchor: float


@summing_leaf
def _threshold(
    z: Float32Array, n_padded: np.uint64, total: np.float32, theta: np.float32, floor: np.float32
) -> np.float32:
    """The theta, not under the floor, at which clip(z - theta, 0, 1) adds up to ``total``: Newton inside a bracket."""
    low, high, is_low_known = floor, np.float32(3e38), False
    theta = max(theta, floor)
    for _ in range(60):
        found, inside = np.float32(0.0), np.float32(0.0)
        for k in range(n_padded):
            d = z[k] - theta
            c = min(max(d, np.float32(0.0)), np.float32(1.0))
            found += c
            inside += np.float32(1.0) if c == d else np.float32(0.0)
        excess = found - total
        if excess <= 0 and theta <= floor:
            return floor
        if abs(excess) <= _TOLERANCE * (total + _TOLERANCE):
            return theta
        if excess > 0:
            low, is_low_known = theta, True
        else:
            high = theta
        step = theta + excess / inside if inside > 0 else (np.float32(3e38) if excess > 0 else low)
        if step <= low:
            step = np.float32(0.5) * (low + high) if is_low_known else floor
        elif step >= high:
            step = np.float32(0.5) * (low + high) if high < np.float32(1e38) else _largest(z, n_padded)
        if step == theta:
            return theta
        theta = step
    return theta


@summing_leaf
def _largest(z: Float32Array, n_padded: np.uint64) -> np.float32:
    most = np.float32(z[0])
    for k in range(n_padded):
        most = max(most, z[k])
    return most


@summing_leaf
def _project_run(
    first: int,
    last: int,
    sessions: Sessions,
    primal: Primal,
    base: Float32Array,
    charge: Float32Array,
    eta: np.float32,
    step: Step,
    doubled: Float32Array,
    z: Float32Array,
) -> float:
    """Step a run's sessions down their prices and project them; returns the sum of rating times movement squared.

    Adds rating times (2 x' - x) to ``doubled``; ``z`` is scratch. All indices are unsigned: signed ones cost a
    wrap-around check each.
    """
    x, old, thetas = primal.x, primal.anchor, primal.theta
    starts, n_cells, offsets, tariffs = sessions.start, sessions.n_cell, sessions.offset, sessions.tariff
    ratings, totals, floors = sessions.rated_kw, sessions.full_periods, sessions.unserved
    image, iterate, anchor = np.float32(step.image), np.float32(step.iterate), np.float32(step.anchor)
    moved = 0.0
    for i in range(first, last):
        n, s, o = np.uint64(n_cells[i]), np.uint64(starts[i]), np.uint64(offsets[i])
        n_padded = np.uint64((n + np.uint64(LANES - 1)) & ~np.uint64(LANES - 1))
        f = np.uint64(tariffs[i])
        for k in range(n_padded):
            stepped = x[o + k] - eta * (base[f, s + k] + charge[s + k])
            z[k] = stepped if np.int32(k) < np.int32(n) else _FAR
        theta = _threshold(z, n_padded, totals[i], thetas[i], -eta * floors[i])
        thetas[i] = theta
        rated = ratings[i]
        here = np.float32(0.0)
        for k in range(n_padded):
            now = min(max(z[k] - theta, np.float32(0.0)), np.float32(1.0))
            was = x[o + k]
            d = now - was
            here += d * d
            doubled[s + k] += rated * (now + d)
            x[o + k] = image * now + iterate * was + anchor * old[o + k]
        moved += rated * here
    return moved


@summing_leaf
def _add(total: FloatArray, share: float, row: FloatArray) -> None:
    """Add a share of a row; an array expression would make a temporary of each."""
    for t in range(np.uint64(len(total))):
        total[t] += share * row[t]


@njit(cache=True, nogil=True)
def _work_runs(
    c: int,
    sessions: Sessions,
    chunks: Chunks,
    base: Float32Array,
    top_charge: FloatArray,
    primal: Primal,
    step: Step,
    charges: FloatArray,
    loads: FloatArray,
    out: FloatArray,
    moved: FloatArray,
) -> None:
    """Project every run of chunk ``c`` at the charges of the nodes it loads, and add what comes to their ``loads``."""
    n_period, low = len(out), chunks.node_first[c]
    port, place, row = np.zeros(n_period), np.empty(n_period), np.empty(n_period)
    charge = np.zeros(n_period + LANES, dtype=np.float32)
    doubled, z = np.zeros(n_period + LANES, dtype=np.float32), np.empty(n_period + LANES, dtype=np.float32)
    for k in range(chunks.top_ptr[c], chunks.top_ptr[c + 1]):
        _add(port, chunks.top_share[k], top_charge[chunks.top_node[k]])
    out[:] = 0.0
    for r in range(chunks.run_first[c], chunks.run_first[c + 1]):
        place[:] = port
        for k in range(chunks.run_ptr[r], chunks.run_ptr[r + 1]):
            _add(place, chunks.run_share[k], charges[chunks.run_node[k] - low])
        for t in range(n_period):
            charge[t] = place[t]
        doubled[:] = 0.0
        eta = np.float32(1.0 / (step.weight * chunks.degree[r]))
        here = _project_run(
            chunks.session_first[r], chunks.session_last[r], sessions, primal, base, charge, eta, step, doubled, z
        )
        moved[0] += here * step.weight * chunks.degree[r]
        for t in range(n_period):
            row[t] = doubled[t]
        for k in range(chunks.run_ptr[r], chunks.run_ptr[r + 1]):
            _add(loads[chunks.run_node[k] - low], chunks.run_share[k], row)
        _add(out, 1.0, row)


@njit(cache=True, nogil=True)
def _charge(v: int, nodes: Nodes, dual: Dual, out: FloatArray) -> None:
    """Write what one kW at node ``v`` is charged in each period by the node's own rows."""
    n_period = dual.cap.shape[1]
    for t in range(n_period):
        out[t] = dual.cap[v, t]
    for k in range(nodes.request_ptr[v], nodes.request_ptr[v + 1]):
        r = nodes.request[k]
        for t in range(n_period):
            out[t] += nodes.request_sign[r] * dual.request[r, t]
    r = nodes.ramp[v]
    if r >= 0:
        for t in range(n_period - 1):
            out[t + 1] += dual.ramp[r, t]
            out[t] -= dual.ramp[r, t]


@summing_leaf
def _move_caps(
    weight: float,
    image: float,
    iterate: float,
    anchor: float,
    doubled: FloatArray,
    cap_kw: FloatArray,
    cap_step: FloatArray,
    cap_scale: FloatArray,
    load_kw: FloatArray,
    old_load_kw: FloatArray,
    price: FloatArray,
    old_price: FloatArray,
    moved: FloatArray,
) -> None:
    """Move a node's cap prices; without a branch, so that periods go through the processor side by side."""
    squared, crossed = 0.0, 0.0
    for t in range(np.uint64(len(doubled))):
        was, y = load_kw[t], price[t]
        now = 0.5 * (doubled[t] + was)
        z = max(0.0, y + weight * cap_step[t] * (doubled[t] - cap_kw[t])) if cap_step[t] > 0 else 0.0
        load_kw[t] = image * now + iterate * was + anchor * old_load_kw[t]
        price[t] = image * z + iterate * y + anchor * old_price[t]
        squared += (z - y) * (z - y) * cap_scale[t]
        crossed += (z - y) * (now - was)
    moved[1] += squared / weight
    moved[2] += crossed


@njit(cache=True, nogil=True)
def _move_node(v: int, nodes: Nodes, dual: Dual, old: Dual, doubled: FloatArray, step: Step, moved: FloatArray) -> None:
    """Move node ``v``'s prices towards the extrapolated load ``doubled`` (2 P' - P) and mix them with their anchor.

    Adds to ``moved``: [1] movement squared over the step, [2] movement times the load's movement.
    """
    _move_caps(
        step.weight,
        step.image,
        step.iterate,
        step.anchor,
        doubled,
        nodes.cap_kw[v],
        nodes.cap_step[v],
        nodes.cap_scale[v],
        dual.load_kw[v],
        old.load_kw[v],
        dual.cap[v],
        old.cap[v],
        moved,
    )
    for k in range(nodes.request_ptr[v], nodes.request_ptr[v + 1]):
        _move_request(nodes.request[k], nodes, dual, old, doubled, step, moved)
    if nodes.ramp[v] >= 0:
        _move_ramp(nodes.ramp[v], nodes, dual, old, doubled, step, moved)


@njit(cache=True, nogil=True)
def _move_request(
    r: int, nodes: Nodes, dual: Dual, old: Dual, doubled: FloatArray, step: Step, moved: FloatArray
) -> None:
    """A request's price stays between nothing and the price of its shortfall."""
    sign = nodes.request_sign[r]
    for t in range(len(doubled)):
        s = step.weight * nodes.request_step[r, t]
        if s > 0:
            y = dual.request[r, t]
            image = y + s * sign * (doubled[t] - nodes.request_kw[r])
            image = min(max(image, 0.0), nodes.request_most[r])
            moved[1] += (image - y) * (image - y) / s
            dual.request[r, t] = step.image * image + step.iterate * y + step.anchor * old.request[r, t]


@njit(cache=True, nogil=True)
def _move_ramp(r: int, nodes: Nodes, dual: Dual, old: Dual, doubled: FloatArray, step: Step, moved: FloatArray) -> None:
    """A ramp's signed price is nothing within the free change and at most the ramp price either way."""
    for t in range(len(doubled) - 1):
        s = step.weight * nodes.ramp_step[r, t]
        y = dual.ramp[r, t]
        image, free = y + s * (doubled[t + 1] - doubled[t]), s * nodes.ramp_free_kw[r]
        image = max(image - free, 0.0) + min(image + free, 0.0)
        image = min(max(image, -nodes.ramp_most), nodes.ramp_most)
        moved[1] += (image - y) * (image - y) / s
        dual.ramp[r, t] = step.image * image + step.iterate * y + step.anchor * old.ramp[r, t]


@njit(cache=True, nogil=True)
def sweep(
    first: int,
    last: int,
    sessions: Sessions,
    chunks: Chunks,
    nodes: Nodes,
    base: Float32Array,
    top_charge: FloatArray,
    primal: Primal,
    dual: Dual,
    old: Dual,
    step: Step,
    out: FloatArray,
    moved: FloatArray,
) -> None:
    """Work chunks [first, last) once; each one's extrapolated load goes to its row of ``out``.

    Adds to ``moved`` (3,): movement squared of power and of prices, and their cross term.
    """
    n_period, most = dual.cap.shape[1], 1
    for c in range(first, last):
        most = max(most, chunks.node_last[c] - chunks.node_first[c])
    charges, loads = np.empty((most, n_period)), np.empty((most, n_period))
    for c in range(first, last):
        low, n_node = chunks.node_first[c], chunks.node_last[c] - chunks.node_first[c]
        loads[:n_node] = 0.0
        for v in range(n_node):
            _charge(low + v, nodes, dual, charges[v])
        _work_runs(c, sessions, chunks, base, top_charge, primal, step, charges, loads, out[c], moved)
        for v in range(n_node):
            _move_node(low + v, nodes, dual, old, loads[v], step, moved)


@njit(cache=True, nogil=True)
def move_top(
    chunks: Chunks,
    nodes: Nodes,
    dual: Dual,
    old: Dual,
    step: Step,
    out: FloatArray,
    top_charge: FloatArray,
    moved: FloatArray,
) -> None:
    """Add the chunks up at the nodes above them, move their prices and charge anew."""
    loads = np.zeros(top_charge.shape)
    for c in range(len(chunks.top_ptr) - 1):
        for k in range(chunks.top_ptr[c], chunks.top_ptr[c + 1]):
            loads[chunks.top_node[k]] += chunks.top_share[k] * out[c]
    for v in range(len(loads)):
        _move_node(nodes.n_low + v, nodes, dual, old, loads[v], step, moved)
        _charge(nodes.n_low + v, nodes, dual, top_charge[v])


@njit(cache=True, nogil=True)
def add_loads(chunks: Chunks, sessions: Sessions, n_low: int, x: Float32Array, load_kw: FloatArray) -> None:
    """Write the load of fractions ``x`` on every node."""
    load_kw[:] = 0.0
    run = np.zeros(load_kw.shape[1])
    for c in range(len(chunks.node_first)):
        for r in range(chunks.run_first[c], chunks.run_first[c + 1]):
            run[:] = 0.0
            for i in range(chunks.session_first[r], chunks.session_last[r]):
                s, o = sessions.start[i], sessions.offset[i]
                for k in range(sessions.n_cell[i]):
                    run[s + k] += sessions.rated_kw[i] * x[o + k]
            for k in range(chunks.run_ptr[r], chunks.run_ptr[r + 1]):
                load_kw[chunks.run_node[k]] += chunks.run_share[k] * run
            for k in range(chunks.top_ptr[c], chunks.top_ptr[c + 1]):
                load_kw[n_low + chunks.top_node[k]] += chunks.top_share[k] * run


@njit(cache=True, nogil=True)
def charge_top(nodes: Nodes, dual: Dual, top_charge: FloatArray) -> None:
    """Write the charges of the top's nodes from the prices as they are."""
    for v in range(len(top_charge)):
        _charge(nodes.n_low + v, nodes, dual, top_charge[v])


@njit(cache=True, nogil=True)
def advance(
    n_step: int,
    age: int,
    weight: float,
    sessions: Sessions,
    chunks: Chunks,
    nodes: Nodes,
    base: Float32Array,
    top_charge: FloatArray,
    primal: Primal,
    dual: Dual,
    old: Dual,
    out: FloatArray,
    moved: FloatArray,
) -> None:
    """Take ``n_step`` anchored steps in one thread without going back to Python; ``moved`` (n_step, 3) is filled."""
    for k in range(n_step):
        pull = 1.0 / (age + k + 2.0)
        step = Step(weight, 2.0 * (1.0 - pull), -(1.0 - pull), pull)
        sweep(0, len(out), sessions, chunks, nodes, base, top_charge, primal, dual, old, step, out, moved[k])
        move_top(chunks, nodes, dual, old, step, out, top_charge, moved[k])


@njit(cache=True, nogil=True)
def write_power(
    first: int, last: int, session: IntArray, sessions: Sessions, x: Float32Array, power_kw: Float32Array
) -> None:
    """Write fractions [first, last) as kW into the problem's (n_session, n_period) order."""
    for i in range(first, last):
        s, o, rated, row = sessions.start[i], sessions.offset[i], sessions.rated_kw[i], power_kw[session[i]]
        for k in range(sessions.n_cell[i]):
            row[s + k] = rated * x[o + k]


@njit(cache=True, nogil=True)
def read_power(
    first: int, last: int, session: IntArray, sessions: Sessions, power_kw: Float32Array, x: Float32Array
) -> None:
    """Read (n_session, n_period) kW into fractions [first, last)."""
    for i in range(first, last):
        s, o, rated, row = sessions.start[i], sessions.offset[i], sessions.rated_kw[i], power_kw[session[i]]
        if rated > 0:
            for k in range(sessions.n_cell[i]):
                x[o + k] = min(max(row[s + k] / rated, np.float32(0.0)), np.float32(1.0))
