"""The engine for any size: certified wherever the tree is cut, by one thread or two, cold or warm."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.fast import layout, machine
from dispatch.core.fast.engine import solve_fast
from dispatch.core.fast.layout import lay_out
from dispatch.core.fast.machine import Machine
from dispatch.core.fast.ranks import Ranks
from dispatch.core.network import Network
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.solve import solve
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.assertions import assert_brackets, assert_safe_and_accounted
from tests.dispatch.core.second_opinion import optimum_gbp
from tests.strategies import dispatch_problems

EVERYTHING = Shape(600, phases=True, requests=True, ramps=True)


def fast(problem: DispatchProblem, **options: object) -> DispatchPlan:
    return solve(problem, method="fast", time_limit_s=math.inf, **options)


class TestSolveFast:
    @settings(max_examples=60)
    @given(problem=dispatch_problems(), size=st.integers(1, 4))
    def test_is_certified_wherever_the_tree_is_cut(self, problem, size):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layout, "SESSIONS_PER_CHUNK", size)
            plan = fast(problem)
        assert_brackets(problem, plan, optimum_gbp(problem), gap=1e-4)
        assert_safe_and_accounted(problem, plan)

    @pytest.mark.parametrize("gap", [1e-3, 1e-4, 1e-5])
    def test_certifies_the_gap_that_is_asked(self, gap):
        plan = fast(national_fleet(EVERYTHING), gap=gap)
        assert plan.rung == "certified"
        assert plan.gap <= gap

    def test_gives_the_same_plan_again(self):
        problem = national_fleet(EVERYTHING)
        one, two = fast(problem, threads=1), fast(problem, threads=1)
        np.testing.assert_array_equal(one.power_kw, two.power_kw)
        assert one.lower_bound_gbp == two.lower_bound_gbp

    def test_takes_fewer_steps_from_the_plan_before(self):
        problem = national_fleet(Shape(3_000))
        before = fast(problem)
        rng = np.random.default_rng(3)
        changed = rng.random(problem.n_session) < 0.05
        factor = np.where(changed, rng.uniform(0.5, 1.5, problem.n_session), 1.0)
        after = replace(problem, session_energy_kwh=factor * problem.session_energy_kwh)
        cold, warm = fast(after), fast(after, start=before)
        assert warm.rung == "certified"
        assert warm.iterations < 0.6 * cold.iterations

    def test_answers_with_its_true_gap_when_there_is_no_time(self):
        problem = national_fleet(Shape(2_000))
        plan = solve(problem, method="fast", gap=1e-9, time_limit_s=1.0)
        assert plan.rung == "time-boxed"
        assert plan.gap > 1e-9
        assert plan.solve_s < 2.0
        assert_safe_and_accounted(problem, plan)

    def test_is_asked_for_the_time_left_between_blocks_only(self):
        problem = national_fleet(Shape(100))
        asked = []

        def none_left() -> float:
            asked.append(True)
            return 0.0

        found = solve_fast(problem, Network.of(problem), gap=1e-9, left_s=none_left, threads=1)
        assert len(asked) <= 5
        assert found.power_kw.any()

    def test_serves_the_dearest_first_over_six_orders_of_magnitude(self):
        problem = national_fleet(Shape(400))
        penalty = 10.0 ** np.random.default_rng(5).integers(-2, 5, problem.n_session)
        tight = replace(
            problem, session_unserved_gbp_per_kwh=penalty, node_limit_kw=0.5 * np.maximum(problem.node_limit_kw, 0.0)
        )
        plan = fast(tight, gap=1e-4)
        assert plan.rung == "certified"
        short = plan.unserved_kwh > 0.01 * tight.session_energy_kwh
        assert penalty[short].max() < penalty.max()


class TestMachine:
    def test_moves_alike_in_one_thread_and_in_two(self, monkeypatch):
        monkeypatch.setattr(machine, "_CELLS_A_THREAD", 1_000)
        monkeypatch.setattr(layout, "SESSIONS_PER_CHUNK", 100)
        problem = national_fleet(EVERYTHING)
        ranks = Ranks.of(problem)
        made = lay_out(problem, Network.of(problem), ranks.unserved_gbp_per_kwh, ranks.shortfall_gbp_per_kwh)
        tables = []
        for threads in (1, 2):
            with Machine(made, n_period=problem.n_period, weight=0.015, threads=threads) as moving:
                for _ in range(5):
                    moving.advance(8)
                table = np.zeros((problem.n_session, problem.n_period), dtype=np.float32)
                moving.write_power_kw(table)
                tables.append((table, moving.prices().cap, moving.residual))
        np.testing.assert_array_equal(tables[0][0], tables[1][0])
        np.testing.assert_array_equal(tables[0][1], tables[1][1])
        assert tables[0][2] == pytest.approx(tables[1][2])

    def test_settles_on_power_that_keeps_every_sessions_own_limits(self):
        problem = national_fleet(EVERYTHING)
        network, ranks = Network.of(problem), Ranks.of(problem)
        made = lay_out(problem, network, ranks.unserved_gbp_per_kwh, ranks.shortfall_gbp_per_kwh)
        table = np.zeros((problem.n_session, problem.n_period), dtype=np.float32)
        with Machine(made, n_period=problem.n_period, weight=0.015, threads=1) as moving:
            moving.advance(50)
            moving.settle()
            moving.write_power_kw(table)
            prices = moving.prices()
        assert (table >= 0).all()
        assert (table <= problem.session_max_kw[:, None] * (1 + 1e-6)).all()
        served_kwh = problem.step_h * table.sum(axis=1, dtype=np.float64)
        assert (served_kwh <= network.serveable_kwh * (1 + 1e-4) + 1e-4).all()
        assert (prices.cap >= 0).all()
        assert (prices.request >= 0).all()
