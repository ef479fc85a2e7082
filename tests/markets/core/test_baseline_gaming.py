import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from markets.core.baseline_gaming import InvalidGamingTest, departure

LIKE = np.array([[30.0, 31, 29, 30, 32, 28, 30, 31, 29, 30]])


class TestDeparture:
    def test_is_the_worked_prediction_t(self):
        """Mean 30, standard deviation 1.1547 (12/9 squared): 33 lies 3 / (1.1547 * sqrt(1.1)) above."""
        found = departure(np.array([33.0]), LIKE, direction="turn_down")

        assert found.t[0] == pytest.approx(2.4772, abs=1e-4)
        assert found.p[0] == pytest.approx(stats.t.sf(found.t[0], 9))
        assert (found.n_days.tolist(), found.is_flagged.tolist()) == ([10], [False])

    def test_flags_only_the_way_that_pays(self):
        high, low = np.array([40.0]), np.array([20.0])

        assert departure(high, LIKE, direction="turn_down").is_flagged.tolist() == [True]
        assert departure(low, LIKE, direction="turn_down").is_flagged.tolist() == [False]
        assert departure(high, LIKE, direction="turn_up").is_flagged.tolist() == [False]
        assert departure(low, LIKE, direction="turn_up").is_flagged.tolist() == [True]

    @pytest.mark.parametrize(
        ("window", "like"),
        [
            ([np.nan], LIKE),
            ([40.0], np.zeros((1, 10))),
            ([40.0], LIKE[:, :3]),
            ([40.0], np.full((1, 10), np.nan)),
            ([40.0], np.zeros((1, 0))),
        ],
        ids=["unread", "never moved", "three days", "no days", "no columns"],
    )
    def test_says_nothing_where_nothing_can_be_said(self, window, like):
        found = departure(np.array(window), like, direction="turn_down")

        assert np.isnan(found.t).all()
        assert not found.is_flagged.any()

    def test_leaves_out_days_that_are_none(self):
        with_gap = np.concatenate([LIKE, [[np.nan, np.nan]]], axis=1)

        one, other = (departure(np.array([33.0]), like, direction="turn_down") for like in (LIKE, with_gap))

        assert (one.t[0], one.p[0], one.n_days[0]) == (other.t[0], other.p[0], other.n_days[0])

    def test_flags_as_many_honest_days_as_it_says(self):
        rng = np.random.default_rng(5)
        like, window = rng.normal(30, 3, (20_000, 10)), rng.normal(30, 3, 20_000)

        found = departure(window, like, direction="turn_down", alpha=0.01)

        assert 0.008 < found.is_flagged.mean() < 0.012

    @given(shift=st.floats(-50, 50), scale=st.floats(0.1, 100))
    def test_does_not_depend_on_the_size_of_a_fleet(self, shift, scale):
        found = departure(np.array([33.0]) * scale + shift, LIKE * scale + shift, direction="turn_down")

        assert found.t[0] == pytest.approx(2.4772, abs=1e-3)

    @pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"window_kwh": np.zeros(2)}])
    def test_refuses_nonsense(self, wrong):
        asked = {"window_kwh": np.zeros(1), "like_days_kwh": LIKE, "direction": "turn_down"}
        with pytest.raises(InvalidGamingTest):
            departure(**(asked | wrong))
