from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.bound import Prices, legal_prices, lower_bound_gbp
from dispatch.core.network import Network
from dispatch.core.problem import TURN_UP, FlexRequest
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import optimum_gbp, share
from tests.strategies import dispatch_problems


def sorted_bound_gbp(problem, prices):
    """The bound with every session's periods sorted, the slow way; caps and prices only, no requests, no ramps."""
    h, total = problem.step_h, 0.0
    for i in range(problem.n_session):
        charge = sum(share(problem, i, v) * prices.cap[v] for v in range(problem.n_node))
        window = slice(problem.session_start[i], problem.session_end[i])
        left_kwh = min(problem.session_energy_kwh[i], h * problem.session_max_kw[i] * (window.stop - window.start))
        for gbp_per_kwh in sorted(problem.price_gbp_per_kwh[problem.session_tariff[i], window] + charge[window] / h):
            taken_kwh = min(left_kwh, h * problem.session_max_kw[i])
            if gbp_per_kwh < problem.session_unserved_gbp_per_kwh[i]:
                total += gbp_per_kwh * taken_kwh
                left_kwh -= taken_kwh
        total += problem.session_unserved_gbp_per_kwh[i] * left_kwh
    return total - float((prices.cap * problem.node_limit_kw).sum())


def bound(problem, **changes):
    prices = Prices.zero(problem)
    for name, value in changes.items():
        getattr(prices, name)[:] = value
    return lower_bound_gbp(problem, Network.of(problem), prices)


class TestLowerBoundGbp:
    # Two EVs of 7 kW want 7 kWh each; the feeder carries 10 kW; 0.10 then 0.30 GBP/kWh.
    CROWDED = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)

    def test_is_each_sessions_own_cheapest_cost_at_zero_prices(self):
        # Alone, both charge in the first hour: 14 x 0.10.
        assert bound(self.CROWDED) == pytest.approx(1.4, abs=1e-9)

    def test_is_the_optimum_at_the_optimal_price(self):
        # 10 kWh at 0.10 and 4 at 0.30 cost 2.20. At 0.20 a kW both hours cost 0.30: 14 x 0.30 - 0.20 x 10 = 2.20.
        assert bound(self.CROWDED, cap=[[0.2, 0.0]]) == pytest.approx(2.2, abs=1e-9)

    def test_counts_part_of_a_period(self):
        # 10 kWh at 7 kW: a full cheap hour and 3/7 of the dear one, 0.7 + 0.9.
        assert bound(make_problem(Ev(10.0))) == pytest.approx(1.6, abs=1e-9)

    def test_leaves_energy_unserved_where_that_is_cheaper(self):
        # Unserved at 0.20 beats the hour at 0.30: 7 x 0.10 + 3 x 0.20.
        assert bound(make_problem(Ev(10.0, unserved=0.2))) == pytest.approx(1.3, abs=1e-9)

    def test_ignores_a_price_on_a_limit_that_is_not_there(self):
        assert bound(make_problem(Ev(10.0)), cap=5.0) == pytest.approx(1.6, abs=1e-9)

    def test_never_moves_up_by_a_negative_price(self):
        assert bound(self.CROWDED, cap=-3.0) == pytest.approx(1.4, abs=1e-9)

    def test_counts_a_turn_up_nobody_can_meet(self):
        asked = FlexRequest(node=0, start=0, end=2, direction=TURN_UP, target_kw=5.0, shortfall_gbp_per_kwh=3.0)
        # No EV: 5 kW short for two hours at 3 GBP/kWh; a price above the shortfall's is cut back to it.
        assert bound(make_problem(requests=(asked,)), request=99.0) == pytest.approx(30.0, abs=1e-9)

    @settings(max_examples=120, deadline=None)
    @given(problem=dispatch_problems(max_sessions=4, max_periods=4), seed=st.integers(0, 2**32 - 1))
    def test_is_never_above_the_optimum_whatever_the_prices(self, problem, seed):
        rng = np.random.default_rng(seed)
        zero = Prices.zero(problem)
        wild = Prices(
            *(rng.normal(0, 0.3, table.shape) for table in (zero.cap, zero.request, zero.ramp_up, zero.ramp_down))
        )
        optimum = optimum_gbp(problem)
        assert lower_bound_gbp(problem, Network.of(problem), wild) <= optimum + 1e-7 * max(1, abs(optimum))

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), n_period=st.sampled_from([24, 96]), dearest=st.sampled_from([0.0, 0.1, 2.0]))
    def test_agrees_with_sorting_every_sessions_periods(self, seed, n_period, dearest):
        # At 15 minutes some EVs need 4 periods and some 60: both ways of selecting them.
        problem = national_fleet(Shape(40, n_period=n_period, seed=seed, phases=True))
        problem = replace(problem, node_limit_kw=np.maximum(problem.node_limit_kw, 0.0))
        prices = Prices.zero(problem)
        prices.cap[:] = np.random.default_rng(seed).uniform(0, dearest, prices.cap.shape).round(1)
        found = lower_bound_gbp(problem, Network.of(problem), prices)
        expected = sorted_bound_gbp(problem, prices)
        assert found <= expected
        assert found == pytest.approx(expected, rel=1e-9)


class TestLegalPrices:
    def test_keeps_two_ramp_prices_within_the_one_ramp_price(self):
        problem = make_problem(Ev(7.0), node_ramp_kw=np.array([1.0]), ramp_gbp_per_kwh=0.5)
        prices = Prices.zero(problem)
        prices.ramp_up[:], prices.ramp_down[:] = 0.6, 0.4
        legal = legal_prices(problem, Network.of(problem), prices)
        assert legal.ramp_up + legal.ramp_down == pytest.approx(np.array([[0.5]]))
        assert legal.ramp_up == pytest.approx(np.array([[0.3]]))
