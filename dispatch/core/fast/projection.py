"""A session's own limits, projected onto exactly: power between nothing and the rating, no more than its energy."""

import numpy as np

from aggregator.core.types import Float32Array
from dispatch.core.fast.bundles import Primal, Sessions, Step
from dispatch.core.leaf import summing_leaf

# Cells of a session are padded to whole vector registers, so that the compiler's loops need no remainders.
LANES = 16
_FAR = np.float32(-1e30)
_TOLERANCE = np.float32(1e-5)


@summing_leaf
def threshold(
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
def project_run(
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
        theta = threshold(z, n_padded, totals[i], thetas[i], -eta * floors[i])
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
