import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.check import check_power
from dispatch.core.costs import price_plan
from dispatch.core.greedy import greedy_power_kw, refill, safe_power_kw, towards_zero
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.sessions import by_need
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import caps_kw, serveable_kwh, share
from tests.strategies import dispatch_problems


def greedy(problem, **more):
    return greedy_power_kw(problem, Network.of(problem), **more)


def filled_by_hand(problem, order):
    """Session after session into its cheapest room, one cell at a time; for problems with neither request nor ramp."""
    power, cap, h = np.zeros((problem.n_session, problem.n_period)), caps_kw(problem), problem.step_h
    need = serveable_kwh(problem)
    for i in order:
        carries = [(v, part) for v in range(problem.n_node) if (part := share(problem, i, v)) > 0]
        price = problem.price_gbp_per_kwh[problem.session_tariff[i]]
        for t in sorted(range(problem.session_start[i], problem.session_end[i]), key=price.__getitem__):
            if price[t] < problem.session_unserved_gbp_per_kwh[i]:
                room = min((cap[v, t] / part for v, part in carries), default=np.inf)
                power[i, t] = max(0.0, min(problem.session_max_kw[i], need[i] / h, room))
                need[i] -= h * power[i, t]
                for v, part in carries:
                    cap[v, t] -= part * power[i, t]
    return power


def cost_gbp(problem, power_kw):
    costs = price_plan(problem, Network.of(problem), power_kw)
    assert check_power(problem, power_kw, costs.unserved_kwh) <= 1e-9
    return costs.total_gbp


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

    def test_takes_the_cheapest_next_bit_up_to_where_its_price_changes(self):
        # 2 kW may fall away for nothing, a third costs 0.10 + 0.50; the second hour is 0.30 up to 2 kW above the first.
        ramp = {"node_ramp_kw": np.array([2.0]), "ramp_gbp_per_kwh": 0.5}
        assert greedy(make_problem(Ev(6.0), **ramp)) == pytest.approx(np.array([[2.0, 4.0]]), abs=1e-5)

    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), phases=st.booleans())
    def test_agrees_with_filling_cell_by_cell(self, seed, phases):
        problem = national_fleet(Shape(50, n_period=24, seed=seed, phases=phases))
        expected = filled_by_hand(problem, by_need(problem).tolist())
        np.testing.assert_allclose(greedy(problem), expected, atol=1e-4)

    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems())
    def test_keeps_every_hard_limit_and_costs_no_more_than_doing_nothing(self, problem):
        nothing = np.zeros((problem.n_session, problem.n_period), dtype=np.float32)
        assert cost_gbp(problem, greedy(problem)) <= cost_gbp(problem, nothing) + 1e-5


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

    def test_takes_too_much_energy_from_the_dearest_period(self):
        problem = make_problem(Ev(7.0))
        plan = safe_power_kw(problem, Network.of(problem), np.array([[6.0, 4.0]], dtype=np.float32))
        assert plan.tolist() == [[6.0, 1.0]]

    def test_takes_too_much_energy_from_all_alike_where_a_request_counts_on_it(self):
        up = FlexRequest(0, 1, 2, TURN_UP, 4.0, 0.5)
        problem = make_problem(Ev(5.0), requests=(up,))
        plan = safe_power_kw(problem, Network.of(problem), np.array([[6.0, 4.0]]))
        assert plan == pytest.approx(np.array([[3.0, 2.0]]), rel=1e-6)

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([np.float32, np.float64]))
    def test_loses_little_of_a_nearly_feasible_plan(self, seed, kind):
        problem = national_fleet(Shape(300, n_period=24, seed=seed, phases=True))
        good = greedy(problem)
        noisy = (good * np.random.default_rng(seed).normal(1, 1e-4, good.shape)).astype(kind)
        kept = safe_power_kw(problem, Network.of(problem), noisy)
        assert cost_gbp(problem, kept) <= 1.001 * cost_gbp(problem, good)


class TestRefill:
    def test_serves_what_was_left_out_where_there_is_room(self):
        problem = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)
        plan = np.array([[4.0, 0.0], [3.0, 4.0]], dtype=np.float32)
        refill(problem, Network.of(problem), plan)
        assert plan.tolist() == [[7.0, 0.0], [3.0, 4.0]]

    def test_moves_power_into_cheaper_periods_with_room(self):
        problem = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)
        plan = np.array([[2.0, 5.0], [4.0, 3.0]], dtype=np.float32)
        refill(problem, Network.of(problem), plan)
        assert plan.tolist() == [[6.0, 1.0], [4.0, 3.0]]

    def test_stops_between_safe_steps(self):
        problem = make_problem(Ev(7.0))
        plan = np.array([[2.0, 4.0]], dtype=np.float32)
        refill(problem, Network.of(problem), plan, is_late=lambda: True)
        assert plan.tolist() == [[2.0, 4.0]]

    @settings(max_examples=150, deadline=None)
    @given(problem=dispatch_problems(), seed=st.integers(0, 2**32 - 1))
    def test_never_makes_a_plan_dearer_or_unsafe(self, problem, seed):
        wild = np.random.default_rng(seed).normal(1, 3, (problem.n_session, problem.n_period))
        network = Network.of(problem)
        plan = safe_power_kw(problem, network, wild)
        before = cost_gbp(problem, plan)
        refill(problem, network, plan)
        assert cost_gbp(problem, plan) <= before + 1e-5


class TestTowardsZero:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1))
    def test_never_grows_and_loses_less_than_float32_resolves(self, values):
        exact = np.array(values)
        stored = towards_zero(exact).astype(float)
        assert (np.abs(stored) <= np.abs(exact)).all()
        assert (np.abs(stored - exact) <= np.abs(exact) * 2.0**-23 + 2.0**-149).all()
