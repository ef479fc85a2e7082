"""One step of one session, against the projection worked out another way."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from dispatch.core.fast.bundles import Primal, Sessions, Step
from dispatch.core.fast.lanes import LANES
from dispatch.core.fast.projection import project_run, threshold

CELLS = st.lists(st.floats(-3.0, 3.0, width=32), min_size=1, max_size=40)


def padded(cells: list[float]) -> tuple[np.ndarray, np.uint64]:
    n_padded = -(-len(cells) // LANES) * LANES
    z = np.full(n_padded, -1e30, dtype=np.float32)
    z[: len(cells)] = cells
    return z, np.uint64(n_padded)


def total_above(cells: list[float] | np.ndarray, theta: float) -> float:
    return float(np.clip(np.array(cells, dtype=np.float64) - theta, 0.0, 1.0).sum())


def exact_theta(z: np.ndarray, total: float, floor: float) -> float:
    if total_above(z, floor) <= total:
        return floor
    return float(brentq(lambda at: total_above(z, at) - total, floor, z.max()))


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
            expected = exact_theta(np.array(cells), total, floor) if total > 0 else max(cells)
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


class TestProjectRun:
    """A run of sessions in one step, against each session's projection found by a general root finder."""

    N_PERIOD = 40
    STEP = Step(weight=1.0, image=1.6, iterate=-0.8, anchor=0.2)
    ETA = np.float32(0.7)

    def drawn(self, seed: int, n_session: int) -> tuple[Sessions, Primal, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        start = rng.integers(0, self.N_PERIOD, n_session)
        end = start + 1 + rng.integers(0, self.N_PERIOD - start)
        block = np.concatenate([[0], np.cumsum(-(-end // LANES) - start // LANES)])
        whole = np.stack([start, end, rng.integers(0, 2, n_session), block[:-1]], axis=1).astype(np.int32)
        periods = rng.uniform(0.0, 1.2, n_session) * (end - start) * (rng.random(n_session) > 0.1)
        real = np.stack([rng.choice([3.68, 7.36], n_session), periods, rng.choice([0.0, 0.4, 9.0], n_session)], axis=1)
        inside = np.zeros(LANES * block[-1], dtype=bool)
        for i in range(n_session):
            first = LANES * whole[i, 3] + start[i] % LANES
            inside[first : first + end[i] - start[i]] = True
        x, old = (np.where(inside, rng.uniform(-0.5, 1.5, inside.size), 0.0).astype(np.float32) for _ in range(2))
        primal = Primal(x, old, rng.uniform(-3.0, 3.0, n_session).astype(np.float32))
        base = rng.uniform(0.0, 1.0, (2, self.N_PERIOD)).astype(np.float32)
        return (
            Sessions(whole, real.astype(np.float32)),
            primal,
            base,
            rng.uniform(0, 1, self.N_PERIOD).astype(np.float32),
        )

    @settings(max_examples=60)
    @given(seed=st.integers(0, 10_000), n_session=st.integers(1, 30))
    def test_moves_every_session_to_its_projection(self, seed, n_session):
        sessions, primal, base, charge = self.drawn(seed, n_session)
        before, doubled = primal.x.copy(), np.zeros(self.N_PERIOD, dtype=np.float32)
        scratch = (np.zeros(self.N_PERIOD, dtype=np.float32), np.zeros(self.N_PERIOD, dtype=np.float32))
        moved = project_run(0, n_session, sessions, primal, base, charge, self.ETA, self.STEP, doubled, *scratch)
        expected_load, expected_moved = np.zeros(self.N_PERIOD), 0.0
        for i in range(n_session):
            start, end, tariff, block = sessions.whole[i]
            rated, periods, unserved = sessions.real[i].astype(np.float64)
            own = slice(LANES * block + start % LANES, LANES * block + start % LANES + end - start)
            was = before[own].astype(np.float64)
            z = was - float(self.ETA) * (base[tariff, start:end].astype(np.float64) + charge[start:end])
            floor = -float(self.ETA) * unserved
            theta = exact_theta(z, periods, floor)
            now = np.clip(z - theta, 0.0, 1.0)
            expected_load[start:end] += rated * (2 * now - was)
            expected_moved += rated * ((now - was) ** 2).sum()
            mixed = self.STEP.image * now + self.STEP.iterate * was + self.STEP.anchor * primal.anchor[own]
            np.testing.assert_allclose(primal.x[own], mixed, atol=1e-3)
            np.testing.assert_allclose(total_above(z, float(primal.theta[i])), now.sum(), atol=1e-3)
        np.testing.assert_allclose(doubled, expected_load, atol=0.02)
        np.testing.assert_allclose(moved, expected_moved, rtol=1e-3, atol=1e-3)
        assert not primal.x[self.outside(sessions, primal)].any()

    @staticmethod
    def outside(sessions: Sessions, primal: Primal) -> np.ndarray:
        """Cells of no session's window: they stay empty."""
        outside = np.ones(primal.x.size, dtype=bool)
        for start, end, _, block in sessions.whole:
            first = LANES * block + start % LANES
            outside[first : first + end - start] = False
        return outside
