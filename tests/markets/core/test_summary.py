import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.summary import DayCurves, energy_cost_gbp


def curves(
    *, rating_kw: list[float], background_kw: list[list[float]], uncontrolled_kw: list[list[float]]
) -> DayCurves:
    uncontrolled = np.array(uncontrolled_kw)
    return DayCurves(np.array(rating_kw), np.array(background_kw), uncontrolled, uncontrolled / 2)


STREET = curves(
    rating_kw=[100.0, 20.0, 20.0],
    background_kw=[[30.0, 50.0], [5.0, 15.0], [8.0, 19.0]],
    uncontrolled_kw=[[60.0, 40.0], [10.0, 6.0], [4.0, 0.0]],
)


class TestDayCurves:
    def test_adds_evs_to_the_rest(self):
        assert STREET.total_kw(STREET.uncontrolled_kw).tolist() == [[90, 90], [15, 21], [12, 19]]
        assert STREET.total_kw(STREET.metered_kw).tolist() == [[60, 70], [10, 18], [10, 19]]

    def test_counts_nodes_over_their_rating_in_any_period(self):
        assert STREET.n_over(STREET.uncontrolled_kw) == 1
        assert STREET.n_over(STREET.metered_kw) == 0
        assert STREET.n_over(STREET.uncontrolled_kw * 10) == 3

    @pytest.mark.parametrize(("over_kw", "n_over"), [(0.0, 0), (1e-9, 0), (1e-3, 1)])
    def test_lets_a_node_be_used_up_to_its_rating(self, over_kw, n_over):
        full = curves(rating_kw=[10.0], background_kw=[[4.0]], uncontrolled_kw=[[6.0 + over_kw]])
        assert full.n_over(full.uncontrolled_kw) == n_over

    def test_never_counts_a_node_without_a_rating(self):
        free = curves(rating_kw=[np.inf], background_kw=[[1e9]], uncontrolled_kw=[[1.0]])
        assert free.n_over(free.uncontrolled_kw) == 0

    def test_finds_the_node_nearest_to_its_rating_by_share(self):
        assert STREET.tightest() == 1  # 21 of 20 kW, though the first carries 90 of 100

    def test_leaves_out_a_node_without_evs(self):
        quiet = curves(rating_kw=[10.0, 10.0], background_kw=[[9.9], [1.0]], uncontrolled_kw=[[0.0], [1.0]])
        assert quiet.tightest() == 1

    def test_leaves_out_a_node_without_a_rating(self):
        half = curves(rating_kw=[np.inf, 100.0], background_kw=[[1.0], [1.0]], uncontrolled_kw=[[50.0], [1.0]])
        assert half.tightest() == 1

    def test_names_a_rated_node_even_where_no_ev_is(self):
        idle = curves(rating_kw=[np.inf, 100.0], background_kw=[[1.0], [1.0]], uncontrolled_kw=[[0.0], [0.0]])
        assert idle.tightest() == 1

    def test_names_none_where_no_node_has_a_rating(self):
        free = curves(rating_kw=[np.inf] * 2, background_kw=[[1.0], [1.0]], uncontrolled_kw=[[1.0], [2.0]])
        assert free.tightest() is None


class TestEnergyCost:
    def test_prices_each_half_hour_by_hand(self):
        """4 kW for half an hour at 30 p and 2 kW at 10 p are 60 p and 10 p."""
        assert energy_cost_gbp(np.array([4.0, 2.0, 0.0]), np.array([0.3, 0.1, 9.0]), 0.5) == pytest.approx(0.7)

    def test_earns_at_negative_prices(self):
        assert energy_cost_gbp(np.array([2.0]), np.array([-0.05]), 0.5) == pytest.approx(-0.05)

    @given(st.lists(st.tuples(st.floats(0, 50), st.floats(-1, 1)), min_size=1, max_size=50), st.floats(0.1, 2))
    def test_is_the_sum_over_periods(self, rows, step_h):
        power_kw, price = (np.array(column) for column in zip(*rows, strict=True))
        by_hand = sum(kw * gbp * step_h for kw, gbp in rows)
        assert energy_cost_gbp(power_kw, price, step_h) == pytest.approx(by_hand, abs=1e-9)
