import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core.charges import Grid, path_of
from dispatch.core.explain import Coarseness, Reason, explain_session
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, FlexRequest
from dispatch.core.solve import solve
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems

NEAR = 1e-6


def explained(problem, session=0):
    plan = solve(problem, method="reference", time_limit_s=float("inf"))
    network = Network.of(problem)
    grid = Grid(plan.node_power_kw, plan.node_price_gbp_per_kwh)
    power_kw = plan.power_kw[session].astype(float)
    return explain_session(problem, network, session=session, power_kw=power_kw, grid=grid)


def reasons(problem, session=0):
    return [one.reason for one in explained(problem, session).periods]


class TestExplainSession:
    def test_charges_at_its_rating_when_it_is_cheapest_and_waits_till_then(self):
        problem = make_problem(Ev(10.0, start=1, end=4), prices=(0.1, 0.3, 0.05, 0.1, 0.1))
        found = explained(problem)

        assert [one.reason for one in found.periods] == [
            Reason.NOT_PLUGGED_IN,
            Reason.WAITS,
            Reason.AT_RATING,
            Reason.CHEAPEST,
            Reason.NOT_PLUGGED_IN,
        ]
        assert found.worth_gbp_per_kwh == pytest.approx(0.1)
        assert found.periods[1].until == 2

    def test_says_when_it_has_its_energy(self):
        assert reasons(make_problem(Ev(5.0), prices=(0.1, 0.3))) == [Reason.CHEAPEST, Reason.HAS_ITS_ENERGY]

    def test_names_the_limit_that_holds_it_down_and_its_price(self):
        problem = make_problem(Ev(7.0), prices=(0.1, 0.3), parents=(-1, 0), limit_kw=[[50.0, 50.0], [3.0, 50.0]])
        found = explained(problem)

        assert [one.reason for one in found.periods] == [Reason.HELD_BY_LIMIT, Reason.CHEAPEST]
        because = found.periods[0].because
        assert (because.kind, because.node) == ("limit", 1)
        assert because.gbp_per_kwh == pytest.approx(0.2)

    def test_names_the_turn_down_that_moves_it(self):
        down = FlexRequest(node=0, start=0, end=1, direction=TURN_DOWN, target_kw=2.0, shortfall_gbp_per_kwh=3.0)
        found = explained(make_problem(Ev(7.0), prices=(0.1, 0.3), requests=(down,)))

        assert found.periods[0].reason == Reason.HELD_BY_TURN_DOWN
        assert found.periods[0].because.gbp_per_kwh == pytest.approx(0.2)

    def test_keeps_it_for_a_turn_up_and_draws_there(self):
        up = FlexRequest(node=0, start=1, end=2, direction=TURN_UP, target_kw=7.0, shortfall_gbp_per_kwh=3.0)
        found = explained(make_problem(Ev(7.0), prices=(0.1, 0.3), requests=(up,)))

        assert [one.reason for one in found.periods] == [Reason.KEPT_FOR_TURN_UP, Reason.RAISED_BY_TURN_UP]
        assert found.periods[0].until == 1

    def test_says_that_a_ramp_holds_it(self):
        problem = make_problem(Ev(7.0), prices=(0.3, 0.1), node_ramp_kw=np.array([2.0]), ramp_gbp_per_kwh=5.0)
        found = explained(problem)

        assert found.periods[1].reason == Reason.HELD_BY_RAMP
        assert found.periods[0].reason == Reason.RAISED_BY_RAMP

    def test_says_where_energy_costs_more_than_it_is_worth(self):
        found = explained(make_problem(Ev(7.0, unserved=0.2), prices=(0.5, 0.3)))

        assert {one.reason for one in found.periods} == {Reason.DEARER_THAN_UNSERVED}
        assert found.worth_gbp_per_kwh == pytest.approx(0.2)

    def test_says_of_a_session_without_need_that_it_has_none(self):
        assert reasons(make_problem(Ev(0.0))) == [Reason.NO_NEED, Reason.NO_NEED]

    def test_says_of_a_rounded_plan_that_less_than_the_lowest_current_is_left(self):
        problem = make_problem(Ev(2.0), prices=(0.1, 0.1), limit_kw=1.0)  # 1 kW would do, and no car takes it
        told_nothing = np.zeros((1, 2))
        found = explain_session(
            problem,
            Network.of(problem),
            session=0,
            power_kw=told_nothing[0],
            grid=Grid(told_nothing, told_nothing),
            coarseness=Coarseness(0.002, 0.23, 1.38),
        )

        assert {one.reason for one in found.periods} == {Reason.NO_ROOM}
        assert found.periods[0].because.node == 0

    def test_looks_at_no_power_outside_the_window(self):
        problem = make_problem(Ev(2.0, start=1, end=2), prices=(0.1, 0.1, 0.1))
        nothing = np.zeros((1, 3))
        power_kw = np.array([2.0, 0.0, 0.0])
        grid = Grid(nothing, nothing)
        found = explain_session(problem, Network.of(problem), session=0, power_kw=power_kw, grid=grid)

        assert found.worth_gbp_per_kwh == pytest.approx(2.0)

    def test_sees_all_three_phases_of_a_three_phase_session(self):
        problem = make_problem(
            Ev(9.0, max_kw=9.0, node=0, phases=3),
            prices=(0.1, 0.3),
            parents=(-1, 0, 0, 0),
            limit_kw=[[50.0, 50.0], [1.0, 50.0], [50.0, 50.0], [50.0, 50.0]],
            node_is_phase=np.array([False, True, True, True]),
        )
        because = explained(problem).periods[0].because

        assert (because.kind, because.node) == ("limit", 1)
        assert because.gbp_per_kwh == pytest.approx(0.2)  # 0.6 at the phase, of which it loads a third


