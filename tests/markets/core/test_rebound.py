import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from markets.core.rebound import rebound

NAN = np.nan


class TestRebound:
    def test_is_what_was_drawn_beyond_the_baseline_after_a_turn_down(self):
        found = rebound(np.array([[1.0, 2.0]]), np.array([[3.5, 1.5]]), "turn_down")

        assert found.rebound_kwh.tolist() == [[2.5, -0.5]]
        assert found.total_kwh.tolist() == [2.0]

    def test_is_the_other_way_after_a_turn_up(self):
        assert rebound(np.array([[3.0]]), np.array([[1.0]]), "turn_up").total_kwh.tolist() == [2.0]

    def test_says_what_it_does_not_know(self):
        found = rebound(np.array([[1.0, NAN], [1.0, 1.0]]), np.array([[2.0, 2.0], [NAN, NAN]]), "turn_down")

        np.testing.assert_array_equal(found.total_kwh, [1.0, NAN])
        assert found.n_unknown.tolist() == [1, 2]

    @given(quanta=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=8))
    def test_adds_up_exactly(self, quanta):
        kwh = np.array([quanta]) / 10_000

        assert rebound(np.zeros_like(kwh), kwh, "turn_down").total_kwh[0] == sum(quanta) / 10_000
