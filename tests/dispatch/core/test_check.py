from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dispatch.core.check import CheckFailed, add_up, check_nodes, check_power, check_setpoints
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw, caps_kw
from tests.strategies import dispatch_problems

# Two EVs, 10 kWh each, on a feeder of 10 kW below a substation of 12 kW.
PROBLEM = make_problem(Ev(10.0), Ev(10.0), parents=(-1, 0), limit_kw=[[12.0, 12.0], [10.0, 10.0]])
GOOD = np.array([[5.0, 5.0], [5.0, 5.0]])
NONE_LEFT = np.zeros(2)


class TestCheckPower:
    def test_passes_a_plan_that_uses_everything_it_may(self):
        assert check_power(PROBLEM, GOOD, NONE_LEFT) == 0.0

    def test_reports_a_violation_within_tolerance(self):
        slightly = GOOD + np.array([[4e-7, 0.0], [0.0, 0.0]])
        assert check_power(PROBLEM, slightly, NONE_LEFT) == pytest.approx(4e-7)

    def test_refuses_one_kilowatt_too_many_by_node_period_and_excess(self):
        with pytest.raises(CheckFailed) as caught:
            check_power(PROBLEM, GOOD + np.array([[-1.0, 1.0], [0.0, 0.0]]), NONE_LEFT)
        assert caught.value.code == "dispatch.check_failed"
        assert caught.value.details == {"node": "node-1", "period": 1, "excess_kw": pytest.approx(1.0)}

    @pytest.mark.parametrize(
        ("power", "unserved", "what"),
        [
            ([[8.0, 0.0], [0.0, 0.0]], [2.0, 10.0], "range"),
            ([[-1.0, 0.0], [0.0, 0.0]], [11.0, 10.0], "range"),
            ([[6.0, 5.0], [0.0, 0.0]], [0.0, 10.0], "more energy"),
            ([[5.0, 4.0], [5.0, 5.0]], [0.0, 0.0], "do not make"),
            ([[5.0, np.nan], [5.0, 5.0]], [0.0, 0.0], "finite"),
            ([[5.0, 5.0]], [0.0], "shape"),
        ],
    )
    def test_refuses_power_or_energy_that_is_not_the_sessions(self, power, unserved, what):
        with pytest.raises(CheckFailed, match=what):
            check_power(PROBLEM, np.array(power), np.array(unserved))

    def test_refuses_power_before_plug_in(self):
        problem = make_problem(Ev(3.0, start=1))
        with pytest.raises(CheckFailed, match="while connected"):
            check_power(problem, np.array([[3.0, 0.0]]), np.zeros(1))

    def test_refuses_more_than_the_share_of_connected_ratings(self):
        problem = make_problem(Ev(7.0), Ev(7.0, start=1), node_diversity=np.array([0.5]))
        check_nodes(problem, np.array([[3.5, 7.0], [0.0, 0.0]]))
        with pytest.raises(CheckFailed, match="diversity limit in period 0"):
            check_nodes(problem, np.array([[4.0, 0.0], [0.0, 0.0]]))

    def test_refuses_any_power_where_the_limit_is_below_zero(self):
        with pytest.raises(CheckFailed, match="limit"):
            check_nodes(make_problem(Ev(7.0), limit_kw=-5.0), np.array([[0.1, 0.0]]))

    def test_refuses_what_fits_the_feeder_but_not_one_phase(self):
        tree = {"parents": (-1, 0, 0, 0), "node_is_phase": np.array([False, True, True, True])}
        problem = make_problem(Ev(9.0, node=0), limit_kw=[[20.0], [3.0], [3.0], [3.0]], prices=(0.1,), **tree)
        with pytest.raises(CheckFailed, match="node-1"):
            check_nodes(problem, np.array([[4.0]]))

    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems(), data=st.data())
    def test_finds_the_one_node_and_period_that_is_over(self, problem, data):
        power_kw = np.random.default_rng(3).uniform(0.1, 7, (problem.n_session, problem.n_period))
        load_kw = added_up_kw(problem, power_kw)
        node, period = data.draw(st.integers(0, problem.n_node - 1)), data.draw(st.integers(0, problem.n_period - 1))
        limit_kw = np.full_like(load_kw, np.inf)
        assume(load_kw[node, period] > 0)
        limit_kw[node, period] = load_kw[node, period]
        roomy = replace(problem, node_limit_kw=limit_kw, node_diversity=np.ones(problem.n_node))
        assert check_nodes(roomy, power_kw) <= 1e-9
        with pytest.raises(CheckFailed) as caught:
            check_nodes(replace(roomy, node_limit_kw=limit_kw - 2e-6), power_kw)
        assert (caught.value.details["node"], caught.value.details["period"]) == (f"node-{node}", period)

    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("period", [0, 1, 2])
    def test_refuses_what_is_not_a_number_before_within_and_after_the_window(self, kind, bad, period):
        problem = make_problem(Ev(3.0, start=1, end=2), prices=(0.1, 0.1, 0.1))
        power = np.zeros((1, 3), dtype=kind)
        power[0, period] = bad
        with pytest.raises(CheckFailed):
            check_power(problem, power, np.array([3.0]))
        with pytest.raises(CheckFailed):
            check_nodes(problem, power)

    def test_adds_stored_float32_up_in_float64(self):
        # 20,000 times float32's 0.1 is 2000.0000298; added up in float32 it would stray by more than a watt.
        evs = [Ev(1.0, node=0)] * 20_000
        problem = make_problem(*evs, prices=(0.1,), limit_kw=20_000 * float(np.float32(0.1)))
        assert check_nodes(problem, np.full((20_000, 1), 0.1, dtype=np.float32)) <= 1e-9

    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems(), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.0, 0.05, 1.0]))
    def test_refuses_what_breaks_a_cap_and_nothing_else(self, problem, seed, scale):
        power = scale * np.random.default_rng(seed).uniform(0, 7, (problem.n_session, problem.n_period))
        over_kw = (added_up_kw(problem, power) - caps_kw(problem)).max()
        assume(not 0.9e-6 < over_kw < 1.1e-6)
        if over_kw <= 1e-6:
            assert check_nodes(problem, power) == pytest.approx(max(over_kw, 0.0), abs=1e-9)
        else:
            with pytest.raises(CheckFailed):
                check_nodes(problem, power)