class TestReasons:
    """On plans proved optimal, every reason agrees with complementary slackness."""

    @settings(max_examples=150, deadline=None)
    @given(dispatch_problems())
    def test_agree_with_the_prices_of_the_plan(self, problem):
        plan = solve(problem, method="reference", gap=1e-6, time_limit_s=float("inf"))
        network = Network.of(problem)
        grid = Grid(plan.node_power_kw, plan.node_price_gbp_per_kwh)
        for session in range(problem.n_session):
            power_kw = plan.power_kw[session].astype(float)
            found = explain_session(problem, network, session=session, power_kw=power_kw, grid=grid)
            nodes, shares = path_of(network, session)
            limits = shares @ plan.node_price_gbp_per_kwh[nodes]
            for one in found.periods:
                self.check_charges(problem, plan, one, limits[one.period])
                self.check_reason(problem, session, found.worth_gbp_per_kwh, one)

    def check_charges(self, problem, plan, one, limits):
        tariffs = problem.price_gbp_per_kwh[:, one.period]
        assert one.tariff_gbp_per_kwh in tariffs
        assert one.total_gbp_per_kwh == pytest.approx(
            one.tariff_gbp_per_kwh + sum(charge.gbp_per_kwh for charge in one.charges), abs=NEAR
        )
        told = sum(charge.gbp_per_kwh for charge in one.charges if charge.kind == "limit")
        assert told == pytest.approx(limits, abs=NEAR)
        for charge in one.charges:
            if charge.request < 0:
                continue
            request = problem.requests[charge.request]
            load_kw = plan.node_power_kw[request.node, one.period]
            assert request.start <= one.period < request.end
            assert -request.direction * charge.gbp_per_kwh >= 0
            assert abs(charge.gbp_per_kwh) <= request.shortfall_gbp_per_kwh + NEAR
            assert request.direction * (request.target_kw - load_kw) >= -2e-3  # none where there is room

    def check_reason(self, problem, session, worth, one):
        max_kw = problem.session_max_kw[session]
        over = one.total_gbp_per_kwh - worth
        is_idle, is_full = one.power_kw <= 1e-4, one.power_kw >= max_kw - 1e-4
        agrees = {
            Reason.NOT_PLUGGED_IN: is_idle,
            Reason.NO_NEED: is_idle,
            Reason.CHEAPEST: not is_idle and not is_full and abs(over) <= NEAR,
            Reason.AT_RATING: is_full and over <= NEAR,
            Reason.WAITS: is_idle and over > 0,
            Reason.HAS_ITS_ENERGY: is_idle and over > 0,
            Reason.AS_CHEAP_ELSEWHERE: is_idle and abs(over) <= NEAR,
            Reason.DEARER_THAN_UNSERVED: is_idle
            and one.tariff_gbp_per_kwh >= problem.session_unserved_gbp_per_kwh[session] - NEAR,
            Reason.KEPT_FOR_TURN_UP: is_idle and over >= -NEAR,
        }
        if one.reason in agrees:
            assert agrees[one.reason], (one, worth)
        elif one.reason.startswith("held"):
            assert one.because.gbp_per_kwh > 0
            assert not is_full
            assert over >= -NEAR
        elif one.reason.startswith("raised"):
            assert one.because.gbp_per_kwh < 0
            assert not is_idle
            assert over <= NEAR
        else:
            raise AssertionError(f"an optimal plan leaves nothing unexplained: {one} against {worth}")
