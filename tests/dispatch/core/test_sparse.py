import math

import highspy
import numpy as np
import pytest

from dispatch.core import highs
from dispatch.core.bound import lower_bound_gbp
from dispatch.core.costs import price_plan
from dispatch.core.highs import require_optimal
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.reference import SolverFailed, SolverTimedOut
from dispatch.core.solve import solve
from dispatch.core.sparse import solve_sparse
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.problems import Ev, make_problem


class TestHandWorked:
    """Each optimum is worked out in the comment beside it; the arrays have to find it and the bound has to meet it."""

    def plan(self, *evs, **more):
        plan = solve(make_problem(*evs, **more), method="sparse", time_limit_s=math.inf)
        assert (plan.rung, plan.method) == ("certified", "sparse")
        return plan

    def test_fills_the_cheap_hour_to_the_limit(self):
        # 14 kWh wanted, 10 kW of room in the hour at 0.10: 10 x 0.10 + 4 x 0.30 = 2.20; a kW more there saves 0.20.
        plan = self.plan(Ev(7.0), Ev(7.0), limit_kw=10.0)
        assert plan.cost_gbp == pytest.approx(2.2, abs=1e-5)
        assert plan.lower_bound_gbp == pytest.approx(2.2, abs=1e-6)
        assert plan.node_price_gbp_per_kwh == pytest.approx(np.array([[0.2, 0.0]]), abs=1e-7)

    def test_scales_energy_and_node_price_by_the_length_of_a_period(self):
        # Half-hours: 10 kW carry 5 kWh, so 5 x 0.10 + 2 x 0.30 = 1.10; the kW is worth 0.20 a kWh.
        plan = self.plan(Ev(3.5), Ev(3.5), limit_kw=10.0, step_h=0.5)
        assert plan.cost_gbp == pytest.approx(1.1, abs=1e-5)
        assert plan.lower_bound_gbp == pytest.approx(1.1, abs=1e-6)
        assert plan.node_price_gbp_per_kwh == pytest.approx(np.array([[0.2, 0.0]]), abs=1e-7)

    def test_adds_a_tree_of_three_floors_up(self):
        # Feeders of 5 kW under a substation of 8 kW under a primary of 6 kW: the primary binds, 6 x 0.10 + 8 x 0.30,
        # were it not for 6 kW in the dear hour too: 6 x 0.10 + 6 x 0.30 and 2 kWh unserved at 2 GBP = 6.40.
        tree = {"parents": (-1, 0, 1, 1), "limit_kw": np.array([[6.0] * 2, [8.0] * 2, [5.0] * 2, [5.0] * 2])}
        plan = self.plan(Ev(7.0, node=2), Ev(7.0, node=3), **tree)
        assert plan.cost_gbp == pytest.approx(6.4, abs=1e-5)
        assert plan.node_price_gbp_per_kwh[0] == pytest.approx([1.9, 1.7], abs=1e-6)

    def test_serves_the_dearer_need_where_not_all_can_be_met(self):
        # 5 kW for two hours: 10 of 14 kWh. The one at 4 GBP gets its 7; the one at 2 lacks 4.
        plan = self.plan(Ev(7.0, unserved=2.0), Ev(7.0, unserved=4.0), limit_kw=5.0)
        assert plan.unserved_kwh == pytest.approx([4.0, 0.0], abs=1e-5)

    def test_spreads_three_phases_and_fears_for_an_unknown_one(self):
        # Phases of 3 kW: a three-phase EV may draw 9 kW of its 11, a single-phase EV of unknown phase 3 kW.
        tree = {"parents": (-1, 0, 0, 0), "node_is_phase": np.array([False, True, True, True])}
        limits = {"limit_kw": np.array([[np.inf], [3.0], [3.0], [3.0]]), "prices": (0.1,)}
        assert self.plan(Ev(11.0, max_kw=11.0, node=0, phases=3), **tree, **limits).power_kw == pytest.approx(9.0)
        assert self.plan(Ev(7.0, node=0), **tree, **limits).power_kw == pytest.approx(3.0)

    def test_weighs_turn_up_and_turn_down_against_each_other(self):
        # Cheap hour: not above 2 kW at 1 GBP; dear hour: at least 6 kW at 0.50. 7 kWh: 2 cheap and 5 dear keep the
        # first whole and miss 1 kW of the second: 0.20 + 1.50 + 0.50 = 2.20 (1 cheap and 6 dear: 0.10 + 1.80 = 1.90).
        down, up = FlexRequest(0, 0, 1, TURN_DOWN, 2.0, 1.0), FlexRequest(0, 1, 2, TURN_UP, 6.0, 0.5)
        plan = self.plan(Ev(7.0), requests=(down, up))
        assert plan.node_power_kw == pytest.approx(np.array([[1.0, 6.0]]), abs=1e-5)
        assert plan.cost_gbp == pytest.approx(1.9, abs=1e-5)

    def test_flattens_until_the_ramp_is_free(self):
        # 6 kWh, ramp 2 kW free, 0.50 beyond. Moving x to the dear hour costs 0.20x and saves 2 x 0.50x, to x = 2.
        plan = self.plan(Ev(6.0), node_ramp_kw=np.array([2.0]), ramp_gbp_per_kwh=0.5)
        assert plan.node_power_kw == pytest.approx(np.array([[4.0, 2.0]]), abs=1e-5)
        assert plan.cost_gbp == pytest.approx(1.0, abs=1e-5)

    def test_pays_for_a_ramp_up_that_is_worth_it(self):
        # Dear hour first: 6 x 0.10 and 4 kW over the free ramp at 0.05 = 0.80, where flattening costs 0.20 a kWh.
        plan = self.plan(Ev(6.0), prices=(0.3, 0.1), node_ramp_kw=np.array([2.0]), ramp_gbp_per_kwh=0.05)
        assert plan.cost_ramp_gbp == pytest.approx(0.2, abs=1e-5)
        assert plan.lower_bound_gbp == pytest.approx(0.8, abs=1e-6)

    def test_charges_nobody_under_a_limit_below_zero(self):
        plan = self.plan(Ev(7.0), limit_kw=-4.0)
        assert plan.power_kw.tolist() == [[0.0, 0.0]]
        assert (plan.cost_gbp, plan.lower_bound_gbp) == pytest.approx((14.0, 14.0))

    @pytest.mark.parametrize("unserved", [1e-2, 1.0, 1e2, 1e4])
    def test_certifies_any_penalty_beside_prices_of_a_thousandth(self, unserved):
        # Six EVs of 7.1 kWh at 20.3 kW: 40.6 of 42.6 kWh at 0.001 and 0.003, 2 unserved; at 1e-2 as at 1e4.
        plan = self.plan(*[Ev(7.1, unserved=unserved)] * 6, limit_kw=20.3, prices=(0.001, 0.003))
        assert plan.lower_bound_gbp == pytest.approx(20.3 * 0.004 + 2.0 * unserved, rel=1e-6)
        assert plan.gap <= 1e-5

    def test_dispatches_an_empty_fleet_with_a_need_nobody_can_meet(self):
        plan = self.plan(requests=(FlexRequest(0, 0, 2, TURN_UP, 5.0, 3.0),))
        assert (plan.cost_gbp, plan.lower_bound_gbp) == pytest.approx((30.0, 30.0))

    def test_gives_a_session_that_can_take_nothing_no_power(self):
        plan = self.plan(Ev(7.0, max_kw=0.0), Ev(0.0), Ev(1.0))
        assert plan.power_kw.sum(axis=1) == pytest.approx([0.0, 0.0, 1.0])


