import itertools
import math

import numpy as np
import pulp
import pytest
from hypothesis import given, settings

from dispatch.core.costs import price_plan
from dispatch.core.network import Network, share_matrix
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.reference import SolverFailed, _pulp_solver, build_model, require_optimal, solve_model
from dispatch.core.solve import solve
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems


def crowd(n=60, n_period=24):
    """More EVs than the feeder can charge at once, each with a need it would rather not go without."""
    prices = 0.2 + 0.1 * np.sin(np.arange(n_period))
    return make_problem(*(Ev(12.0, start=i % 8) for i in range(n)), prices=prices, limit_kw=90.0)


class TestRequireOptimal:
    @pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
    def test_refuses_a_time_out_that_calls_itself_optimal(self, solver):
        problem = crowd()
        model = build_model(problem, Network.of(problem))
        model.lp.solve(_pulp_solver(solver, 0.0, 1))
        # The trap: status says 1, "Optimal", of variables that charge nobody.
        assert model.lp.status == pulp.LpStatusOptimal
        assert model.lp.sol_status == pulp.LpSolutionIntegerFeasible
        with pytest.raises(SolverFailed) as caught:
            require_optimal(model.lp, solver)
        assert caught.value.details["sol_status"] == 2

    @pytest.mark.parametrize(("status", "sol_status"), [(1, 2), (0, 0), (-1, -1), (-2, -2), (0, 1), (1, 0)])
    def test_lets_nothing_through_but_one_and_one(self, status, sol_status):
        lp = pulp.LpProblem("claim", pulp.LpMinimize)
        lp.assignStatus(status, sol_status)
        with pytest.raises(SolverFailed):
            require_optimal(lp, "HiGHS")


class TestSolveModel:
    def test_raises_at_the_time_limit(self):
        with pytest.raises(SolverFailed):
            solve_model(crowd(), time_limit_s=0.0)

    def test_gives_the_same_cost_by_either_solver(self):
        problem = crowd(n=20, n_period=12)
        network = Network.of(problem)
        costs = [
            price_plan(problem, network, solve_model(problem, solver=solver).power_kw).total_gbp
            for solver in ("HiGHS", "CBC")
        ]
        assert costs[0] == pytest.approx(costs[1], rel=1e-6)

    def test_answers_a_problem_without_variables(self):
        assert solve_model(make_problem()).power_kw.shape == (0, 2)

    def test_refuses_a_solver_it_does_not_know(self):
        with pytest.raises(SolverFailed, match="no solver"):
            solve_model(make_problem(Ev(1.0)), solver="ABACUS")