class TestCheckSetpoints:
    # 0.23 kV: 6 A are 1.38 kW, 30 A are 6.9 kW.
    def test_passes_whole_amperes_within_limits(self):
        assert check_setpoints(PROBLEM, np.array([[21, 21], [22, 22]], dtype=np.int16)) == 0.0

    @pytest.mark.parametrize(
        ("amperes", "what"),
        [
            ([[5, 0], [0, 0]], "minimum"),
            ([[-6, 0], [0, 0]], "minimum"),
            ([[31, 0], [0, 0]], "range"),
            ([[22, 0], [22, 0]], "node-1"),
        ],
    )
    def test_refuses_what_a_device_or_a_feeder_cannot_do(self, amperes, what):
        with pytest.raises(CheckFailed, match=what):
            check_setpoints(PROBLEM, np.array(amperes, dtype=np.int16))

    def test_lets_one_period_be_rounded_up_and_no_more(self):
        problem = make_problem(Ev(2.0), prices=(0.1, 0.1, 0.1))
        check_setpoints(problem, np.array([[6, 6, 0]], dtype=np.int16))  # 1.38 + 1.38 kWh for 2
        with pytest.raises(CheckFailed, match="more than its energy"):
            check_setpoints(problem, np.array([[6, 6, 6]], dtype=np.int16))

    def test_refuses_amperes_of_another_type_than_devices_are_told(self):
        with pytest.raises(CheckFailed, match="int16"):
            check_setpoints(PROBLEM, np.full((2, 2), 70_000))

    def test_heeds_diversity(self):
        problem = make_problem(Ev(7.0, max_kw=6.9), Ev(7.0, max_kw=6.9), node_diversity=np.array([0.5]))
        check_setpoints(problem, np.array([[30, 0], [0, 30]], dtype=np.int16))
        with pytest.raises(CheckFailed, match="diversity limit in period 1"):
            check_setpoints(problem, np.array([[0, 6], [0, 30]], dtype=np.int16))


class TestAddUp:
    @settings(max_examples=60, deadline=None)
    @given(problem=dispatch_problems())
    def test_agrees_with_a_walk_over_sessions_and_nodes(self, problem):
        power_kw = np.random.default_rng(2).uniform(0, 7, (problem.n_session, problem.n_period))
        np.testing.assert_allclose(add_up(problem, power_kw), added_up_kw(problem, power_kw), atol=1e-9)
