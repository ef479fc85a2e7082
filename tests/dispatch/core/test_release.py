import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.check import add_up
from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchProblem, FlexRequest
from dispatch.core.spare import open_periods, release, valley_kw

UNIT_KW = 0.23


def street(n_evse: int, cap_kw: float, n_period: int = 2) -> DispatchProblem:
    """One node of ``cap_kw`` with single-phase 32 A EVSEs, plugged in all day."""
    return DispatchProblem(
        step_h=0.5,
        node_ids=np.array(["street"]),
        node_parent=np.array([-1]),
        node_is_phase=np.array([False]),
        node_limit_kw=np.full((1, n_period), cap_kw),
        node_diversity=np.ones(1),
        node_ramp_kw=np.full(1, np.inf),
        session_ids=np.array([f"evse-{at}" for at in range(n_evse)]),
        session_node=np.zeros(n_evse, dtype=int),
        session_phases=np.ones(n_evse, dtype=int),
        session_start=np.zeros(n_evse, dtype=int),
        session_end=np.full(n_evse, n_period),
        session_max_kw=np.full(n_evse, 32 * UNIT_KW),
        session_energy_kwh=np.zeros(n_evse),
        session_min_kw=np.full(n_evse, 6 * UNIT_KW),
        session_unserved_gbp_per_kwh=np.zeros(n_evse),
        session_tariff=np.zeros(n_evse, dtype=int),
        price_gbp_per_kwh=np.zeros((1, n_period)),
        requests=(),
        ramp_gbp_per_kwh=0.0,
    )


class TestRelease:
    def test_hands_an_absent_cars_ceiling_to_the_one_that_is_there(self):
        # 32 A fit under the cap: told 16 A each, but only the first has a car, so it may draw all 32.
        told = np.full((2, 2), 16, dtype=np.int16)
        found = release(
            street(2, 32 * UNIT_KW),
            told,
            is_present=np.array([[True, True], [False, True]]),
            is_open=np.ones((2, 2), dtype=bool),
            order=np.arange(2),
        )

        np.testing.assert_array_equal(found.setpoint_a, [[32, 16], [0, 16]])

    def test_tells_nobody_more_where_it_is_closed(self):
        told = np.full((2, 2), 16, dtype=np.int16)
        found = release(
            street(2, 32 * UNIT_KW),
            told,
            is_present=np.array([[True, True], [False, False]]),
            is_open=np.array([[False, True], [False, True]]),
            order=np.arange(2),
        )

        np.testing.assert_array_equal(found.setpoint_a, [[16, 32], [0, 0]])

    @given(
        told=st.lists(st.sampled_from([0, 6, 10, 16]), min_size=1, max_size=6),
        here=st.lists(st.booleans(), min_size=6, max_size=6),
        spare_a=st.integers(0, 60),
    )
    def test_stays_within_the_cap_and_never_below_what_a_present_car_was_told(self, told, here, spare_a):
        told_a = np.array(told, dtype=np.int16)[:, np.newaxis]
        present = np.array(here[: len(told)])[:, np.newaxis]
        problem = street(len(told), (sum(told) + spare_a) * UNIT_KW, n_period=1)
        found = release(problem, told_a, is_present=present, is_open=np.ones_like(present), order=np.arange(len(told)))

        assert (add_up(problem, found.setpoint_a * UNIT_KW) <= problem.node_limit_kw + 1e-6).all()
        assert (found.setpoint_a[present] >= told_a[present]).all()
        assert (found.setpoint_a[~present] == 0).all()
        assert ((found.setpoint_a == 0) | (found.setpoint_a >= 6)).all()


class TestOpenPeriodsInRequests:
    @pytest.mark.parametrize(
        ("directions", "is_open"), [([TURN_DOWN], False), ([TURN_UP], True), ([TURN_UP, TURN_DOWN], False)]
    )
    def test_closes_a_turn_down_and_opens_a_turn_up(self, directions, is_open):
        requests = tuple(FlexRequest(0, 0, 1, direction, 1.0, 1.0) for direction in directions)
        planned_a = np.array([[16, 16, 16, 16]], dtype=np.int16)

        found = open_periods(np.array([0.3, 0.1, 0.1, 0.2]), planned_a, requests, share=0.5)

        np.testing.assert_array_equal(found, [[is_open, True, True, False]])


class TestValleyKw:
    def test_fills_up_to_the_days_highest_other_demand_and_a_fifth(self):
        # The highest is 10 kW; 1.2 times that leaves 2 kW at its time, 8 kW beside 4 and 12 kW beside nothing.
        np.testing.assert_allclose(valley_kw(np.array([[10.0, 4.0, 0.0]]), level=1.2), [[2.0, 8.0, 12.0]])

    def test_does_not_bound_a_node_without_other_demand(self):
        assert np.isinf(valley_kw(np.zeros((1, 3)), level=1.2)).all()

    def test_is_never_negative(self):
        assert (valley_kw(np.array([[10.0, 9.0]]), level=0.5) >= 0).all()

    def test_keeps_released_cars_from_making_a_peak(self):
        # Room for 40 A under the cap, but a bound of 8 A: only the first car can start, at 8 A.
        found = release(
            street(2, 40 * UNIT_KW, n_period=1),
            np.zeros((2, 1), dtype=np.int16),
            is_present=np.ones((2, 1), dtype=bool),
            is_open=np.ones((2, 1), dtype=bool),
            order=np.arange(2),
            bound_kw=np.full((1, 1), 8.01 * UNIT_KW),
        )

        np.testing.assert_array_equal(found.setpoint_a, [[8], [0]])
