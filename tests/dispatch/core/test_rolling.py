from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.belief import Need
from aggregator.core.fleet_state import AWAITED, LEFT, PLUGGED_IN, FleetState, nobody_yet
from dispatch.core.check import add_up, check_nodes
from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchPlan, DispatchProblem, FlexRequest
from dispatch.core.rolling import InvalidHorizon, Remaining, remaining_problem, shift_plan
from dispatch.core.rounding import ampere_kw
from dispatch.core.solve import solve
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems

AMPERE_KW = 0.23


def fleet_of(day: DispatchProblem) -> DispatchProblem:
    """Every session of the day as an EVSE that is there all day and needs nothing."""
    n = day.n_session
    return replace(
        day,
        session_start=np.zeros(n, dtype=int),
        session_end=np.full(n, day.n_period),
        session_energy_kwh=np.zeros(n),
        node_diversity=np.ones(day.n_node),
        node_ramp_kw=np.full(day.n_node, np.inf),
        requests=(),
        ramp_gbp_per_kwh=0.0,
    )


def state_of(day: DispatchProblem, *, now: int, presence: list[int], **flags: list[bool]) -> FleetState:
    there = np.array(presence, dtype=int) == PLUGGED_IN
    none = nobody_yet(day.session_ids, now=now)
    return replace(
        none,
        presence=np.array(presence, dtype=int),
        since=np.where(there, 0.0, np.nan),
        **{name: np.array(values, dtype=bool) for name, values in flags.items()},
    )


def need_of(
    day: DispatchProblem, *, energy_kwh: list[float], end: list[int], chance: list[float] | None = None
) -> Need:
    return Need(np.array(end, dtype=int), np.array(energy_kwh), np.array(chance or [1.0] * day.n_session))


def remaining(day: DispatchProblem, state: FleetState, need: Need, **changed: object) -> Remaining:
    given = {
        "unserved_gbp_per_kwh": np.full(day.n_session, 2.0),
        "tariff": np.zeros(day.n_session, dtype=int),
        "told_a": np.zeros((day.n_session, day.n_period), dtype=np.int16),
        "fallback_kw": np.zeros(day.n_session),
        "least_chance": 0.1,
    }
    return remaining_problem(day, fleet_of(day), state=state, need=need, **(given | changed))


