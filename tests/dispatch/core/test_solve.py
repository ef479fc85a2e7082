import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core import solve as door
from dispatch.core.check import CheckFailed
from dispatch.core.reference import SolverFailed, SolverTimedOut
from dispatch.core.solve import InvalidSolveOption, MethodNotAvailable, solve
from tests.dispatch.core.assertions import assert_safe_and_accounted
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw, optimum_gbp
from tests.strategies import dispatch_problems

# Two EVs want 7 kWh each of a feeder of 10 kW; greedy gives the first its cheap hour, and 2.20 GBP is optimal.
PROBLEM = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)


def here(problem, method="reference", **more):
    """Without a child process: properties solve hundreds of problems."""
    return solve(problem, method=method, time_limit_s=math.inf, **more)


def cost_again_gbp(problem, plan):
    """The objective from the stored power, term by term."""
    h, load = problem.step_h, added_up_kw(problem, plan.power_kw)
    energy = sum(
        h * problem.price_gbp_per_kwh[problem.session_tariff[i], t] * float(plan.power_kw[i, t])
        for i in range(problem.n_session)
        for t in range(problem.n_period)
    )
    unserved = float(np.dot(problem.session_unserved_gbp_per_kwh, plan.unserved_kwh))
    short = sum(
        h * ask.shortfall_gbp_per_kwh * max(0.0, ask.direction * (ask.target_kw - load[ask.node, t]))
        for ask in problem.requests
        for t in range(ask.start, ask.end)
    )
    ramp = sum(
        h * problem.ramp_gbp_per_kwh * max(0.0, abs(load[v, t + 1] - load[v, t]) - problem.node_ramp_kw[v])
        for v in range(problem.n_node)
        for t in range(problem.n_period - 1)
    )
    return energy, unserved, short, ramp


class TestSolveByReference:
    @settings(max_examples=60, deadline=None)
    @given(problem=dispatch_problems())
    def test_prices_what_it_stored(self, problem):
        plan = here(problem)
        parts = (plan.cost_energy_gbp, plan.cost_unserved_gbp, plan.cost_shortfall_gbp, plan.cost_ramp_gbp)
        np.testing.assert_allclose(parts, cost_again_gbp(problem, plan), atol=1e-9)
        assert plan.cost_gbp == pytest.approx(sum(parts), abs=1e-12)
        assert plan.unavoidable_gbp == pytest.approx(
            float(plan.unserveable_kwh @ problem.session_unserved_gbp_per_kwh), abs=1e-9
        )

    def test_is_the_same_twice(self):
        first, second = here(PROBLEM), here(PROBLEM)
        np.testing.assert_array_equal(first.power_kw, second.power_kw)
        np.testing.assert_array_equal(first.setpoint_a, second.setpoint_a)

    def test_says_time_boxed_where_the_gap_is_wider_than_asked(self):
        # float32 storage alone costs some 1e-8 of a plan: a gap of 1e-15 can't be certified.
        plan = here(make_problem(Ev(7.1), Ev(7.3), limit_kw=10.1), gap=1e-15)
        assert plan.rung == "time-boxed"
        assert 1e-15 < plan.gap < 1e-6

    def test_certifies_a_penalty_a_thousand_times_the_price(self):
        plan = here(make_problem(*(Ev(10.1, unserved=200.0) for _ in range(4)), limit_kw=20.3))
        assert plan.rung == "certified"

    def test_dispatches_an_empty_fleet(self):
        plan = here(make_problem())
        assert plan.power_kw.shape == (0, 2)
        assert (plan.cost_gbp, plan.lower_bound_gbp, plan.gap, plan.rung) == (0.0, 0.0, 0.0, "certified")

    @pytest.mark.parametrize(("step_h", "n_period"), [(1 / 12, 288), (0.25, 96), (0.5, 46), (0.5, 48), (0.5, 50)])
    def test_takes_a_day_in_any_step_and_on_clock_change_days(self, step_h, n_period):
        prices = 0.2 + 0.1 * np.cos(np.arange(n_period) * step_h)
        plan = here(make_problem(Ev(20.0), Ev(9.0), prices=prices, limit_kw=8.0, step_h=step_h))
        assert plan.rung == "certified"
        assert step_h * plan.power_kw.sum() == pytest.approx(29.0, abs=1e-4)


