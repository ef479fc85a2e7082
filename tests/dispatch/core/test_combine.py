"""A problem solved in parts against the same problem solved whole, by scipy on rows of the tests' own."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatch.core.combine import solve_in_parts
from dispatch.core.parts import PartsHere
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.solve import MethodNotAvailable, solve
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.assertions import assert_brackets, assert_safe_and_accounted
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import optimum_gbp
from tests.strategies import dispatch_problems

GAP = 1e-4
EXACT = {"method": "sparse", "gap": GAP, "time_limit_s": math.inf}
THREE_FLOORS = (-1, 0, 0, 1, 2)


class TestHandWorked:
    def test_prices_a_cap_that_two_parts_share(self):
        # 14 kWh wanted, 10 kW in the hour at 0.10: 1.00 + 4 x 0.30 = 2.20. A kW more there saves 0.20, to either part.
        limits = {"parents": (-1, 0, 0), "limit_kw": np.array([[10.0, 10.0], [np.inf] * 2, [np.inf] * 2])}
        plan = solve_in_parts(make_problem(Ev(7.0, node=1), Ev(7.0, node=2), **limits), **EXACT)
        assert plan.cost_gbp == pytest.approx(2.2, abs=1e-4)
        assert plan.lower_bound_gbp == pytest.approx(2.2, abs=1e-4)
        assert plan.node_price_gbp_per_kwh[0] == pytest.approx([0.2, 0.0], abs=1e-6)
        assert (plan.rung, plan.method) == ("certified", "parts sparse")

    def test_gives_the_shared_cap_to_whom_it_is_dear(self):
        # One hour, 7 kW, 14 kWh: proportional shares would give 3.5 to each; the one at 4 GBP gets all.
        limits = {"parents": (-1, 0, 0), "limit_kw": np.array([[7.0], [np.inf], [np.inf]]), "prices": (0.1,)}
        plan = solve_in_parts(make_problem(Ev(7.0, node=1), Ev(7.0, node=2, unserved=4.0), **limits), **EXACT)
        assert plan.unserved_kwh == pytest.approx([7.0, 0.0], abs=1e-3)

    def test_meets_a_turn_down_above_the_cut(self):
        # Cheap hour: 14 kW wanted, 4 asked at 0.50: 10 kWh move to the hour at 0.30 for 0.20 each.
        asked = (FlexRequest(0, 0, 1, TURN_DOWN, 4.0, 0.5),)
        problem = make_problem(Ev(7.0, node=1), Ev(7.0, node=2), parents=(-1, 0, 0), requests=asked)
        plan = solve_in_parts(problem, **EXACT)
        assert plan.cost_gbp == pytest.approx(0.4 + 3.0, abs=1e-3)
        assert plan.shortfall_kw.sum() == pytest.approx(0.0, abs=1e-2)

    def test_smooths_a_ramp_above_the_cut(self):
        # 14 kWh in the cheap hour fall to 0 next: 14 of change, 4 free, excess at 0.15 a kW. A kWh moved costs 0.20
        # and saves 2 x 0.15, until 9 and 5 are left: 0.90 + 1.50, no excess.
        ramps = {"node_ramp_kw": np.array([4.0, np.inf, np.inf]), "ramp_gbp_per_kwh": 0.15}
        problem = make_problem(Ev(7.0, node=1), Ev(7.0, node=2), parents=(-1, 0, 0), **ramps)
        plan = solve_in_parts(problem, **EXACT)
        assert plan.cost_gbp == pytest.approx(2.4, abs=1e-3)

    def test_counts_a_turn_up_nobody_can_meet(self):
        # 3 kW asked for an hour at 0.50 under a primary without an EV: 1.50, whoever is under the other.
        asked = (FlexRequest(1, 0, 1, TURN_UP, 3.0, 0.5),)
        plan = solve_in_parts(make_problem(Ev(7.0, node=2), parents=(-1, 0, 0), requests=asked), **EXACT, level=1)
        assert plan.cost_gbp == pytest.approx(0.7 + 1.5, abs=1e-4)
        assert plan.rung == "certified"


class TestAgainstTheWhole:
    @settings(max_examples=150, deadline=None)
    @given(problem=dispatch_problems(), level=st.integers(0, 3))
    @example(problem=make_problem(), level=1)
    @example(problem=make_problem(Ev(7.0), limit_kw=-4.0), level=2)
    @example(problem=make_problem(Ev(7.0, node=0), Ev(7.0, node=3), parents=THREE_FLOORS, limit_kw=3.0), level=1)
    def test_costs_what_the_whole_costs_and_keeps_every_limit(self, problem, level):
        plan = solve_in_parts(problem, level=level, **EXACT)
        assert_brackets(problem, plan, optimum_gbp(problem), gap=GAP)
        assert_safe_and_accounted(problem, plan)

    @pytest.mark.parametrize("features", [{}, {"phases": True, "requests": True, "ramps": True}], ids=["plain", "all"])
    def test_costs_what_a_fleet_costs_in_one_process(self, small_primaries, features):
        problem = national_fleet(Shape(800, n_period=24, **features))
        whole = solve(problem, **EXACT)
        plan = solve_in_parts(problem, level=1, **EXACT)
        assert plan.rung == "certified"
        assert plan.cost_gbp <= whole.cost_gbp + GAP * abs(whole.lower_bound_gbp)
        assert plan.lower_bound_gbp <= whole.cost_gbp
        assert plan.cost_gbp >= whole.lower_bound_gbp
        assert plan.iterations > 5, "nothing was shared, so nothing was tried"
        assert_safe_and_accounted(problem, plan)


class TestFromASample:
    """First prices of a sample, with ramps above the cut, against first prices of the parts' shares."""

    def test_begins_near_the_end(self, small_primaries, monkeypatch):
        problem = national_fleet(Shape(800, n_period=24, phases=True, requests=True, ramps=True))
        guessed = solve_in_parts(problem, level=1, **EXACT)
        monkeypatch.setattr("dispatch.core.sample.SAMPLE_SESSIONS", 200)
        plan = solve_in_parts(problem, level=1, **EXACT)
        assert plan.rung == "certified"
        assert plan.iterations < guessed.iterations
        assert plan.cost_gbp <= guessed.cost_gbp + GAP * abs(guessed.lower_bound_gbp)
        assert_safe_and_accounted(problem, plan)


