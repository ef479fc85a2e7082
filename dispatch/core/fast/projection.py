"""A session's own limits, projected onto exactly: power between nothing and the rating, no more than its energy.

Source: docs/methods/dispatch.md
"""

import numpy as np

from aggregator.core.types import Float32Array
from dispatch.core.fast.bundles import Primal, Sessions, Step
from dispatch.core.fast.lanes import LANES, clip, load, ones_where_equal, splat, store, total
from dispatch.core.leaf import leaf, summing_leaf

_FAR = np.float32(1e30)
_TOLERANCE = np.float32(1e-5)
# Where no cell moves a Newton step goes far off, and the threshold is looked for in brackets.
_LEAST_INSIDE = np.float32(1e-3)
# A block of lanes a row: what to take off so that lanes before the first period, and from the end on, hold nothing.
_BEFORE = (_FAR * np.tri(LANES, k=-1, dtype=np.float32)).ravel()
_AFTER = (_FAR * (1 - np.tri(LANES, dtype=np.float32))).ravel()


@leaf
def padded(n_period: int) -> int:
    """Periods to the end of the last block of lanes."""
    return (n_period + LANES - 1) // LANES * LANES


@leaf
def cells(sessions: Sessions, i: int) -> tuple[int, int, int]:
    """A session's first period, how many it has, and the cell of the first."""
    start = sessions.whole[i, 0]
    return start, sessions.whole[i, 1] - start, LANES * sessions.whole[i, 3] + start % LANES


@summing_leaf
def threshold(z: Float32Array, n: np.uint64, total: np.float32, theta: np.float32, floor: np.float32) -> np.float32:
    """The theta, not under the floor, at which clip(z - theta, 0, 1) adds up to ``total``: Newton inside a bracket."""
    low, high, is_low_known = floor, np.float32(3e38), False
    theta = max(theta, floor)
    for _ in range(60):
        found, inside = np.float32(0.0), np.float32(0.0)
        for k in range(n):
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
            step = np.float32(0.5) * (low + high) if high < np.float32(1e38) else _largest(z, n)
        if step == theta:
            return theta
        theta = step
    return theta


@summing_leaf
def _largest(z: Float32Array, n: np.uint64) -> np.float32:
    most = np.float32(z[0])
    for k in range(n):
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
    was: Float32Array,
) -> float:
    """Step a run's sessions down their prices and project them; returns the sum of rating times movement squared.

    Nine in ten are met by one Newton step from the threshold of the step before, so that step is taken at once and
    looked at afterwards; the rest take theirs back. All is one function: handing a dozen arrays on costs more than
    the work on a session. Indices are unsigned: signed ones cost a wrap-around check each.

    Args:
        doubled: (padded n_period,) rating times (2 x' - x) is added to it.
        z, was: (padded n_period,) scratch.
    """
    x, old, thetas, whole, real = primal.x, primal.anchor, primal.theta, sessions.whole, sessions.real
    image, iterate = splat(np.float32(step.image)), splat(np.float32(step.iterate))
    anchor, down, none = splat(np.float32(step.anchor)), splat(eta), splat(np.float32(0.0))
    zero, one, two, three, lanes = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(LANES)
    moved = 0.0
    for i in range(np.uint64(first), np.uint64(last)):
        start, end, row = np.uint64(whole[i, zero]), np.uint64(whole[i, one]), base[np.uint64(whole[i, two])]
        rated, periods, floor = real[i, zero], real[i, one], -eta * real[i, two]
        o, p = lanes * np.uint64(whole[i, three]), start // lanes * lanes
        n_block = (end + lanes - one) // lanes - start // lanes
        theta = max(thetas[i], floor)
        at, sum_x, sum_inside = splat(theta), none, none
        for g in range(n_block):
            q = lanes * np.uint64(g)
            stepped = load(x, o + q) - down * (load(row, p + q) + load(charge, p + q))
            if q == zero:
                stepped = stepped - load(_BEFORE, lanes * (start - p))
            if q == lanes * (n_block - one):
                stepped = stepped - load(_AFTER, lanes * (end - one - p - q))
            store(z, q, stepped)
            over = stepped - at
            here = clip(over)
            sum_x, sum_inside = sum_x + here, sum_inside + ones_where_equal(here, over)
        guess = theta
        theta = max(guess + (total(sum_x) - periods) / max(total(sum_inside), _LEAST_INSIDE), floor)
        at, rating, sum_x, sum_moved = splat(theta), splat(rated), none, none
        for g in range(n_block):
            q = lanes * np.uint64(g)
            now, before = clip(load(z, q) - at), load(x, o + q)
            change = now - before
            sum_x, sum_moved = sum_x + now, sum_moved + change * change
            store(was, q, before)
            store(doubled, p + q, load(doubled, p + q) + rating * (now + change))
            store(x, o + q, image * now + iterate * before + anchor * load(old, o + q))
        excess = total(sum_x) - periods
        if abs(excess) > _TOLERANCE * (periods + _TOLERANCE) and not (excess <= 0 and theta <= floor):
            theta = threshold(z, lanes * n_block, periods, guess, floor)
            better, sum_moved = splat(theta), none
            for g in range(n_block):
                q = lanes * np.uint64(g)
                now, before, gone = clip(load(z, q) - better), load(was, q), clip(load(z, q) - at)
                change, mended = now - before, now - gone
                sum_moved = sum_moved + change * change
                store(doubled, p + q, load(doubled, p + q) + rating * (mended + mended))
                store(x, o + q, image * now + iterate * before + anchor * load(old, o + q))
        thetas[i] = theta
        moved += rated * total(sum_moved)
    return moved
