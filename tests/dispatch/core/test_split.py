import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.costs import price_plan
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.split import InvalidCut, branches, charged, level_for, split_problem
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems

# A grid point over two primaries; under the first a feeder with its phases, under the second a substation.
PARENTS = (-1, 0, 1, 2, 2, 2, 0, 6)
IS_PHASE = np.array([False, False, False, True, True, True, False, False])


def two_primaries(*evs: Ev, **more):
    return make_problem(*evs, parents=PARENTS, node_is_phase=IS_PHASE, **more)


def cut(problem, level):
    return split_problem(problem, Network.of(problem), level=level)


class TestBranches:
    def test_names_the_node_at_the_cut_above_every_node(self):
        assert branches(two_primaries(), 1).tolist() == [-1, 1, 1, 1, 1, 1, 6, 6]

    def test_never_cuts_a_feeder_from_its_phases(self):
        assert branches(two_primaries(), 3).tolist() == [-1, -1, 2, 2, 2, 2, -1, -1]

    def test_takes_whole_trees_at_level_0(self):
        assert branches(make_problem(parents=(-1, -1, 0, 1)), 0).tolist() == [0, 1, 0, 1]


class TestLevelFor:
    def test_takes_whole_trees_where_there_are_several(self):
        assert level_for(make_problem(Ev(1.0, node=0), Ev(1.0, node=1), parents=(-1, -1))) == 0

    def test_goes_down_to_where_the_sessions_part(self):
        assert level_for(two_primaries(Ev(1.0, node=3), Ev(1.0, node=7))) == 1
        assert level_for(two_primaries(Ev(1.0, node=1), Ev(1.0, node=5))) == 2

    def test_stays_at_the_roots_where_nothing_parts(self):
        assert level_for(make_problem(Ev(1.0))) == 0
        assert level_for(make_problem()) == 0


class TestSplitProblem:
    def test_gives_each_part_its_own_tree_sessions_and_requests(self):
        requests = (
            FlexRequest(0, 0, 1, TURN_DOWN, 9.0, 1.0),
            FlexRequest(7, 1, 2, TURN_UP, 3.0, 2.0),
        )
        problem = two_primaries(Ev(1.0, node=4), Ev(2.0, node=7), Ev(3.0, node=1), requests=requests)
        first, second = cut(problem, 1).parts
        assert first.nodes.tolist() == [1, 2, 3, 4, 5]
        assert first.problem.node_parent.tolist() == [-1, 0, 1, 1, 1]
        assert first.problem.session_ids.tolist() == ["ev-0", "ev-2"]
        assert first.problem.session_node.tolist() == [3, 0]
        assert first.problem.requests == ()
        assert second.sessions.tolist() == [1]
        assert second.problem.requests == (FlexRequest(1, 1, 2, TURN_UP, 3.0, 2.0),)
        assert cut(problem, 1).upper.requests == (requests[0],)

    def test_makes_a_part_of_the_sessions_on_each_node_above_the_cut(self):
        problem = two_primaries(Ev(1.0, node=7), Ev(2.0, node=0), Ev(3.0, node=0, phases=3), limit_kw=4.0)
        *_, loose = cut(problem, 1).parts
        assert loose.sessions.tolist() == [1, 2]
        assert len(loose.nodes) == 0
        # its node's limit is everybody's, so it stays above
        assert np.isinf(loose.problem.node_limit_kw).all()
        assert cut(problem, 1).upper.node_limit_kw.tolist() == [[4.0, 4.0]]

    def test_leaves_branches_out_that_nobody_is_on_and_nothing_is_asked_of(self):
        assert [part.nodes[0] for part in cut(two_primaries(Ev(1.0, node=7)), 1).parts] == [6]
        asked = (FlexRequest(2, 0, 1, TURN_UP, 1.0, 1.0),)
        assert [part.nodes[0] for part in cut(two_primaries(Ev(1.0, node=7), requests=asked), 1).parts] == [1, 6]

    def test_counts_diversity_above_the_cut_over_all_sessions(self):
        problem = two_primaries(Ev(1.0, node=4), Ev(2.0, node=7), node_diversity=np.array([0.5, *[1.0] * 7]))
        assert cut(problem, 1).upper.node_limit_kw.tolist() == [[7.0, 7.0]]

    def test_refuses_a_cut_above_the_roots(self):
        with pytest.raises(InvalidCut, match="level of the cut is -1"):
            cut(two_primaries(), -1)

    @given(problem=dispatch_problems(), level=st.integers(0, 4), seed=st.integers(0, 2**32 - 1))
    def test_loses_nothing_of_any_plan(self, problem, level, seed):
        """Loads and costs of any power at all are those of the parts and of what is above them together."""
        power_kw = np.random.default_rng(seed).uniform(0, 1, (problem.n_session, problem.n_period))
        inside = np.arange(problem.n_period)
        inside = (inside >= problem.session_start[:, None]) & (inside < problem.session_end[:, None])
        power_kw *= inside * problem.session_max_kw[:, None]
        whole, split = price_plan(problem, Network.of(problem), power_kw), cut(problem, level)
        assert sorted(i for part in split.parts for i in part.sessions.tolist()) == list(range(problem.n_session))
        total_gbp, profiles = 0.0, np.zeros((len(split.parts), problem.n_period))
        for k, part in enumerate(split.parts):
            costs = price_plan(part.problem, Network.of(part.problem), power_kw[part.sessions])
            n_own = len(part.nodes)
            np.testing.assert_allclose(costs.node_power_kw[:n_own], whole.node_power_kw[part.nodes], atol=1e-9)
            total_gbp, profiles[k] = total_gbp + costs.total_gbp, costs.node_power_kw[0]
        upper_kw = split.network.tree.node_kw(profiles)
        np.testing.assert_allclose(upper_kw, whole.node_power_kw[split.upper_nodes], atol=1e-9)
        assert total_gbp + above_gbp(split, upper_kw) == pytest.approx(whole.total_gbp, abs=1e-9, rel=1e-9)


def above_gbp(split, upper_kw):
    """Shortfall and ramp excess above the cut, added up one by one."""
    upper, total = split.upper, 0.0
    for request in upper.requests:
        for t in range(request.start, request.end):
            over_kw = -request.direction * (upper_kw[request.node, t] - request.target_kw)
            total += upper.step_h * request.shortfall_gbp_per_kwh * max(over_kw, 0.0)
    for v in range(upper.n_node):
        for t in range(upper.n_period - 1):
            excess_kw = abs(upper_kw[v, t + 1] - upper_kw[v, t]) - upper.node_ramp_kw[v]
            total += upper.step_h * upper.ramp_gbp_per_kwh * max(excess_kw, 0.0)
    return total


class TestCharged:
    def test_adds_the_charge_to_every_tariff_per_kwh_and_holds_the_root(self):
        problem = make_problem(Ev(1.0), parents=(-1, 0), limit_kw=5.0, step_h=0.5, prices=[[0.1, 0.3], [0.2, 0.2]])
        asked = charged(problem, np.array([0.05, -0.1]), np.array([3.0, np.inf]))
        assert asked.price_gbp_per_kwh == pytest.approx(np.array([[0.2, 0.1], [0.3, 0.0]]))
        assert asked.node_limit_kw.tolist() == [[3.0, 5.0], [5.0, 5.0]]


def test_a_national_fleet_is_cut_at_its_primaries():
    problem = national_fleet(Shape(20_000, n_period=4))
    assert level_for(problem) == 1
    assert [len(part.sessions) for part in cut(problem, 1).parts] == [8_000, 8_000, 4_000]
