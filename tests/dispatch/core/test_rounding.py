import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings

from dispatch.core.check import check_setpoints
from dispatch.core.costs import price_plan
from dispatch.core.network import Network
from dispatch.core.problem import TURN_UP, FlexRequest
from dispatch.core.rounding import ampere_kw, least_a, most_a, round_plan
from dispatch.core.scenario import drawn_power_kw
from dispatch.core.solve import solve
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.problems import Ev, make_problem
from tests.dispatch.core.second_opinion import added_up_kw, caps_kw
from tests.strategies import dispatch_problems


def rounded(problem, power_kw):
    return round_plan(problem, Network.of(problem), np.asarray(power_kw, dtype=np.float32))


class TestDeviceLimits:
    @pytest.mark.parametrize(
        ("min_kw", "phases", "amperes"),
        [
            (0.0, 1, 6),  # never under 6 A
            (1.38, 1, 6),  # 6 A exactly, whatever float64 makes of 1.38 / 0.23
            (1.39, 1, 7),
            (4.14, 3, 6),  # 6 A on three phases
            (4.15, 3, 7),
            (2.3, 1, 10),
        ],
    )
    def test_takes_the_devices_floor_up_to_a_whole_ampere(self, min_kw, phases, amperes):
        assert least_a(make_problem(Ev(1.0, min_kw=min_kw, phases=phases))).tolist() == [amperes]

    @pytest.mark.parametrize(
        ("max_kw", "phases", "amperes"),
        [
            (7.36, 1, 32),
            (7.35, 1, 31),
            (7.4, 1, 32),
            (22.08, 3, 32),
            (1.38, 1, 6),
            (1.2, 1, 0),  # under the minimum: no current it would accept
            (1e9, 1, 32_767),
        ],
    )
    def test_takes_the_rating_down_to_a_whole_ampere(self, max_kw, phases, amperes):
        assert most_a(make_problem(Ev(1.0, max_kw=max_kw, phases=phases))).tolist() == [amperes]