class TestByInteriorPoint:
    def test_gives_the_same_optimum_as_simplex(self, monkeypatch):
        problem = national_fleet(Shape(200, n_period=24, phases=True, requests=True, ramps=True))
        by_simplex = solve_sparse(problem)
        monkeypatch.setattr(highs, "MOST_SIMPLEX_COLUMNS", 0)
        by_interior_point = solve_sparse(problem)
        assert by_interior_point.iterations < by_simplex.iterations
        network = Network.of(problem)
        cost, other = (price_plan(problem, network, s.power_kw).total_gbp for s in (by_simplex, by_interior_point))
        assert other == pytest.approx(cost, rel=1e-7)
        assert lower_bound_gbp(problem, network, by_interior_point.prices) == pytest.approx(cost, rel=1e-6)


class TestRequireOptimal:
    @pytest.mark.parametrize("status", highspy.HighsModelStatus.__members__.values())
    def test_lets_nothing_through_but_a_proven_optimum(self, status):
        if status == highspy.HighsModelStatus.kOptimal:
            require_optimal(status)
            return
        with pytest.raises(SolverFailed) as caught:
            require_optimal(status)
        assert isinstance(caught.value, SolverTimedOut) == (status == highspy.HighsModelStatus.kTimeLimit)

    def test_raises_at_the_time_limit(self):
        crowd = make_problem(*(Ev(12.0, start=i % 8) for i in range(60)), prices=np.ones(24), limit_kw=90.0)
        with pytest.raises(SolverTimedOut):
            solve_sparse(crowd, time_limit_s=0.0)