class TestHandWorked:
    """Each optimum is worked out in the comment beside it; HiGHS has to find it and the bound has to meet it."""

    def plan(self, *evs, **more):
        plan = solve(make_problem(*evs, **more), method="reference", time_limit_s=math.inf)
        assert plan.rung == "certified"
        return plan

    def test_fills_the_cheap_hour_to_the_limit(self):
        # 14 kWh wanted, 10 kW of room in the hour at 0.10: 10 x 0.10 + 4 x 0.30 = 2.20.
        # One more kW of room there moves a kWh from 0.30 to 0.10: worth 0.20. None in the second hour.
        plan = self.plan(Ev(7.0), Ev(7.0), limit_kw=10.0)
        assert plan.cost_gbp == pytest.approx(2.2, abs=1e-5)
        assert plan.lower_bound_gbp == pytest.approx(2.2, abs=1e-6)
        assert plan.node_price_gbp_per_kwh == pytest.approx(np.array([[0.2, 0.0]]), abs=1e-7)

    def test_scales_energy_and_node_price_by_the_length_of_a_period(self):
        # Half-hours: 10 kW carry 5 kWh, so 5 x 0.10 + 2 x 0.30 = 1.10; a kW more for that half-hour earns 0.10,
        # 0.20 a kWh.
        plan = self.plan(Ev(3.5), Ev(3.5), limit_kw=10.0, step_h=0.5)
        assert plan.cost_gbp == pytest.approx(1.1, abs=1e-5)
        assert plan.node_price_gbp_per_kwh[0, 0] == pytest.approx(0.2, abs=1e-7)

    def test_serves_the_dearer_need_where_not_all_can_be_met(self):
        # 5 kW for two hours: 10 of 14 kWh. The one at 4 GBP gets its 7; the one at 2 lacks 4: 8 GBP.
        plan = self.plan(Ev(7.0, unserved=2.0), Ev(7.0, unserved=4.0), limit_kw=5.0)
        assert plan.unserved_kwh == pytest.approx([4.0, 0.0], abs=1e-5)
        assert plan.cost_unserved_gbp == pytest.approx(8.0, abs=1e-5)
        assert plan.cost_energy_gbp == pytest.approx(5 * 0.1 + 5 * 0.3, abs=1e-5)

    def test_keeps_what_no_dispatch_could_serve_apart(self):
        # 7 kW for one hour is all the window holds of 10 kWh: 3 kWh at 2 GBP are nobody's fault.
        plan = self.plan(Ev(10.0, end=1))
        assert plan.unserveable_kwh == pytest.approx([3.0])
        assert plan.unavoidable_gbp == pytest.approx(6.0)
        assert plan.cost_gbp == pytest.approx(0.7, abs=1e-5)

    def test_keeps_within_the_share_of_connected_ratings(self):
        # Three EVs of 7 kW, factor 0.5: 10.5 kW an hour. 21 kWh: 10.5 x 0.10 + 10.5 x 0.30 = 4.20.
        plan = self.plan(*[Ev(7.0)] * 3, node_diversity=np.array([0.5]))
        assert plan.node_power_kw == pytest.approx(np.array([[10.5, 10.5]]), abs=1e-5)
        assert plan.cost_gbp == pytest.approx(4.2, abs=1e-5)

    def test_spreads_three_phases_and_fears_for_an_unknown_one(self):
        # Phases of 3 kW: a three-phase EV may draw 9 kW of its 11, a single-phase EV of unknown phase 3 kW.
        tree = {"parents": (-1, 0, 0, 0), "node_is_phase": np.array([False, True, True, True])}
        limits = {"limit_kw": np.array([[np.inf], [3.0], [3.0], [3.0]]), "prices": (0.1,)}
        assert self.plan(Ev(11.0, max_kw=11.0, node=0, phases=3), **tree, **limits).power_kw == pytest.approx(9.0)
        assert self.plan(Ev(7.0, node=0), **tree, **limits).power_kw == pytest.approx(3.0)

    def test_turns_up_where_the_penalty_outweighs_the_price(self):
        # 5 kW asked in the dear hour at 0.50: moving 5 kWh costs 0.20 each and saves 0.50. 2 x 0.10 + 5 x 0.30 = 1.70.
        asked = FlexRequest(0, 1, 2, TURN_UP, 5.0, 0.5)
        plan = self.plan(Ev(7.0), requests=(asked,))
        assert plan.node_power_kw == pytest.approx(np.array([[2.0, 5.0]]), abs=1e-5)
        assert plan.cost_gbp == pytest.approx(1.7, abs=1e-5)

    def test_prefers_the_shortfall_where_it_is_cheaper(self):
        # At 0.15 the same request isn't worth 0.20: 7 x 0.10 + 5 x 0.15 = 1.45.
        plan = self.plan(Ev(7.0), requests=(FlexRequest(0, 1, 2, TURN_UP, 5.0, 0.15),))
        assert plan.shortfall_kw == pytest.approx(np.array([[0.0, 5.0]]))
        assert plan.cost_gbp == pytest.approx(1.45, abs=1e-5)

    def test_turns_down_out_of_the_window(self):
        # Not above 2 kW in the cheap hour at 1 GBP: 2 x 0.10 + 5 x 0.30 = 1.70.
        plan = self.plan(Ev(7.0), requests=(FlexRequest(0, 0, 1, TURN_DOWN, 2.0, 1.0),))
        assert plan.node_power_kw == pytest.approx(np.array([[2.0, 5.0]]), abs=1e-5)
        assert plan.cost_shortfall_gbp == pytest.approx(0.0, abs=1e-5)

    def test_flattens_until_the_ramp_is_free(self):
        # 6 kWh, ramp 2 kW free, 0.50 beyond. Moving x to the dear hour costs 0.20x and saves 2 x 0.50x, to x = 2:
        # 4 x 0.10 + 2 x 0.30 = 1.00.
        plan = self.plan(Ev(6.0), node_ramp_kw=np.array([2.0]), ramp_gbp_per_kwh=0.5)
        assert plan.node_power_kw == pytest.approx(np.array([[4.0, 2.0]]), abs=1e-5)
        assert plan.cost_gbp == pytest.approx(1.0, abs=1e-5)

    def test_pays_for_a_ramp_that_is_worth_it(self):
        # At 0.05 a ramp kW moving costs 0.20 and saves 0.10: stay, 6 x 0.10 + 4 x 0.05 = 0.80.
        plan = self.plan(Ev(6.0), node_ramp_kw=np.array([2.0]), ramp_gbp_per_kwh=0.05)
        assert plan.cost_ramp_gbp == pytest.approx(0.2, abs=1e-5)
        assert plan.cost_gbp == pytest.approx(0.8, abs=1e-5)

    def test_earns_where_the_price_is_negative(self):
        # 10 kWh: 7 in the hour at -0.05, 3 at 0.02: -0.35 + 0.06 = -0.29.
        plan = self.plan(Ev(10.0), prices=(0.02, -0.05))
        assert plan.cost_gbp == pytest.approx(-0.29, abs=1e-5)

    def test_charges_nobody_under_a_limit_below_zero(self):
        plan = self.plan(Ev(7.0), limit_kw=-4.0)
        assert plan.power_kw.tolist() == [[0.0, 0.0]]
        assert plan.cost_gbp == pytest.approx(14.0)


