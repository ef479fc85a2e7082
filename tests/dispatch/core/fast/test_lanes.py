"""Vectors of compiled code, lane by lane against numpy."""

import numpy as np
from numba import njit

from dispatch.core.fast.lanes import LANES, clip, load, ones_where_equal, splat, store, total


@njit
def _worked(a, b, out):
    zero, second = np.uint64(0), np.uint64(LANES)
    left, right = load(a, np.uint64(1)), load(b, zero)
    store(out, zero, (left + right) * splat(np.float32(2.0)) - right)
    store(out, second, clip(left) + ones_where_equal(left, right))
    return total(left)


def test_are_what_numpy_makes_of_each_lane():
    rng = np.random.default_rng(5)
    a, b = rng.uniform(-2, 2, LANES + 1).astype(np.float32), rng.uniform(-2, 2, LANES).astype(np.float32)
    b[::3] = a[1::3][: len(b[::3])]
    out = np.zeros(2 * LANES, dtype=np.float32)
    added = _worked(a, b, out)
    np.testing.assert_allclose(out[:LANES], 2 * (a[1:] + b) - b, rtol=1e-6)
    np.testing.assert_allclose(out[LANES:], np.clip(a[1:], 0, 1) + (a[1:] == b), rtol=1e-6)
    np.testing.assert_allclose(added, a[1:].sum(), rtol=1e-5)


def test_neither_reads_nor_writes_beside_the_lanes():
    out = np.full(LANES + 2, 7.0, dtype=np.float32)

    @njit
    def write(out):
        store(out, np.uint64(1), splat(np.float32(3.0)))

    write(out)
    assert out.tolist() == [7.0, *[3.0] * LANES, 7.0]
