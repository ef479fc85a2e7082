"""Penalties brought near keep their order; prices stretched back still bound, and bound well."""

import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core.bound import Prices, lower_bound_gbp
from dispatch.core.fast.ranks import Ranks
from dispatch.core.network import Network
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems


class TestRanks:
    @settings(max_examples=100)
    @given(problem=dispatch_problems())
    def test_keep_the_order_of_penalties_and_never_widen_a_gap(self, problem):
        ranks = Ranks.of(problem)
        assert (np.diff(ranks.near) > 0).all()
        assert (np.diff(ranks.near) <= np.diff(ranks.true) + 1e-12).all()
        order = np.argsort(problem.session_unserved_gbp_per_kwh, kind="stable")
        assert (np.diff(ranks.unserved_gbp_per_kwh[order]) >= 0).all()

    def test_leave_penalties_near_the_energy_prices_alone(self):
        problem = make_problem(Ev(7.0, unserved=0.5), Ev(7.0, unserved=0.4), prices=(0.1, 0.3))
        ranks = Ranks.of(problem)
        assert ranks.is_plain
        assert ranks.unserved_gbp_per_kwh.tolist() == [0.5, 0.4]

    def test_bring_a_dear_penalty_to_four_spreads_above_the_dearest_energy(self):
        problem = make_problem(Ev(7.0, unserved=1e4), prices=(0.1, 0.3))
        assert Ranks.of(problem).unserved_gbp_per_kwh.tolist() == pytest.approx([0.3 + 4 * 0.2])

    @settings(max_examples=100)
    @given(problem=dispatch_problems())
    def test_stretch_keeps_prices_legal(self, problem):
        ranks, rng = Ranks.of(problem), np.random.default_rng(1)
        zero = Prices.zero(problem)
        found = Prices(
            rng.random(zero.cap.shape),
            rng.random(zero.request.shape) * 0.01,
            zero.ramp_up.copy(),
            zero.ramp_down.copy(),
        )
        stretched = ranks.stretch(problem, found)
        assert (stretched.cap >= -1e-12).all()
        assert (stretched.request >= -1e-12).all()

    @settings(max_examples=50)
    @given(problem=dispatch_problems())
    def test_shrink_takes_back_what_stretch_did_to_caps(self, problem):
        ranks, rng = Ranks.of(problem), np.random.default_rng(2)
        zero = Prices.zero(problem)
        found = Prices(rng.random(zero.cap.shape), zero.request, zero.ramp_up, zero.ramp_down)
        back = ranks.shrink(problem, ranks.stretch(problem, found))
        np.testing.assert_allclose(back.cap, found.cap, rtol=1e-6, atol=1e-9)

    def test_stretched_prices_of_a_full_feeder_are_worth_the_true_penalty(self):
        # 7 kW for two EVs that want 7 kWh each in one hour: the second goes without, at 1,000 GBP/kWh.
        problem = make_problem(Ev(7.0, unserved=1e3), Ev(7.0, unserved=1e3), prices=(0.1,), limit_kw=7.0)
        ranks, network = Ranks.of(problem), Network.of(problem)
        near = Prices.zero(problem)
        near.cap[:] = ranks.unserved_gbp_per_kwh[0] - 0.1
        stretched = ranks.stretch(problem, near)
        assert stretched.cap[0, 0] == pytest.approx(1e3 - 0.1)
        assert lower_bound_gbp(problem, network, stretched) == pytest.approx(7 * 0.1 + 7 * 1e3)