class TestRoundPlan:
    def test_keeps_whole_amperes_as_they_are(self):
        result = rounded(make_problem(Ev(7.36 + 2.3, max_kw=7.36)), [[7.36, 2.3]])
        assert result.setpoint_a.tolist() == [[32, 10]]
        assert result.unserved_kwh == pytest.approx([0.0], abs=1e-9)

    def test_rounds_one_period_up_to_complete_the_energy(self):
        # 5 kWh in one hour are 21.7 A: a ceiling of 22 A, and the EV stops after 5 kWh.
        result = rounded(make_problem(Ev(5.0, end=1)), [[5.0, 0.0]])
        assert result.setpoint_a.tolist() == [[22, 0]]
        assert result.unserved_kwh == pytest.approx([0.0])
        assert result.costs.energy_gbp == pytest.approx(0.5)

    def test_rounds_down_where_the_limit_leaves_no_room(self):
        # 5 kW hold 21 A = 4.83 kW; 0.17 kWh stay behind.
        result = rounded(make_problem(Ev(5.0, end=1), limit_kw=5.0), [[5.0, 0.0]])
        assert result.setpoint_a.tolist() == [[21, 0]]
        assert result.unserved_kwh == pytest.approx([0.17])

    def test_lets_the_one_with_least_slack_charge_where_all_would_be_under_the_minimum(self):
        # Two EVs share 2 kW at 1 kW each: neither reaches 6 A = 1.38 kW. ev-1 leaves sooner, so it gets 8 A = 1.84 kW.
        problem = make_problem(Ev(2.0), Ev(2.0, end=1), limit_kw=[[2.0, 0.0]])
        assert rounded(problem, [[1.0, 0.0], [1.0, 0.0]]).setpoint_a.tolist() == [[0, 0], [8, 0]]

    def test_breaks_a_tie_in_the_fleets_own_order(self):
        problem = make_problem(Ev(1.0, end=1), Ev(1.0, end=1), limit_kw=[[1.5, 0.0]])
        assert rounded(problem, [[0.7, 0.0], [0.7, 0.0]]).setpoint_a.tolist() == [[6, 0], [0, 0]]

    def test_leaves_a_device_alone_that_has_no_current_it_would_accept(self):
        result = rounded(make_problem(Ev(2.0, max_kw=1.0)), [[1.0, 1.0]])
        assert result.setpoint_a.tolist() == [[0, 0]]
        assert result.unserved_kwh == pytest.approx([2.0])

    def test_counts_three_phases_in_amperes_per_phase(self):
        assert rounded(make_problem(Ev(11.04, max_kw=11.04, phases=3)), [[11.04, 0.0]]).setpoint_a.tolist() == [[16, 0]]

    def test_goes_back_first_to_where_a_request_waits(self):
        # 3 kW asked in the dear hour; 1.2 kW there is under 6 A, but the request pays more than it costs to keep it.
        asked = FlexRequest(0, 1, 2, TURN_UP, 1.2, 3.0)
        result = rounded(make_problem(Ev(5.0), requests=(asked,)), [[3.8, 1.2]])
        assert result.setpoint_a[0, 1] == 6
        assert result.costs.shortfall_gbp == pytest.approx(0.0)

    def test_does_not_buy_energy_dearer_than_leaving_it(self):
        result = rounded(make_problem(Ev(3.0, unserved=0.2), prices=(0.3, 0.1), limit_kw=[[9.0, 1.4]]), [[0.0, 1.4]])
        assert result.setpoint_a.tolist() == [[0, 6]]

    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems())
    def test_keeps_every_hard_limit_with_all_evs_at_their_ceiling(self, problem):
        plan = solve(problem, method="greedy")
        amperes = plan.setpoint_a.astype(int)
        ceiling_kw = amperes * 0.23 * problem.session_phases[:, np.newaxis]
        assert (added_up_kw(problem, ceiling_kw) <= caps_kw(problem) + 1e-6).all()
        assert (ceiling_kw <= problem.session_max_kw[:, np.newaxis] + 1e-6).all()
        assert ((amperes == 0) | (amperes >= least_a(problem)[:, np.newaxis])).all()
        served_kwh = problem.step_h * drawn_power_kw(problem, ceiling_kw).sum(axis=1)
        serveable_kwh = problem.session_energy_kwh - plan.unserveable_kwh
        np.testing.assert_allclose(served_kwh + plan.rounded_unserved_kwh, serveable_kwh, atol=1e-9)

    @pytest.mark.parametrize("limit_kw", [1.5, 2.0, 2.8, 3.1, 4.2])
    def test_serves_what_the_best_of_all_roundings_serves(self, limit_kw):
        # Every pair of EVs, two hours, every current from 0 and 6 to 9 A: brute force.
        problem = make_problem(Ev(2.0, max_kw=2.1), Ev(1.6, max_kw=2.1), prices=(0.1, 0.1), limit_kw=limit_kw)
        network = Network.of(problem)
        best = math.inf
        for currents in itertools.product((0, 6, 7, 8, 9), repeat=4):
            ceiling_kw = np.array(currents).reshape(2, 2) * 0.23
            if (ceiling_kw.sum(axis=0) <= limit_kw).all():
                best = min(best, price_plan(problem, network, drawn_power_kw(problem, ceiling_kw)).total_gbp)
        plan = solve(problem, method="reference", time_limit_s=math.inf)
        found = plan.cost_gbp + plan.rounding_cost_gbp
        assert found >= best - 1e-9
        # Giving back is greedy: it may lose at most one minimum current's hour to the best there is.
        assert found <= best + 2.0 * 1.38
        assert check_setpoints(problem, plan.setpoint_a) <= 1e-6

    def test_stops_safely_when_time_is_up(self):
        problem = national_fleet(Shape(n_session=200))
        network = Network.of(problem)
        power_kw = solve(problem, method="greedy").power_kw
        floored = round_plan(problem, network, power_kw, is_late=lambda: True)
        amperes = np.floor(power_kw / ampere_kw(problem)[:, np.newaxis])
        assert (floored.setpoint_a <= amperes).all()
        assert (amperes - floored.setpoint_a < 6).all()
        assert check_setpoints(problem, floored.setpoint_a) <= 1e-6

    @settings(max_examples=100, deadline=None)
    @given(problem=dispatch_problems())
    def test_prices_what_evs_draw_under_their_ceilings(self, problem):
        network = Network.of(problem)
        found = round_plan(problem, network, solve(problem, method="greedy").power_kw)
        ceiling_kw = found.setpoint_a * ampere_kw(problem)[:, np.newaxis]
        priced = price_plan(problem, network, drawn_power_kw(problem, ceiling_kw))
        for term in ("energy_gbp", "unserved_gbp", "shortfall_gbp", "ramp_gbp"):
            assert getattr(found.costs, term) == pytest.approx(getattr(priced, term), abs=1e-9)
        np.testing.assert_allclose(found.costs.node_power_kw, priced.node_power_kw, atol=1e-9)
        np.testing.assert_allclose(found.costs.shortfall_kw, priced.shortfall_kw, atol=1e-9)
        np.testing.assert_array_equal(found.costs.unserved_kwh, found.unserved_kwh)


