"""The implementations held together: each bracket holds the optimum that scipy finds on rows of the tests' own."""

import math

import pytest
from hypothesis import example, given, settings

from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.solve import solve
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.assertions import assert_brackets, assert_safe_and_accounted
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import optimum_gbp
from tests.strategies import dispatch_problems

METHODS = ("reference", "sparse", "fast")
GAP = 1e-4
# A fleet of some hundred sessions with one more of the model's features at a time, then all of them.
ALL = {"phases": True, "requests": True, "ramps": True}
FEATURES = ({}, *({name: True} for name in ALL), ALL)


def planned(problem: DispatchProblem, method: str) -> DispatchPlan:
    """Forced, in this process, to the end."""
    plan = solve(problem, method=method, gap=GAP, time_limit_s=math.inf)
    assert plan.method == method
    return plan


@pytest.mark.parametrize("method", METHODS)
class TestEachMethod:
    @settings(max_examples=170, deadline=None)
    @given(problem=dispatch_problems())
    @example(problem=make_problem())
    @example(problem=make_problem(Ev(7.0), limit_kw=-4.0))
    @example(problem=make_problem(Ev(9.1, unserved=1e4), Ev(9.1, unserved=1e-2), limit_kw=7.3, prices=(1e-3, 2e-3)))
    def test_brackets_the_optimum_and_keeps_every_limit(self, method, problem):
        plan = planned(problem, method)
        assert_brackets(problem, plan, optimum_gbp(problem), gap=GAP)
        assert_safe_and_accounted(problem, plan)


@pytest.mark.parametrize("features", FEATURES, ids=lambda features: "-".join(features) or "plain")
@pytest.mark.parametrize("n_period", [24, 48])
class TestTogether:
    def test_each_bracket_holds_every_other_cost_of_a_binding_fleet(self, n_period, features):
        problem = national_fleet(Shape(200, n_period=n_period, seed=n_period, **features))
        plans = [planned(problem, method) for method in METHODS]
        for plan in plans:
            assert plan.rung == "certified"
            assert plan.node_price_gbp_per_kwh.any()
            for other in plans:
                assert plan.lower_bound_gbp <= other.cost_gbp
            assert_safe_and_accounted(problem, plan)
