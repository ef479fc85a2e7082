from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.check import add_up, check_nodes
from dispatch.core.costs import price_plan
from dispatch.core.greedy import greedy_power_kw
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem, FlexRequest
from dispatch.core.rounding import ampere_kw, least_a, most_a, round_plan
from dispatch.core.scenario import drawn_power_kw
from dispatch.core.steady import NOTHING_TOLD, InvalidTold, Steady, keep_told
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems

AMPERE_KW = 0.23


def told(*amperes: int) -> np.ndarray:
    """(n_session, 1) what each was sent for the first period."""
    return np.array(amperes, dtype=np.int16)[:, np.newaxis]


def free_ceilings(problem: DispatchProblem) -> tuple[Network, np.ndarray]:
    network = Network.of(problem)
    return network, round_plan(problem, network, greedy_power_kw(problem, network)).setpoint_a


def keep(problem: DispatchProblem, free_a: np.ndarray, told_a: np.ndarray, change_gbp: float) -> Steady:
    return keep_told(problem, free_a, told_a, cap_kw=Network.of(problem).cap_kw, change_gbp=change_gbp)


def cost_gbp(problem: DispatchProblem, setpoint_a: np.ndarray) -> float:
    """By the objective's own pricing, which the loops don't use."""
    ceiling_kw = setpoint_a * ampere_kw(problem)[:, np.newaxis]
    return price_plan(problem, Network.of(problem), drawn_power_kw(problem, ceiling_kw)).total_gbp


@st.composite
def told_before(draw: st.DrawFn) -> tuple[DispatchProblem, np.ndarray, np.ndarray]:
    """A problem, the ceilings of a free plan, and what sessions that are there were sent for the first period."""
    problem = draw(dispatch_problems())
    sent = []
    for start, least, most in zip(problem.session_start, least_a(problem), most_a(problem), strict=True):
        usable = [0] if most < least else [0, int(least), int(most), draw(st.integers(int(least), int(most)))]
        sent.append(draw(st.sampled_from([NOTHING_TOLD, *usable])) if start == 0 else NOTHING_TOLD)
    return problem, free_ceilings(problem)[1], np.array(sent, dtype=np.int16).reshape(problem.n_session, 1)


