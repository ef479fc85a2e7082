from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.intervals import NaiveTime, periods_from_start, split_by_period, to_datetime64
from aggregator.core.timegrid import TimeGrid

POSITIONS = st.lists(st.tuples(st.floats(-5, 15), st.floats(-5, 15)), max_size=12)


class TestSplitByPeriod:
    def test_cuts_at_each_boundary(self):
        pieces = split_by_period(np.array([0.5, 3.0]), np.array([2.25, 4.0]), 10)

        assert pieces.row.tolist() == [0, 0, 0, 1]
        assert pieces.period.tolist() == [0, 1, 2, 3]
        assert pieces.share.tolist() == [0.5, 1.0, 0.25, 1.0]

    def test_leaves_out_what_is_empty_reversed_or_outside(self):
        pieces = split_by_period(np.array([1.0, 3.0, -4.0, 11.0]), np.array([1.0, 2.0, -1.0, 12.0]), 10)

        assert len(pieces.row) == 0

    @given(positions=POSITIONS)
    def test_covers_each_interval_once(self, positions):
        starts, ends = np.array(positions, dtype=np.float64).reshape(-1, 2).T

        pieces = split_by_period(starts, ends, 10)

        covered = np.bincount(pieces.row, weights=pieces.share, minlength=len(starts))
        inside = np.clip(np.clip(ends, 0, 10) - np.clip(starts, 0, 10), 0, None)
        np.testing.assert_allclose(covered, inside, atol=1e-12)
        assert ((pieces.share > 0) & (pieces.share <= 1)).all()
        assert ((pieces.period >= 0) & (pieces.period < 10)).all()


class TestInstants:
    def test_are_placed_in_periods_from_the_start(self):
        grid = TimeGrid(datetime(2026, 1, 15, 12, tzinfo=UTC), 48)
        at = np.array(["2026-01-15T11:30:00", "2026-01-15T17:10:00"], dtype="datetime64[s]")

        np.testing.assert_allclose(periods_from_start(at, grid), [-1, 10 + 1 / 3])

    def test_are_refused_without_a_zone(self):
        with pytest.raises(NaiveTime):
            to_datetime64(datetime(2026, 1, 15))  # noqa: DTZ001
