import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.costs import price_plan
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw, plugged_in, serveable_kwh
from tests.strategies import dispatch_problems


def priced(problem, power_kw):
    return price_plan(problem, Network.of(problem), np.asarray(power_kw))


class TestPricePlan:
    def test_prices_energy_by_the_sessions_own_tariff_and_what_is_left_out(self):
        problem = make_problem(Ev(10.0), Ev(5.0, tariff=1, unserved=4.0), prices=((0.1, 0.3), (0.2, 0.4)))
        costs = priced(problem, [[7.0, 1.0], [0.0, 5.0]])
        assert costs.energy_gbp == pytest.approx(0.7 + 0.3 + 2.0)
        assert costs.unserved_kwh.tolist() == [2.0, 0.0]
        assert costs.unserved_gbp == pytest.approx(2 * 2.0)
        assert costs.total_gbp == pytest.approx(7.0)

    def test_prices_what_a_request_misses_and_what_a_ramp_exceeds(self):
        down, up = FlexRequest(0, 0, 1, TURN_DOWN, 2.0, 0.5), FlexRequest(0, 1, 2, TURN_UP, 3.0, 0.25)
        ramp = {"node_ramp_kw": np.array([1.0]), "ramp_gbp_per_kwh": 0.1}
        costs = priced(make_problem(Ev(7.0), requests=(down, up), **ramp), [[6.0, 1.0]])
        assert costs.shortfall_kw.tolist() == [[4.0, 0.0], [0.0, 2.0]]
        assert costs.shortfall_gbp == pytest.approx(4 * 0.5 + 2 * 0.25)
        assert costs.ramp_gbp == pytest.approx((5 - 1) * 0.1)

    @settings(max_examples=60, deadline=None)
    @given(problem=dispatch_problems(), seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([np.float32, np.float64]))
    def test_agrees_with_adding_session_by_session(self, problem, seed, kind):
        power_kw = np.zeros((problem.n_session, problem.n_period), dtype=kind)
        rng = np.random.default_rng(seed)
        for t in range(problem.n_period):
            inside = plugged_in(problem, t)
            power_kw[inside, t] = rng.uniform(0, 9, len(inside))
        costs = priced(problem, power_kw)
        price = problem.price_gbp_per_kwh[problem.session_tariff]
        served_kwh = problem.step_h * power_kw.sum(axis=1, dtype=np.float64)
        assert costs.energy_gbp == pytest.approx(problem.step_h * float((price * power_kw).sum()), abs=1e-9)
        expected = [max(0.0, need - served) for need, served in zip(serveable_kwh(problem), served_kwh, strict=True)]
        np.testing.assert_allclose(costs.unserved_kwh, expected, atol=1e-9)
        np.testing.assert_allclose(costs.node_power_kw, added_up_kw(problem, power_kw), atol=1e-9)
