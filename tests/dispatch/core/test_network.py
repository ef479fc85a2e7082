import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core.network import InvalidRating, Network, headroom_kw, rating_kw, share_matrix
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw, caps_kw
from tests.strategies import dispatch_problems

# primary 0 - substation 1 - feeder 2 - phases 3, 4, 5; feeder 6 beside it without phases
TREE = {"parents": (-1, 0, 1, 2, 2, 2, 1), "node_is_phase": np.array([0, 0, 0, 1, 1, 1, 0], dtype=bool)}


def shares_of(ev):
    return share_matrix(make_problem(ev, **TREE)).toarray()[:, 0].tolist()


class TestShareMatrix:
    def test_loads_the_sessions_own_node_and_all_above_it(self):
        assert shares_of(Ev(1.0, node=4)) == [1, 1, 1, 0, 1, 0, 0]
        assert shares_of(Ev(1.0, node=6)) == [1, 1, 0, 0, 0, 0, 1]

    def test_splits_three_phases_over_the_feeders_phases(self):
        assert shares_of(Ev(1.0, node=2, phases=3)) == pytest.approx([1, 1, 1, 1 / 3, 1 / 3, 1 / 3, 0])

    def test_loads_every_phase_fully_where_the_phase_is_unknown(self):
        assert shares_of(Ev(1.0, node=2)) == [1, 1, 1, 1, 1, 1, 0]

    def test_leaves_phases_of_feeders_below_alone(self):
        assert shares_of(Ev(1.0, node=1, phases=3)) == [1, 1, 0, 0, 0, 0, 0]

    def test_keeps_several_trees_apart(self):
        shares = share_matrix(make_problem(Ev(1.0, node=1), Ev(1.0, node=2), parents=(-1, -1, 1)))
        assert shares.toarray().tolist() == [[0, 0], [1, 1], [0, 1]]

    def test_is_empty_for_an_empty_fleet(self):
        assert share_matrix(make_problem(**TREE)).shape == (7, 0)


class TestNetwork:
    def test_counts_diversity_over_the_sessions_connected(self):
        # Factor 0.5: period 0 holds both EVs, 0.5 x (7 + 3) = 5 kW; period 1 the second alone, 1.5 kW.
        evs = (Ev(1.0, max_kw=7.0, end=1), Ev(1.0, max_kw=3.0))
        network = Network.of(make_problem(*evs, node_diversity=np.array([0.5]), limit_kw=4.5))
        assert network.cap_kw.tolist() == [[4.5, 1.5]]

    def test_counts_a_limit_below_zero_as_zero(self):
        assert Network.of(make_problem(Ev(1.0), limit_kw=[[-5.0, 2.0]])).cap_kw.tolist() == [[0.0, 2.0]]

    @settings(max_examples=60, deadline=None)
    @given(problem=dispatch_problems())
    def test_agrees_with_a_walk_over_sessions_and_nodes(self, problem):
        network = Network.of(problem)
        power_kw = np.random.default_rng(1).uniform(0, 7, (problem.n_session, problem.n_period))
        np.testing.assert_allclose(network.node_power_kw(power_kw), added_up_kw(problem, power_kw), atol=1e-9)
        np.testing.assert_allclose(network.cap_kw, caps_kw(problem), atol=1e-9)


class TestRatingKw:
    def test_multiplies_apparent_power_power_factor_and_cyclic_factor(self):
        assert rating_kw(np.array([500.0]), np.array([0.98]), np.array([1.2])) == pytest.approx([588.0])

    @pytest.mark.parametrize(("kva", "pf", "cyclic"), [(np.nan, 1, 1), (500, 1.1, 1), (-1, 1, 1), (500, 1, -1)])
    def test_refuses_what_no_transformer_has(self, kva, pf, cyclic):
        with pytest.raises(InvalidRating):
            rating_kw(np.array([float(kva)]), np.array([float(pf)]), np.array([float(cyclic)]))


class TestHeadroomKw:
    def test_leaves_what_background_demand_does_not_take(self):
        # 500 kVA at 0.98 is 490 kW; 200 homes at 1.5 kW are 300 kW; 190 kW is left, 25 EVs of 7.4 kW.
        rating = rating_kw(np.array([500.0]), np.array([0.98]), np.array([1.0]))
        limit, findings = headroom_kw(rating, np.array([[200 * 1.5]]), node_ids=np.array(["sub-1"]))
        assert limit == pytest.approx(np.array([[190.0]]))
        assert limit[0, 0] // 7.4 == 25
        assert findings == []

    def test_counts_below_zero_as_zero_and_raises_an_alarm_for_the_node(self):
        background = np.array([[90.0, 130.0, 110.0], [1.0, 1.0, 1.0]])
        limit, findings = headroom_kw(
            np.array([100.0, np.inf]), background, node_ids=np.array(["feeder-1", "feeder-2"])
        )
        assert limit.tolist() == [[10.0, 0.0, 0.0], [np.inf, np.inf, np.inf]]
        assert [(one.code, one.subject, one.severity) for one in findings] == [
            ("network.no_headroom", "feeder-1", "alarm")
        ]
        assert findings[0].details == {"n_period": 2, "worst_period": 1, "over_kw": 30.0}

    def test_refuses_a_background_that_is_not_known(self):
        with pytest.raises(InvalidRating):
            headroom_kw(np.array([100.0]), np.array([[np.nan]]), node_ids=np.array(["feeder-1"]))