class TestKeepTold:
    def test_keeps_what_was_told_where_the_change_gains_nothing(self):
        problem = make_problem(Ev(3.68, max_kw=7.36), prices=(0.1, 0.1, 0.1))
        free_a = np.array([[0, 16, 0]], dtype=np.int16)
        found = keep(problem, free_a, told(16), 0.0)
        assert found.setpoint_a[0, 0] == 16
        assert not found.is_changed.any()

    @pytest.mark.parametrize(("change_gbp", "is_changed"), [(0.7, True), (0.8, False)])
    def test_changes_what_gains_more_than_a_change_costs(self, change_gbp, is_changed):
        """3.68 kWh moved from 0.30 to 0.10 gain 0.736 GBP."""
        problem = make_problem(Ev(3.68, max_kw=3.68), prices=(0.3, 0.1))
        found = keep(problem, np.array([[0, 16]], dtype=np.int16), told(16), change_gbp)
        assert found.is_changed.tolist() == [is_changed]
        assert found.setpoint_a[0, 0] == (0 if is_changed else 16)
        assert found.gain_gbp == pytest.approx(0.736 if is_changed else 0.0)

    def test_gives_later_what_the_kept_setpoint_leaves_out(self):
        problem = make_problem(Ev(3.68, max_kw=7.36), prices=(0.1, 0.3, 0.2))
        found = keep(problem, np.array([[16, 0, 0]], dtype=np.int16), told(6), 1.0)
        assert found.setpoint_a.tolist() == [[6, 0, 10]]  # the cheapest later hour, and no more than is missing

    def test_lets_a_reduction_through_that_a_limit_asks_for_whatever_a_change_costs(self):
        problem = make_problem(Ev(14.0, max_kw=7.36), prices=(0.1, 0.1), limit_kw=np.array([[4.0, 8.0]]))
        _, free_a = free_ceilings(problem)
        found = keep(problem, free_a, told(32), np.inf)
        assert found.is_changed.all()
        assert found.setpoint_a[0, 0] * AMPERE_KW <= 4.0

    def test_puts_back_the_raise_of_one_to_keep_the_other(self):
        """Each was sent half the feeder; swapping them gains nothing, though neither goes back alone."""
        problem = make_problem(Ev(20.0, max_kw=7.36), Ev(20.0, max_kw=7.36), prices=(0.1, 0.1), limit_kw=32 * AMPERE_KW)
        free_a = np.array([[32, 0], [0, 32]], dtype=np.int16)
        found = keep(problem, free_a, told(16, 16), 0.01)
        assert found.setpoint_a[:, 0].tolist() == [16, 16]

    def test_weighs_a_turn_down_like_the_objective(self):
        """Keeping 16 A misses a target of 0 by 3.68 kW for an hour at 1 GBP/kWh."""
        request = FlexRequest(node=0, start=0, end=1, direction=TURN_DOWN, target_kw=0.0, shortfall_gbp_per_kwh=1.0)
        problem = make_problem(Ev(3.68, max_kw=3.68), prices=(0.1, 0.1), requests=(request,))
        free_a = np.array([[0, 16]], dtype=np.int16)
        assert keep(problem, free_a, told(16), 3.6).is_changed.all()
        assert not keep(problem, free_a, told(16), 3.7).is_changed.any()

    def test_weighs_a_ramp_like_the_objective(self):
        problem = make_problem(
            Ev(3.68, max_kw=3.68), prices=(0.1, 0.1, 0.1), node_ramp_kw=np.array([1.0]), ramp_gbp_per_kwh=0.5
        )
        free_a = np.array([[0, 0, 16]], dtype=np.int16)  # one ramp of 3.68 kW, 2.68 of it in excess
        found = keep(problem, free_a, told(NOTHING_TOLD), 0.0)
        np.testing.assert_array_equal(found.setpoint_a, free_a)
        assert cost_gbp(problem, free_a) == pytest.approx(0.368 + 0.5 * 2.68)
        assert not keep(problem, free_a, told(16), 0.0).is_changed.any()  # down instead of up costs the same

    def test_says_nothing_to_a_fleet_of_nobody(self):
        problem = make_problem()
        found = keep(problem, np.zeros((0, 2), np.int16), np.zeros((0, 1), np.int16), 0.05)
        assert found.setpoint_a.shape == (0, 2)

    @pytest.mark.parametrize("amperes", [3, 33, -2])
    def test_refuses_a_current_no_plan_could_have_told(self, amperes):
        problem = make_problem(Ev(3.0, max_kw=7.36))
        with pytest.raises(InvalidTold, match="ev-0"):
            keep(problem, np.zeros((1, 2), np.int16), told(amperes), 0.05)

    @pytest.mark.parametrize("change_gbp", [-0.01, float("nan")])
    def test_refuses_a_price_that_cannot_be_meant(self, change_gbp):
        problem = make_problem(Ev(3.0))
        with pytest.raises(InvalidTold, match="change_gbp"):
            keep(problem, np.zeros((1, 2), np.int16), told(0), change_gbp)

    @given(before=told_before(), change_gbp=st.sampled_from([0.0, 0.01, 0.5, np.inf]))
    def test_keeps_every_limit(self, before, change_gbp):
        problem, free_a, told_a = before
        cap_kw = Network.of(problem).cap_kw
        found = keep(problem, free_a, told_a, change_gbp)
        ceiling_kw = found.setpoint_a * ampere_kw(problem)[:, np.newaxis]
        capped = replace(problem, node_limit_kw=cap_kw, node_diversity=np.ones(problem.n_node))
        assert check_nodes(capped, ceiling_kw) <= 1e-6
        amperes = found.setpoint_a.astype(int)
        assert ((amperes == 0) | (amperes >= least_a(problem)[:, np.newaxis])).all()
        assert (amperes <= most_a(problem)[:, np.newaxis]).all()

    @given(before=told_before())
    def test_changes_only_what_a_limit_asks_for_where_a_change_has_no_price(self, before):
        """Each changed one, put back alone, would break a cap: the others as they are told now."""
        problem, free_a, told_a = before
        found, cap_kw = keep(problem, free_a, told_a, np.inf), Network.of(problem).cap_kw
        for session in np.flatnonzero(found.is_changed).tolist():
            back_a = found.setpoint_a.copy()
            back_a[session, 0] = told_a[session, 0]
            load_kw = add_up(problem, back_a * ampere_kw(problem)[:, np.newaxis])
            assert (load_kw[:, 0] > cap_kw[:, 0]).any()

    @given(before=told_before(), change_gbp=st.sampled_from([0.0, 0.01, 0.05, 1.0]))
    def test_gains_more_than_its_changes_cost(self, before, change_gbp):
        """Against the free plan and against changing as little as limits allow, in the objective's own money."""
        problem, free_a, told_a = before
        found, least = keep(problem, free_a, told_a, change_gbp), keep(problem, free_a, told_a, np.inf)
        is_told = told_a[:, 0] >= 0
        n_free = int((is_told & (told_a[:, 0] != free_a[:, 0])).sum())

        def weighed_gbp(setpoint_a: np.ndarray, n_changed: int) -> float:
            return cost_gbp(problem, setpoint_a) + change_gbp * n_changed

        here_gbp = weighed_gbp(found.setpoint_a, int(found.is_changed.sum()))
        slack_gbp = 1e-9 * max(1.0, abs(here_gbp))
        assert here_gbp <= weighed_gbp(least.setpoint_a, int(least.is_changed.sum())) + slack_gbp
        assert here_gbp <= weighed_gbp(free_a, n_free) + slack_gbp
        n_more = int(found.is_changed.sum()) - int(least.is_changed.sum())
        gain_gbp = cost_gbp(problem, least.setpoint_a) - cost_gbp(problem, found.setpoint_a)
        assert gain_gbp >= change_gbp * n_more - slack_gbp