class TestRemainingProblem:
    DAY = make_problem(Ev(5.0, start=1, end=3), Ev(9.0, start=0, end=4), prices=(0.1, 0.2, 0.3, 0.4), limit_kw=10.0)

    def test_begins_now(self):
        found = remaining(
            self.DAY,
            state_of(self.DAY, now=1, presence=[PLUGGED_IN, AWAITED]),
            need_of(self.DAY, energy_kwh=[4.0, 0.0], end=[4, 4]),
        ).problem
        assert found.n_period == 3
        assert found.price_gbp_per_kwh.tolist() == [[0.2, 0.3, 0.4]]

    def test_plans_an_ev_that_is_there_for_what_it_still_needs(self):
        state = state_of(self.DAY, now=1, presence=[PLUGGED_IN, LEFT])
        found = remaining(self.DAY, state, need_of(self.DAY, energy_kwh=[4.0, 0.0], end=[4, 4]))
        assert found.evse.tolist() == [0]
        assert found.problem.session_energy_kwh.tolist() == [4.0]
        assert (found.problem.session_start[0], found.problem.session_end[0]) == (0, 3)

    def test_lets_an_awaited_one_begin_with_the_next_period(self):
        """One that comes within this period waits, so what it may get now can go to others."""
        state = state_of(self.DAY, now=1, presence=[LEFT, AWAITED])
        found = remaining(self.DAY, state, need_of(self.DAY, energy_kwh=[0.0, 0.0], end=[4, 4]))
        assert found.evse.tolist() == [1]
        assert (found.problem.session_start[0], found.problem.session_end[0]) == (1, 3)
        assert found.problem.session_energy_kwh.tolist() == [9.0]

    def test_waits_for_nobody_who_is_unlikely_or_late(self):
        state = state_of(self.DAY, now=2, presence=[AWAITED, AWAITED])
        need = need_of(self.DAY, energy_kwh=[0.0, 0.0], end=[4, 4], chance=[1.0, 0.05])
        assert remaining(self.DAY, state, need).problem.n_session == 0  # the first's window ends with this period

    def test_takes_an_overridden_ev_off_the_limits_until_it_leaves(self):
        state = state_of(self.DAY, now=1, presence=[PLUGGED_IN, LEFT], is_overridden=[True, False])
        found = remaining(self.DAY, state, need_of(self.DAY, energy_kwh=[4.0, 0.0], end=[3, 4]))
        assert found.problem.n_session == 0
        assert found.problem.node_limit_kw.tolist() == [[3.0, 3.0, 10.0]]

    def test_holds_an_offline_evse_at_what_it_heard_last(self):
        state = state_of(self.DAY, now=1, presence=[PLUGGED_IN, LEFT], is_offline=[True, False])
        told_a = np.array([[32, 20, 10, 0], [0, 0, 0, 0]], dtype=np.int16)
        need = need_of(self.DAY, energy_kwh=[4.0, 0.0], end=[3, 4])
        found = remaining(self.DAY, state, need, told_a=told_a, fallback_kw=np.array([1.5, 0.0]))
        np.testing.assert_allclose(found.held_kw, [[4.6, 2.3, 1.5], [0, 0, 0]])
        np.testing.assert_allclose(found.problem.node_limit_kw, [[5.4, 7.7, 8.5]])

    def test_holds_an_offline_evse_whether_an_ev_was_seen_there_or_not(self):
        state = state_of(self.DAY, now=1, presence=[AWAITED, LEFT], is_offline=[True, True])
        need = need_of(self.DAY, energy_kwh=[0.0, 0.0], end=[4, 4])
        found = remaining(self.DAY, state, need, fallback_kw=np.array([2.0, 3.0]))
        np.testing.assert_allclose(found.problem.node_limit_kw, 5.0)

    def test_counts_those_who_do_not_listen_into_a_diversity_limit(self):
        """Of 14 kW connected half may be drawn; the one overridden draws all of it."""
        day = replace(self.DAY, node_limit_kw=np.full((1, 4), np.inf), node_diversity=np.array([0.5]))
        state = state_of(day, now=0, presence=[PLUGGED_IN, PLUGGED_IN], is_overridden=[True, False])
        found = remaining(day, state, need_of(day, energy_kwh=[5.0, 5.0], end=[4, 4]))
        np.testing.assert_allclose(found.problem.node_limit_kw, 0.0)

    def test_cuts_requests_to_what_is_left_less_what_does_not_listen(self):
        requests = (
            FlexRequest(0, 0, 1, TURN_DOWN, 9.0, 1.0),
            FlexRequest(0, 0, 3, TURN_DOWN, 9.0, 1.0),
            FlexRequest(0, 2, 4, TURN_UP, 9.0, 1.0),
        )
        day = replace(self.DAY, requests=requests)
        state = state_of(day, now=1, presence=[PLUGGED_IN, LEFT], is_overridden=[True, False])
        found = remaining(day, state, need_of(day, energy_kwh=[5.0, 0.0], end=[3, 4]))
        assert found.request.tolist() == [1, 2]
        assert [(one.start, one.end, one.target_kw) for one in found.problem.requests] == [(0, 2, 2.0), (1, 3, 9.0)]

    @pytest.mark.parametrize("now", [4, 9])
    def test_refuses_a_day_that_is_over(self, now):
        state = state_of(self.DAY, now=now, presence=[AWAITED, AWAITED])
        with pytest.raises(InvalidHorizon, match="4"):
            remaining(self.DAY, state, need_of(self.DAY, energy_kwh=[0.0, 0.0], end=[4, 4]))

    @given(day=dispatch_problems(), data=st.data())
    def test_leaves_room_for_all_who_do_not_listen(self, day, data):
        """A plan for the rest and what the others draw keep every limit that the others alone do not break."""
        n, now = day.n_session, data.draw(st.integers(0, day.n_period - 1))
        presence = data.draw(st.lists(st.sampled_from([AWAITED, PLUGGED_IN, LEFT]), min_size=n, max_size=n))
        flags = st.lists(st.booleans(), min_size=n, max_size=n)
        overridden = [flag and there == PLUGGED_IN for flag, there in zip(data.draw(flags), presence, strict=True)]
        state = state_of(day, now=now, presence=presence, is_overridden=overridden, is_offline=data.draw(flags))
        need = need_of(day, energy_kwh=[3.0] * n, end=[min(now + 2, day.n_period)] * n)
        found = remaining(day, state, need, fallback_kw=np.full(n, 1.0))
        plan = solve(found.problem, method="greedy")
        listeners_kw = plan.setpoint_a * ampere_kw(found.problem)[:, np.newaxis]
        rest = replace(
            fleet_of(day),
            node_limit_kw=day.node_limit_kw[:, now:],
            session_end=np.full(n, day.n_period - now),
            price_gbp_per_kwh=day.price_gbp_per_kwh[:, now:],
        )
        all_kw = found.held_kw.copy()
        all_kw[found.evse] += listeners_kw
        held = add_up(rest, found.held_kw)
        check_nodes(replace(rest, node_limit_kw=np.maximum(rest.node_limit_kw, held)), all_kw)