@pytest.fixture
def small_primaries(monkeypatch):
    """Four primaries of 200 EVSEs instead of ten of 8,000 under a grid point."""
    monkeypatch.setattr("tests.benchmarks.fleets.FEEDERS_PER_SUBSTATION", 2)
    monkeypatch.setattr("tests.benchmarks.fleets.SUBSTATIONS_PER_PRIMARY", 2)


class Forgetful(PartsHere):
    """Gives no answer of some part after some round."""

    def __init__(self, problems, *, part, after):
        super().__init__(problems)
        self._part, self._after = part, after

    def answers(self, asks, *, within_s):
        kept = [ask for ask in asks if ask.part != self._part or ask.round <= self._after]
        yield from super().answers(kept, within_s=within_s)


def forgetting(*, part, after):
    @contextmanager
    def opened(problems):
        yield Forgetful(problems, part=part, after=after)

    return opened


class TestAlwaysAnAnswer:
    def problem(self):
        # Round 0 gives each its half of the cap, which is not the best; prices are needed for that.
        limits = {"parents": (-1, 0, 0), "limit_kw": np.array([[7.0], [np.inf], [np.inf]]), "prices": (0.1,)}
        return make_problem(Ev(7.0, node=1), Ev(7.0, node=2, unserved=4.0), **limits)

    def test_keeps_the_first_plans_where_no_round_at_prices_is_answered(self):
        plan = solve_in_parts(self.problem(), runners=forgetting(part=1, after=0), **EXACT)
        assert plan.rung == "time-boxed"
        assert plan.gap > GAP
        assert plan.lower_bound_gbp <= optimum_gbp(self.problem()) <= plan.cost_gbp
        assert plan.unserved_kwh == pytest.approx([3.5, 3.5], abs=1e-3)
        assert_safe_and_accounted(self.problem(), plan)

    def test_mixes_what_came_where_a_later_round_stays_unanswered(self):
        plan = solve_in_parts(self.problem(), runners=forgetting(part=0, after=1), **EXACT)
        assert plan.lower_bound_gbp <= optimum_gbp(self.problem()) <= plan.cost_gbp + 1e-6
        assert_safe_and_accounted(self.problem(), plan)

    def test_fills_greedily_where_a_part_never_answers(self):
        plan = solve_in_parts(self.problem(), runners=forgetting(part=1, after=-1), **EXACT)
        assert (plan.rung, plan.method) == ("greedy", "greedy")
        assert_safe_and_accounted(self.problem(), plan)

    def test_answers_within_a_time_limit_that_allows_no_solver(self):
        problem = national_fleet(Shape(2_000, n_period=24))
        plan = solve_in_parts(problem, level=2, method="sparse", time_limit_s=0.2)
        assert plan.rung in ("time-boxed", "greedy")
        assert plan.solve_s <= 0.2 + 1.0
        assert_safe_and_accounted(problem, plan)

    def test_refuses_what_solve_refuses(self):
        with pytest.raises(MethodNotAvailable):
            solve_in_parts(self.problem(), method="wishes")


class TestNationalFleet:
    def test_is_certified_at_its_primaries_within_the_gap_of_the_whole(self):
        """20,000 EVSEs under three primaries of a grid point, whose limit they share."""
        problem = national_fleet(Shape(20_000))
        whole = solve(problem, method="fast", gap=GAP, time_limit_s=120)
        plan = solve_in_parts(problem, level=1, method="fast", gap=GAP, time_limit_s=120)
        assert (plan.rung, plan.method) == ("certified", "parts fast")
        assert abs(plan.cost_gbp - whole.cost_gbp) <= GAP * whole.cost_gbp
        assert whole.lower_bound_gbp <= plan.cost_gbp
        assert plan.lower_bound_gbp <= whole.cost_gbp
        assert plan.max_violation_kw <= 1e-6