class TestSolveByGreedy:
    @settings(max_examples=150, deadline=None)
    @given(problem=dispatch_problems())
    def test_keeps_every_limit_and_a_true_bound(self, problem):
        plan = here(problem, "greedy")
        optimum = optimum_gbp(problem)
        assert plan.lower_bound_gbp <= optimum + 1e-6 * max(1.0, abs(optimum))
        assert optimum <= plan.cost_gbp + 1e-6 * max(1.0, abs(optimum))
        assert plan.rung == plan.method == "greedy"
        assert_safe_and_accounted(problem, plan)


class TestLadder:
    def test_solves_in_a_child_process_under_a_time_limit(self):
        plan = solve(PROBLEM, time_limit_s=60)
        assert (plan.rung, plan.method) == ("certified", "sparse")
        assert plan.cost_gbp == pytest.approx(2.2, abs=1e-5)

    def test_falls_to_cbc_where_highs_breaks(self, monkeypatch, caplog):
        real = door.solve_here

        def broken_highs(problem, *, solver, threads):
            if solver == "HiGHS":
                raise SolverFailed("HiGHS broke", solver=solver)
            return real(problem, solver=solver, threads=threads)

        monkeypatch.setattr(door, "solve_here", broken_highs)
        with caplog.at_level(logging.WARNING):
            plan = here(PROBLEM)
        assert (plan.rung, plan.method) == ("certified", "reference (CBC)")
        assert plan.cost_gbp == pytest.approx(2.2, abs=1e-5)
        assert "HiGHS broke" in caplog.text

    def test_falls_to_greedy_where_no_solver_works(self, monkeypatch):
        def broken(problem, *, solver, threads):
            raise SolverFailed("broke", solver=solver)

        monkeypatch.setattr(door, "solve_here", broken)
        plan = here(PROBLEM)
        assert (plan.rung, plan.method) == ("greedy", "greedy")
        assert_safe_and_accounted(PROBLEM, plan)

    def test_lets_the_engine_for_any_size_stand_in_for_broken_solvers(self, monkeypatch):
        def broken(problem, *, solver, threads):
            raise SolverFailed("broke", solver=solver)

        monkeypatch.setattr(door, "solve_here", broken)
        plan = here(PROBLEM, "auto")
        assert (plan.rung, plan.method) == ("certified", "fast")
        assert_safe_and_accounted(PROBLEM, plan)

    def test_does_not_start_the_next_solver_after_a_time_out(self, monkeypatch):
        asked = []

        def stuck(problem, *, solver, time_limit_s, threads):
            asked.append(solver)
            raise SolverTimedOut("stuck", solver=solver)

        monkeypatch.setattr(door, "solve_in_child", stuck)
        assert solve(PROBLEM, method="sparse").rung == "greedy"
        assert asked == ["sparse"]

    @pytest.mark.parametrize("method", ["reference", "sparse"])
    def test_reaches_every_rung_with_nothing_broken_by_hand(self, method):
        # Greedy gives ev-0 the cheap hour, which only ev-1's tariff needs: an earlier optimum costs less.
        problem = make_problem(Ev(7.1), Ev(7.1, tariff=1), prices=[[0.1, 0.12], [0.1, 0.9]], limit_kw=7.1)
        best = solve(problem, method=method)
        in_no_time = {"method": method, "time_limit_s": 0.002}  # too little to start a process, let alone to solve
        plans = {
            "certified": best,
            "time-boxed": solve(problem, method=method, gap=1e-15),
            "greedy": solve(problem, **in_no_time),
            "last-plan": solve(problem, **in_no_time, start=best),
        }
        for rung, plan in plans.items():
            assert plan.rung == rung
            assert_safe_and_accounted(problem, plan)
        assert plans["last-plan"].cost_gbp == pytest.approx(best.cost_gbp, abs=1e-5)
        assert plans["greedy"].cost_gbp > best.cost_gbp + 0.1
        assert max(plans["greedy"].solve_s, plans["last-plan"].solve_s) < 0.002 + 1.0

    def test_keeps_the_last_plan_where_that_is_cheaper_than_greedy(self, monkeypatch):
        # Greedy gives ev-0 (same slack, first in line) the cheap hour of both; only the tariff of ev-1 makes it dear.
        problem = make_problem(Ev(7.0), Ev(7.0, tariff=1), prices=[[0.1, 0.12], [0.1, 0.9]], limit_kw=7.0)
        best = here(problem)
        monkeypatch.setattr(door, "_by_solver", lambda *_, **__: None)
        assert here(problem).cost_gbp > best.cost_gbp + 0.1
        plan = here(problem, start=best)
        assert (plan.rung, plan.method) == ("last-plan", "reference")
        assert plan.cost_gbp == pytest.approx(best.cost_gbp, abs=1e-5)
        # Its node prices came along, so the certificate is as good as it was.
        assert plan.gap < 1e-4

    def test_cuts_the_last_plan_to_todays_limits(self, monkeypatch):
        start = here(PROBLEM)
        today = make_problem(Ev(7.0), Ev(7.0), limit_kw=4.0)
        monkeypatch.setattr(door, "_by_solver", lambda *_, **__: None)
        plan = here(today, start=start)
        assert_safe_and_accounted(today, plan)

    @pytest.mark.parametrize(
        ("limits", "method"),
        [({}, "sparse"), ({"AUTO_EXACT_SESSIONS": 1}, "fast"), ({"AUTO_EXACT_CELLS": 3}, "fast")],
    )
    def test_chooses_by_size(self, monkeypatch, limits, method):
        for size, most in limits.items():
            monkeypatch.setattr(door, size, most)
        assert here(PROBLEM, "auto").method == method

    def test_falls_from_sparse_to_the_reference_and_its_solvers(self, monkeypatch):
        real, broken = door.solve_here, {"sparse"}

        def partly_broken(problem, *, solver, threads):
            if solver in broken:
                raise SolverFailed(f"{solver} broke", solver=solver)
            return real(problem, solver=solver, threads=threads)

        monkeypatch.setattr(door, "solve_here", partly_broken)
        assert here(PROBLEM, "sparse").method == "reference"
        broken.add("HiGHS")
        assert here(PROBLEM, "sparse").method == "reference (CBC)"
        broken.add("CBC")
        assert here(PROBLEM, "sparse").rung == "greedy"

    def test_raises_rather_than_return_a_plan_over_a_limit(self, monkeypatch):
        one_kw_too_many = np.array([[7.0, 0.0], [4.0, 3.0]], dtype=np.float32)
        monkeypatch.setattr(door, "safe_power_kw", lambda *_: one_kw_too_many)
        with pytest.raises(CheckFailed) as caught:
            here(PROBLEM)
        assert caught.value.details == {"node": "node-0", "period": 0, "excess_kw": pytest.approx(1.0)}


class TestOptions:
    @pytest.mark.parametrize("method", ["magic", ""])
    def test_names_the_methods_there_are(self, method):
        with pytest.raises(MethodNotAvailable, match="auto, reference, sparse, fast, greedy"):
            solve(PROBLEM, method=method)

    @pytest.mark.parametrize(
        "option",
        [
            {"gap": 0.0},
            {"gap": np.nan},
            {"gap": np.inf},
            {"time_limit_s": 0.0},
            {"time_limit_s": np.nan},
            {"time_limit_s": -1.0},
            {"threads": 0},
        ],
    )
    def test_refuses_options_that_cannot_be_meant(self, option):
        with pytest.raises(InvalidSolveOption, match=next(iter(option))):
            solve(PROBLEM, **option)

    def test_refuses_a_start_of_another_fleet(self):
        start = solve(make_problem(Ev(7.0)), method="greedy")
        with pytest.raises(InvalidSolveOption, match="start"):
            solve(PROBLEM, start=start)
