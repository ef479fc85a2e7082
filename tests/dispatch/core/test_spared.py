from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.solve import solve
from dispatch.core.spare import open_periods
from dispatch.core.spared import InvalidSpared, Spared, nobody_spared, solve_sparing
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems

HERE = {"method": "sparse", "gap": 1e-4, "time_limit_s": float("inf")}
solve_greedily = partial(solve_sparing, solver=solve, method="greedy", gap=1e-4, time_limit_s=60.0)


def called(*, target_kw: float = 10.0, direction: int = TURN_DOWN, n_ev: int = 3):
    """Cars of 7 kW that want an hour each, the first hour a third of the second's price, and a request in the first."""
    request = FlexRequest(0, 0, 1, direction, target_kw, 1.0)
    return make_problem(*[Ev(7.0) for _ in range(n_ev)], requests=(request,))


def sparing(*who: bool, by: tuple[bool, ...] = (True,)) -> Spared:
    return Spared(np.array(who, dtype=np.bool_), np.array(by, dtype=np.bool_))


class TestSolveSparing:
    def test_moves_the_others_alone(self):
        """The one spared draws its 7 kW at the cheap hour, so 3 of the target's 10 kW are left to the other two."""
        plan = solve_sparing(called(), sparing(False, False, True), solver=solve, **HERE)

        np.testing.assert_allclose(plan.power_kw[2], [7.0, 0.0], atol=1e-6)
        np.testing.assert_allclose(plan.power_kw[:2].sum(axis=0), [3.0, 11.0], atol=1e-6)
        assert plan.cost_gbp == pytest.approx(10 * 0.1 + 11 * 0.3)
        assert (plan.rung, plan.lower_bound_gbp) == ("certified", pytest.approx(plan.cost_gbp))

    def test_misses_a_target_that_those_spared_draw_more_than(self):
        plan = solve_sparing(called(target_kw=5.0), sparing(False, False, True), solver=solve, **HERE)

        np.testing.assert_allclose(plan.power_kw, [[0.0, 7.0], [0.0, 7.0], [7.0, 0.0]], atol=1e-6)
        np.testing.assert_allclose(plan.shortfall_kw, [[2.0, 0.0]], atol=1e-6)
        assert plan.lower_bound_gbp == pytest.approx(plan.cost_gbp)

    def test_turns_the_others_up(self):
        problem = called(target_kw=18.0, direction=TURN_UP)
        problem = replace(problem, price_gbp_per_kwh=np.array([[0.3, 0.1]]))
        plan = solve_sparing(problem, sparing(True, False, False), solver=solve, **HERE)

        np.testing.assert_allclose(plan.power_kw[0], [0.0, 7.0], atol=1e-6)
        np.testing.assert_allclose(plan.power_kw[1:, 0].sum(), 14.0, atol=1e-6)

    def test_leaves_the_others_what_room_there_is(self):
        problem = replace(called(target_kw=100.0), node_limit_kw=np.array([[10.0, 20.0]]))
        plan = solve_sparing(problem, sparing(True, False, False), solver=solve, **HERE)

        assert plan.node_power_kw[0, 0] <= 10.0 + 1e-6
        assert plan.unserved_kwh.sum() == pytest.approx(0.0, abs=1e-6)

    def test_is_the_solver_itself_where_nobody_is_spared(self):
        problem = called()
        plan = solve_sparing(problem, nobody_spared(3, 1), solver=solve, **HERE)

        np.testing.assert_array_equal(plan.power_kw, solve(problem, **HERE).power_kw)

    def test_refuses_other_shapes(self):
        with pytest.raises(InvalidSpared, match="2 sessions and 1 requests, expected 3 and 1"):
            solve_sparing(called(), sparing(True, False), solver=solve, **HERE)

    @settings(max_examples=40, deadline=None)
    @given(problem=dispatch_problems(), data=st.data())
    def test_plans_those_spared_as_if_nothing_had_been_asked(self, problem, data):
        who = np.array(data.draw(st.lists(st.booleans(), min_size=problem.n_session, max_size=problem.n_session)), bool)
        by = np.array(data.draw(st.lists(st.booleans(), min_size=problem.n_request, max_size=problem.n_request)), bool)
        spared = Spared(who, by)
        plan = solve_greedily(problem, spared)
        assert plan.lower_bound_gbp <= plan.cost_gbp + 1e-6 * max(1.0, abs(plan.cost_gbp))
        if not spared.is_any:
            return
        alone = solve(replace(problem, requests=spared.others(problem.requests)), method="greedy")
        np.testing.assert_array_equal(plan.power_kw[who], alone.power_kw[who])
        np.testing.assert_array_equal(plan.setpoint_a[who], alone.setpoint_a[who])


class TestOpenPeriods:
    def test_closes_a_turn_downs_window_to_those_it_calls_on(self):
        request = FlexRequest(0, 1, 2, TURN_DOWN, 0.0, 1.0)
        price, planned_a = np.full(3, 0.1), np.zeros((2, 3), dtype=np.int16)
        is_open = open_periods(price, planned_a, (request,), share=0.75, spared=sparing(False, True))

        np.testing.assert_array_equal(is_open, [[True, False, True], [True, True, True]])
