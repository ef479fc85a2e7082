"""Held against an independent LP: scipy's, written out here from the words of ``find_cause`` and not from its code."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dispatch.core.cause import NEAR_KWH, find_cause
from dispatch.core.check import add_up
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, FlexRequest
from dispatch.core.solve import solve
from tests.dispatch.core.problems import Ev, make_problem
from tests.strategies import dispatch_problems


def cause_of(problem, session=0, **more):
    power_kw = solve(problem, method="reference", time_limit_s=float("inf")).power_kw.astype(float)
    return find_cause(problem, Network.of(problem), session=session, power_kw=power_kw, **more)


def named(cause):
    return [(one.kind, one.node, one.start, one.end) for one in cause.elements]


class TestFindCause:
    def test_names_a_feeder_too_small_for_the_session_alone(self):
        problem = make_problem(Ev(20.0), prices=(0.1,) * 4, parents=(-1, 0), limit_kw=[[50.0] * 4, [3.0] * 4])
        cause = cause_of(problem)

        assert cause.verdict == "limits"
        assert cause.is_reduced
        assert named(cause) == [("limit", 1, 0, 4)]
        assert cause.most_kwh == pytest.approx(12.0)

    def test_names_substation_in_the_evening_and_feeder_at_night_where_both_are_needed(self):
        limit_kw = [[2.0, 2.0, 50.0, 50.0], [20.0, 20.0, 3.0, 3.0]]
        problem = make_problem(Ev(14.0), prices=(0.1,) * 4, parents=(-1, 0), limit_kw=limit_kw)

        assert named(cause_of(problem)) == [("limit", 0, 0, 2), ("limit", 1, 2, 4)]

    def test_names_no_limit_for_a_window_too_short(self):
        cause = cause_of(make_problem(Ev(50.0), prices=(0.1, 0.1)))

        assert (cause.verdict, cause.elements) == ("served", ())

    def test_names_the_equals_that_share_a_limit_large_enough_for_one(self):
        problem = make_problem(Ev(8.0), Ev(8.0), Ev(8.0), prices=(0.1, 0.1), limit_kw=7.0)
        short = int(np.argmax(solve(problem, method="reference").unserved_kwh))
        cause = cause_of(problem, short)

        assert named(cause) == [("limit", 0, 0, 2), ("equals", -1, 0, 2)]
        assert cause.elements[1].sessions == tuple(i for i in range(3) if i != short)

    def test_names_those_worth_more_apart_and_those_worth_less_not_at_all(self):
        dear, cheap = Ev(14.0, unserved=4.0), Ev(14.0, unserved=0.5)
        cause = cause_of(make_problem(Ev(14.0), dear, cheap, prices=(0.1, 0.1), limit_kw=7.0))

        assert named(cause) == [("limit", 0, 0, 2), ("betters", -1, 0, 2)]

    def test_names_a_turn_down_worth_more_than_the_energy(self):
        down = FlexRequest(node=0, start=0, end=2, direction=TURN_DOWN, target_kw=2.0, shortfall_gbp_per_kwh=5.0)
        cause = cause_of(make_problem(Ev(14.0), prices=(0.1, 0.1), requests=(down,)))

        assert named(cause) == [("turn_down", 0, 0, 2)]

    def test_names_a_tariff_above_what_the_energy_is_worth(self):
        cause = cause_of(make_problem(Ev(10.0, unserved=0.2), prices=(0.1, 0.5, 0.5)))

        assert named(cause) == [("tariff", -1, 1, 3)]

    def test_says_that_nothing_forces_what_a_ramp_price_took(self):
        problem = make_problem(
            Ev(14.0, unserved=0.5), prices=(0.1, 0.1, 0.1), node_ramp_kw=np.array([0.0]), ramp_gbp_per_kwh=5.0
        )
        plan_of_nothing = np.zeros((1, 3))
        cause = find_cause(problem, Network.of(problem), session=0, power_kw=plan_of_nothing)

        assert (cause.verdict, cause.elements) == ("not_forced", ())

    def test_names_a_limit_below_the_least_current_that_the_continuous_plan_could_use(self):
        problem = make_problem(Ev(4.0), prices=(0.1,) * 4, parents=(-1, 0), limit_kw=[[50.0] * 4, [1.0] * 4])
        told_nothing = np.zeros((1, 4))
        found = [
            find_cause(problem, Network.of(problem), session=0, power_kw=told_nothing, least_kw=least_kw)
            for least_kw in (0.0, 1.38)
        ]

        assert found[0].verdict == "not_forced"
        assert named(found[1]) == [("limit", 1, 0, 4)]

    def test_says_when_it_ran_out_of_time(self):
        problem = make_problem(Ev(20.0), prices=(0.1,) * 4, parents=(-1, 0), limit_kw=[[50.0] * 4, [3.0] * 4])
        cause = cause_of(problem, is_late=lambda: True)

        assert not cause.is_reduced
        assert ("limit", 1, 0, 4) in named(cause)


def most_kwh(problem, power_kw, session, elements, least_kw=0.0):
    """What the session can have with only these in place, by scipy, dense and from scratch."""
    n_session, n_period = power_kw.shape
    worth, step_h = problem.session_unserved_gbp_per_kwh, problem.step_h
    served_kwh = step_h * power_kw.sum(axis=1)
    need_kwh = np.minimum(
        problem.session_energy_kwh, step_h * problem.session_max_kw * (problem.session_end - problem.session_start)
    )
    planned_kw = add_up(problem, power_kw)
    limit_kw = np.maximum(problem.node_limit_kw, 0.0)
    cap_kw = np.minimum(limit_kw, Network.of(problem).cap_kw)
    kinds = {element.kind for element in elements}
    unit = [add_up(problem, np.eye(n_session)[:, [i]])[:, 0] for i in range(n_session)]
    closed = {
        t
        for element in elements
        for t in range(element.start, element.end)
        if element.kind == "tariff"
        or (element.kind == "limit" and cap_kw[element.node, t] < unit[session][element.node] * least_kw - 1e-3)
    }
    bounds, rows, most = [], [], []
    for i in range(n_session):
        for t in range(n_period):
            here = problem.session_start[i] <= t < problem.session_end[i]
            shut = i == session and t in closed and power_kw[i, t] == 0
            bounds.append((0.0, problem.session_max_kw[i] if here and not shut else 0.0))
    for i in range(n_session):
        one = np.zeros((n_session, n_period))
        one[i] = step_h
        rows.append(one.ravel())
        most.append(max(need_kwh[i], served_kwh[i]))
        kind = "equals" if worth[i] == worth[session] else "betters" if worth[i] > worth[session] else ""
        if i != session and kind in kinds:
            rows.append(-one.ravel())
            most.append(-served_kwh[i])
    for element in elements:
        if element.node < 0:
            continue
        for t in range(element.start, element.end):
            load = np.zeros((n_session, n_period))
            load[:, t] = [unit[i][element.node] for i in range(n_session)]
            sign = -1.0 if element.kind == "turn_up" else 1.0
            if element.kind == "limit":
                kw = max(cap_kw[element.node, t], planned_kw[element.node, t])
            else:
                target_kw = problem.requests[element.request].target_kw
                pick = min if element.kind == "turn_up" else max
                kw = pick(target_kw, planned_kw[element.node, t])
            rows.append(sign * load.ravel())
            most.append(sign * kw)
    aim = np.zeros((n_session, n_period))
    aim[session] = -step_h
    answer = linprog(aim.ravel(), A_ub=np.array(rows), b_ub=np.array(most), bounds=bounds)
    assert answer.status == 0, answer.message
    return -answer.fun


class TestElements:
    @settings(max_examples=120, deadline=None)
    @given(dispatch_problems(), st.sampled_from([0.0, 0.0, 1.38]))
    def test_are_truly_infeasible_and_irreducible(self, problem, least_kw):
        plan = solve(problem, method="reference", time_limit_s=float("inf"))
        short = np.flatnonzero(plan.unserved_kwh > 1e-3)
        assume(len(short))
        power_kw, network = plan.power_kw.astype(float), Network.of(problem)
        for session in short.tolist():
            cause = find_cause(problem, network, session=session, power_kw=power_kw, least_kw=least_kw)
            wanted_kwh = network.serveable_kwh[session]
            assert cause.is_reduced
            if cause.verdict == "not_forced":
                continue
            assert cause.elements
            assert most_kwh(problem, power_kw, session, cause.elements, least_kw) < wanted_kwh - NEAR_KWH / 2
            for spared in cause.elements:
                rest = [one for one in cause.elements if one is not spared]
                assert most_kwh(problem, power_kw, session, rest, least_kw) >= wanted_kwh - 2 * NEAR_KWH, spared
