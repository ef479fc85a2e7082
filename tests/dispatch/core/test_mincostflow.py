import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core.problem import TURN_DOWN, DispatchProblem, FlexRequest
from dispatch.core.solve import solve
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core import mincostflow, second_opinion
from tests.dispatch.core.assertions import assert_brackets
from tests.dispatch.core.mincostflow import NotAFlow, in_whole_units
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.test_three_implementations import METHODS
from tests.strategies import dispatch_problems


def as_flow(problem: DispatchProblem) -> DispatchProblem:
    """Of any problem what is a flow: no phases, requests, ramps or diversity, whole watts and millionths."""
    bare = replace(
        problem,
        node_is_phase=np.zeros(problem.n_node, dtype=bool),
        node_diversity=np.ones(problem.n_node),
        node_ramp_kw=np.full(problem.n_node, np.inf),
        requests=(),
    )
    return in_whole_units(bare)


class TestOptimumGbp:
    def test_is_the_hand_worked_cost(self):
        # 10 kWh at 0.10 and 4 at 0.30.
        problem = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)
        assert mincostflow.optimum_gbp(problem) == pytest.approx(2.2, abs=1e-12)

    def test_counts_unserved_and_half_hours(self):
        # 7 + 2.5 kWh wanted of two half-hours of 5 kW: 2.5 at 0.10, 2.5 at 0.30, 4.5 unserved at 2 GBP.
        problem = make_problem(Ev(7.0), Ev(2.5), limit_kw=5.0, step_h=0.5)
        assert mincostflow.optimum_gbp(problem) == pytest.approx(2.5 * 0.1 + 2.5 * 0.3 + 4.5 * 2.0, abs=1e-12)

    @pytest.mark.parametrize(
        "more",
        [
            {"requests": (FlexRequest(0, 0, 1, TURN_DOWN, 2.0, 1.0),)},
            {"node_ramp_kw": np.array([1.0])},
            {"node_diversity": np.array([0.5])},
        ],
    )
    def test_refuses_what_is_more_than_a_flow(self, more):
        with pytest.raises(NotAFlow):
            mincostflow.optimum_gbp(make_problem(Ev(7.0), **more))

    def test_refuses_a_session_above_phases(self):
        tree = {"parents": (-1, 0), "node_is_phase": np.array([False, True])}
        with pytest.raises(NotAFlow):
            mincostflow.optimum_gbp(make_problem(Ev(7.0, node=0), **tree))

    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems())
    def test_agrees_with_the_lp_on_whole_units(self, problem):
        flow = as_flow(problem)
        optimum = second_opinion.optimum_gbp(flow)
        assert mincostflow.optimum_gbp(flow) == pytest.approx(optimum, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
class TestMethodsAgainstTheFlow:
    @settings(max_examples=60, deadline=None)
    @given(problem=dispatch_problems())
    def test_bracket_the_cheapest_flow(self, method, problem):
        flow = as_flow(problem)
        plan = solve(flow, method=method, time_limit_s=math.inf)
        assert plan.method == method
        assert_brackets(flow, plan, mincostflow.optimum_gbp(flow), gap=1e-4)

    def test_bracket_the_cheapest_flow_of_a_crowded_fleet(self, method):
        flow = in_whole_units(national_fleet(Shape(400)))
        plan = solve(flow, method=method, time_limit_s=math.inf)
        assert (plan.method, plan.rung) == (method, "certified")
        assert plan.node_price_gbp_per_kwh.any()
        assert_brackets(flow, plan, mincostflow.optimum_gbp(flow), gap=1e-4)