class TestBruteForce:
    @settings(max_examples=40, deadline=None)
    @given(problem=dispatch_problems(max_sessions=2, max_periods=3))
    def test_finds_nothing_cheaper_among_all_whole_kilowatt_plans(self, problem):
        # Whole needs and limits on a tree give whole vertices: the best of every whole-kW plan is the optimum.
        whole = make_problem(
            *(Ev(1.0 + index, max_kw=3.0, node=int(node)) for index, node in enumerate(problem.session_node)),
            prices=problem.price_gbp_per_kwh[:1],
            parents=problem.node_parent.tolist(),
            limit_kw=np.where(np.isfinite(problem.node_limit_kw), np.floor(problem.node_limit_kw), np.inf),
        )
        network = Network.of(whole)
        shape = (whole.n_session, whole.n_period)
        cells = list(itertools.product(range(4), repeat=shape[0] * shape[1]))
        grids = np.array(cells, dtype=float).reshape(len(cells), *shape)
        fits = (grids.sum(axis=2) <= network.serveable_kwh).all(axis=1)
        load = np.einsum("vi,nit->nvt", share_matrix(whole).toarray(), grids)
        fits &= (load <= network.cap_kw).all(axis=(1, 2))
        energy = np.einsum("it,nit->n", whole.price_gbp_per_kwh[whole.session_tariff], grids)
        unserved = (network.serveable_kwh - grids.sum(axis=2)) @ whole.session_unserved_gbp_per_kwh
        best = float((energy + unserved)[fits].min())
        plan = solve(whole, method="reference", time_limit_s=math.inf)
        assert plan.cost_gbp == pytest.approx(best, abs=1e-5)
        assert plan.lower_bound_gbp <= best + 1e-9