class TestSwaps:
    def test_let_another_step_aside_where_an_ampere_is_missed(self):
        # Hourly; 12 A, then 13 A of room. ev-0 has its 6 A in each hour; ev-1, gone after the first, misses one of 7 A.
        # ev-0 moves no ampere away from 6 A, so it charges 7 A in the first hour here and 6 A in the second.
        kw = 0.23
        problem = make_problem(Ev(13 * kw), Ev(7 * kw, end=1), prices=(0.1, 0.1), limit_kw=[[13.5 * kw, 13.5 * kw]])
        result = rounded(problem, [[7.2 * kw, 5.8 * kw], [6.3 * kw, 0.0]])
        assert result.setpoint_a.tolist() == [[6, 7], [7, 0]]
        assert result.unserved_kwh == pytest.approx([0.0, 0.0], abs=1e-9)

    def test_open_a_period_too_small_for_the_minimum_alone(self):
        # 4 A are free in the second hour, where ev-0 charges at its most; two of them move back so that 6 A fit.
        kw = 0.23
        problem = make_problem(
            Ev(26 * kw, max_kw=16 * kw), Ev(6 * kw, start=1), prices=(0.1, 0.1), limit_kw=[[14.0 * kw, 20.1 * kw]]
        )
        result = rounded(problem, [[10 * kw, 16 * kw], [0.0, 4.1 * kw]])
        assert result.setpoint_a.tolist() == [[12, 14], [0, 6]]
        assert result.unserved_kwh == pytest.approx([0.0, 0.0], abs=1e-9)

    def test_leave_all_as_it_was_where_no_chain_makes_enough_room(self):
        kw = 0.23
        problem = make_problem(
            Ev(26 * kw, max_kw=16 * kw), Ev(6 * kw, start=1), prices=(0.1, 0.1), limit_kw=[[11.0 * kw, 20.1 * kw]]
        )
        result = rounded(problem, [[10 * kw, 16 * kw], [0.0, 4.1 * kw]])
        assert result.setpoint_a.tolist() == [[10, 16], [0, 0]]

    def test_cost_no_more_than_leaving_the_energy(self):
        kw = 0.23
        problem = make_problem(
            Ev(26 * kw, max_kw=16 * kw, unserved=9.0),
            Ev(6 * kw, start=1, unserved=0.3),
            prices=(0.9, 0.1),
            limit_kw=[[14.0 * kw, 20.1 * kw]],
        )
        # Two amperes at 0.9 instead of 0.1 and six at 0.1 cost more than six times 0.3.
        result = rounded(problem, [[10 * kw, 16 * kw], [0.0, 4.1 * kw]])
        assert result.setpoint_a.tolist() == [[10, 16], [0, 0]]


class TestGeneratedFleet:
    """500 sessions on a national tree: what rounding costs, at worst."""

    @pytest.mark.parametrize(
        ("shape", "most_lost", "most_change", "most_cost"),
        [
            (Shape(n_session=500), 0.0005, 0.003, 0.003),
            (Shape(n_session=500, seed=2), 0.0005, 0.003, 0.003),
            (Shape(n_session=500, phases=True, requests=True, ramps=True), 0.0005, 0.012, 0.006),
        ],
    )
    def test_loses_little_energy_and_costs_little(self, shape, most_lost, most_change, most_cost):
        problem = national_fleet(shape)
        network, plan = Network.of(problem), solve(problem, method="reference", time_limit_s=math.inf)
        found = round_plan(problem, network, plan.power_kw)
        served_kwh = (network.serveable_kwh - plan.unserved_kwh).sum()
        assert (found.unserved_kwh - plan.unserved_kwh).sum() / served_kwh <= most_lost
        assert abs(found.costs.energy_gbp / plan.cost_energy_gbp - 1) <= most_change
        assert found.costs.total_gbp / plan.cost_gbp - 1 <= most_cost
        assert check_setpoints(problem, found.setpoint_a) <= 1e-6
