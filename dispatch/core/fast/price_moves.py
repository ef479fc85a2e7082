"""A node's prices: what they charge a kW, and how a step moves them towards what the node carries."""

import numpy as np
from numba import njit

from aggregator.core.types import FloatArray
from dispatch.core.fast.bundles import Dual, Nodes, Step
from dispatch.core.leaf import summing_leaf


@njit(cache=True, nogil=True)
def charge_node(v: int, nodes: Nodes, dual: Dual, out: FloatArray) -> None:
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
    """Move a node's cap prices; without a branch, so that periods go through the processor side by side.

    In two loops: over more than some six arrays the compiler gives up proving that they do not overlap.
    """
    squared, crossed = 0.0, 0.0
    for t in range(np.uint64(len(doubled))):
        y = price[t]
        z = max(0.0, y + weight * cap_step[t] * (doubled[t] - cap_kw[t])) if cap_step[t] > 0 else 0.0
        price[t] = image * z + iterate * y + anchor * old_price[t]
        squared += (z - y) * (z - y) * cap_scale[t]
        crossed += 0.5 * (z - y) * (doubled[t] - load_kw[t])
    for t in range(np.uint64(len(doubled))):
        was = load_kw[t]
        load_kw[t] = image * 0.5 * (doubled[t] + was) + iterate * was + anchor * old_load_kw[t]
    moved[1] += squared / weight
    moved[2] += crossed


@njit(cache=True, nogil=True)
def move_node(v: int, nodes: Nodes, dual: Dual, old: Dual, doubled: FloatArray, step: Step, moved: FloatArray) -> None:
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
