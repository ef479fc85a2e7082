from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import TimeGrid
from markets.core.stops import InvalidStop, after_stops

SIX = datetime(2026, 1, 14, 18, tzinfo=UTC)
GRID = TimeGrid(SIX, 4)


def at(text: str) -> np.ndarray:
    return np.array([np.datetime64(text, "s")])


class TestAfterStops:
    def test_keeps_what_was_not_stopped(self):
        np.testing.assert_array_equal(after_stops(np.full((1, 4), 10.0), at("NaT"), grid=GRID), [[10, 10, 10, 10]])

    def test_keeps_a_part_period_pro_rata(self):
        left_kw = after_stops(np.full((1, 4), 12.0), at("2026-01-14T18:40"), grid=GRID)
        np.testing.assert_allclose(left_kw, [[12.0, 4.0, 0.0, 0.0]])  # 10 of 30 minutes

    def test_leaves_nothing_where_it_was_cancelled_before(self):
        np.testing.assert_array_equal(after_stops(np.full((1, 4), 12.0), at("2026-01-14T10:00"), grid=GRID), [[0] * 4])

    def test_stops_each_unit_by_itself(self):
        stops = np.array(["NaT", "2026-01-14T19:00"], dtype="datetime64[s]")
        np.testing.assert_array_equal(after_stops(np.ones((2, 4)), stops, grid=GRID), [[1, 1, 1, 1], [1, 1, 0, 0]])

    def test_refuses_shapes_that_differ(self):
        with pytest.raises(InvalidStop):
            after_stops(np.ones((2, 4)), at("NaT"), grid=GRID)

    @given(minute=st.integers(-60, 240), later=st.integers(0, 100), kw=st.floats(0, 1e4))
    def test_leaves_the_energy_up_to_the_stop_and_no_less_for_a_later_one(self, minute, later, kw):
        def energy_kwh(minutes: int) -> float:
            stop = np.array([np.datetime64("2026-01-14T18:00", "s") + np.timedelta64(minutes * 60, "s")])
            return float(after_stops(np.full((1, 4), kw), stop, grid=GRID).sum() / 2)

        assert energy_kwh(minute) == pytest.approx(kw * min(max(minute, 0), 120) / 60)
        assert energy_kwh(minute + later) >= energy_kwh(minute) - 1e-9