class TestShiftPlan:
    OLD = make_problem(Ev(6.0), Ev(4.0, start=1), prices=(0.1, 0.2, 0.3), limit_kw=8.0)

    def plan(self) -> DispatchPlan:
        found = solve(self.OLD, method="greedy")
        price = np.array([[0.5, 0.25, 0.125]])
        return replace(found, power_kw=np.array([[1, 2, 3], [0, 4, 0]], np.float32), node_price_gbp_per_kwh=price)

    def test_moves_power_and_prices_along(self):
        new = make_problem(Ev(6.0), Ev(4.0), prices=(0.2, 0.3), limit_kw=8.0)
        found = shift_plan(self.plan(), self.OLD, new, n_gone=1)
        assert found.power_kw.tolist() == [[2, 3], [4, 0]]
        assert found.node_price_gbp_per_kwh.tolist() == [[0.25, 0.125]]

    def test_matches_sessions_by_id_and_starts_others_at_nothing(self):
        new = make_problem(Ev(9.0), Ev(9.0), prices=(0.2, 0.3, 0.4))
        new = replace(new, session_ids=np.array(["ev-1", "stranger"]))
        assert shift_plan(self.plan(), self.OLD, new, n_gone=1).power_kw.tolist() == [[4, 0, 0], [0, 0, 0]]

    def test_cuts_what_no_longer_fits_the_session(self):
        new = make_problem(Ev(2.5), Ev(4.0, end=1, max_kw=3.0), prices=(0.2, 0.3))
        assert shift_plan(self.plan(), self.OLD, new, n_gone=1).power_kw.tolist() == [[2, 0.5], [3, 0]]

    def test_claims_no_proof(self):
        found = shift_plan(self.plan(), self.OLD, self.OLD, n_gone=0)
        assert (found.gap, found.max_violation_kw, found.rung) == (np.inf, np.inf, "last-plan")

    def test_is_a_start_for_every_solver(self):
        new = make_problem(Ev(6.0), prices=(0.2, 0.3), limit_kw=8.0)
        start = shift_plan(self.plan(), self.OLD, new, n_gone=1)
        for method in ("greedy", "reference"):
            assert solve(new, method=method, start=start).max_violation_kw <= 1e-6

    @pytest.mark.parametrize("n_gone", [-1, 3])
    def test_refuses_a_shift_off_the_plan(self, n_gone):
        with pytest.raises(InvalidHorizon, match="3 periods"):
            shift_plan(self.plan(), self.OLD, self.OLD, n_gone=n_gone)

    def test_refuses_steps_of_another_length(self):
        with pytest.raises(InvalidHorizon, match=r"0\.5 h"):
            shift_plan(self.plan(), self.OLD, replace(self.OLD, step_h=0.5), n_gone=0)
