import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.check import check_power
from dispatch.core.costs import price_plan
from dispatch.core.greedy import greedy_power_kw, safe_power_kw, towards_zero
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems


def greedy(problem, **more):
    return greedy_power_kw(problem, Network.of(problem), **more)


class TestGreedyPowerKw:
    def test_fills_the_cheapest_room_first(self):
        # 7 kW at 0.10, then the 3 kWh left at 0.20; nothing at 0.30.
        assert greedy(make_problem(Ev(10.0), prices=(0.3, 0.1, 0.2))) == pytest.approx(np.array([[0.0, 7.0, 3.0]]))

    def test_serves_the_least_slack_first_among_equals(self):
        # 7 kW for one EV at a time. ev-1 leaves after the first hour and can't wait; ev-0 can.
        plan = greedy(make_problem(Ev(7.0), Ev(7.0, end=1), limit_kw=7.0))
        assert plan == pytest.approx(np.array([[0.0, 7.0], [7.0, 0.0]]))

    def test_serves_the_dearer_need_before_the_tighter_one(self):
        plan = greedy(make_problem(Ev(7.0, end=1), Ev(6.0, end=1, unserved=4.0), limit_kw=7.0))
        assert plan[:, 0] == pytest.approx([1.0, 6.0])

    def test_leaves_unserved_what_costs_more_than_it_is_worth(self):
        assert greedy(make_problem(Ev(10.0, unserved=0.2))) == pytest.approx(np.array([[7.0, 0.0]]))

    def test_goes_where_a_request_pays(self):
        up = FlexRequest(0, 1, 2, TURN_UP, 5.0, 0.5)
        assert greedy(make_problem(Ev(7.0), requests=(up,))) == pytest.approx(np.array([[2.0, 5.0]]))

    def test_keeps_out_of_a_window_that_asks_for_less(self):
        down = FlexRequest(0, 0, 1, TURN_DOWN, 2.0, 1.0)
        assert greedy(make_problem(Ev(7.0), requests=(down,))) == pytest.approx(np.array([[2.0, 5.0]]))

    def test_fills_the_side_of_a_ramp_that_is_too_steep(self):
        # ev-0 makes 6 kW fall to 0, 2 kW of it free: in the second hour ev-1 pays 0.30 and saves 0.50 of ramp.
        ramp = {"node_ramp_kw": np.array([2.0]), "ramp_gbp_per_kwh": 0.5}
        plan = greedy(make_problem(Ev(6.0, end=1, unserved=4.0), Ev(2.0), **ramp))
        assert plan == pytest.approx(np.array([[6.0, 0.0], [0.0, 2.0]]))

    def test_leaves_unserved_what_a_steeper_ramp_would_make_too_dear(self):
        # ev-0 rises by 6 kW already: 0.10 + 0.50 a kWh in that hour is more than the 0.40 ev-1's energy is worth.
        ramp = {"node_ramp_kw": np.array([2.0]), "ramp_gbp_per_kwh": 0.5, "prices": (0.3, 0.1)}
        plan = greedy(make_problem(Ev(6.0, start=1, unserved=4.0), Ev(2.0, start=1, unserved=0.4), **ramp))
        assert plan == pytest.approx(np.array([[0.0, 6.0], [0.0, 0.0]]))

    def test_is_safe_when_stopped_at_once(self):
        assert not greedy(make_problem(Ev(10.0)), is_late=lambda: True).any()


class TestSafePowerKw:
    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems(), seed=st.integers(0, 2**32 - 1))
    def test_makes_any_power_keep_every_hard_limit(self, problem, seed):
        wild = np.random.default_rng(seed).normal(5, 10, (problem.n_session, problem.n_period))
        network = Network.of(problem)
        power = safe_power_kw(problem, network, wild)
        costs = price_plan(problem, network, power)
        assert check_power(problem, power.astype(float), costs.unserved_kwh) <= 1e-9

    def test_leaves_a_safe_plan_as_it_is(self):
        problem = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)
        plan = np.array([[7.0, 0.0], [3.0, 4.0]])
        np.testing.assert_array_equal(safe_power_kw(problem, Network.of(problem), plan), plan)

    def test_moves_what_a_lower_limit_cuts_into_room_elsewhere(self):
        problem = make_problem(Ev(7.0), limit_kw=[[4.0, 5.0]])
        assert safe_power_kw(problem, Network.of(problem), np.array([[7.0, 0.0]])) == pytest.approx(
            np.array([[4.0, 3.0]])
        )


class TestTowardsZero:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1))
    def test_never_grows_and_loses_less_than_float32_resolves(self, values):
        exact = np.array(values)
        stored = towards_zero(exact).astype(float)
        assert (np.abs(stored) <= np.abs(exact)).all()
        assert (np.abs(stored - exact) <= np.abs(exact) * 2.0**-23 + 2.0**-149).all()
