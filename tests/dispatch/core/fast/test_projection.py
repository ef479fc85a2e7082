"""One step of one session, against the projection worked out another way."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from dispatch.core.fast.projection import LANES, threshold

CELLS = st.lists(st.floats(-3.0, 3.0, width=32), min_size=1, max_size=40)


def padded(cells: list[float]) -> tuple[np.ndarray, np.uint64]:
    n_padded = -(-len(cells) // LANES) * LANES
    z = np.full(n_padded, -1e30, dtype=np.float32)
    z[: len(cells)] = cells
    return z, np.uint64(n_padded)


def total_above(cells: list[float], theta: float) -> float:
    return float(np.clip(np.array(cells, dtype=np.float64) - theta, 0.0, 1.0).sum())


class TestThreshold:
    @settings(max_examples=300)
    @given(
        cells=CELLS,
        part=st.floats(0.0, 1.0),
        guess=st.floats(-50.0, 50.0, width=32),
        floor=st.floats(-9.0, 1.0, width=32),
    )
    def test_finds_where_the_cells_add_up_from_any_guess(self, cells, part, guess, floor):
        z, n_padded = padded(cells)
        total = np.float32(part * len(cells))
        theta = float(threshold(z, n_padded, total, np.float32(guess), np.float32(floor)))
        assert theta >= np.float32(floor)
        if total_above(cells, floor) <= total:
            assert total_above(cells, theta) <= total + 1e-4
            assert total_above(cells, theta) >= total_above(cells, floor) - 1e-4
        else:
            expected = brentq(lambda at: total_above(cells, at) - total, floor, 4.0) if total > 0 else max(cells)
            assert abs(total_above(cells, theta) - total) <= 1e-4 + 1e-4 * total
            assert total_above(cells, theta) <= total_above(cells, expected) + 1e-3

    def test_stays_on_the_floor_where_there_is_less_than_asked(self):
        z, n_padded = padded([0.5, 0.25])
        assert threshold(z, n_padded, np.float32(2.0), np.float32(9.0), np.float32(-0.25)) == np.float32(-0.25)

    def test_takes_nothing_where_nothing_is_asked(self):
        cells = [0.5, 0.25, -1.0]
        z, n_padded = padded(cells)
        theta = float(threshold(z, n_padded, np.float32(0.0), np.float32(-3.0), np.float32(-5.0)))
        assert total_above(cells, theta) <= 1e-6
