import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from markets.core.instruct import InvalidInstruction, instructed_kw


class TestInstructedKw:
    def test_shares_the_need_in_proportion_to_what_plans_move(self):
        # Expected 60 + 40 = 100 kW, target 70: 30 kW needed. Plans move 40 and 20, so two thirds and one third.
        found = instructed_kw(
            np.array([[60.0], [40.0]]), np.array([[20.0], [20.0]]), target_kw=70.0, direction="turn_down"
        )

        np.testing.assert_allclose(found, [[20.0], [10.0]])

    def test_asks_no_more_than_the_plan_moves(self):
        # Needed 90 kW, moved 15.
        found = instructed_kw(np.array([[100.0]]), np.array([[85.0]]), target_kw=10.0, direction="turn_down")

        np.testing.assert_allclose(found, [[15.0]])

    def test_asks_nothing_when_the_target_is_met_already(self):
        assert instructed_kw(np.array([[50.0]]), np.array([[0.0]]), target_kw=60.0, direction="turn_down") == 0.0

    def test_asks_nothing_of_a_portfolio_without_a_baseline(self):
        found = instructed_kw(
            np.array([[np.nan], [40.0]]), np.array([[5.0], [10.0]]), target_kw=10.0, direction="turn_down"
        )

        np.testing.assert_allclose(found, [[0.0], [30.0]])

    def test_turns_up_the_other_way(self):
        found = instructed_kw(np.array([[10.0]]), np.array([[50.0]]), target_kw=30.0, direction="turn_up")

        np.testing.assert_allclose(found, [[20.0]])

    def test_rounds_down_to_tenths(self):
        found = instructed_kw(np.array([[10.19]]), np.array([[0.0]]), target_kw=0.0, direction="turn_down")

        np.testing.assert_allclose(found, [[10.1]])

    def test_refuses_a_target_that_is_not_a_number(self):
        with pytest.raises(InvalidInstruction):
            instructed_kw(np.ones((1, 1)), np.ones((1, 1)), target_kw=float("nan"), direction="turn_down")

    @given(
        expected=arrays(float, (3, 4), elements=st.floats(0, 500)),
        planned=arrays(float, (3, 4), elements=st.floats(0, 500)),
        target_kw=st.floats(0, 1000),
        direction=st.sampled_from(["turn_down", "turn_up"]),
    )
    def test_never_exceeds_the_need_nor_what_is_moved(self, expected, planned, target_kw, direction):
        sign = 1 if direction == "turn_down" else -1
        found = instructed_kw(expected, planned, target_kw=target_kw, direction=direction)

        assert (found >= 0).all()
        assert (found <= np.maximum(sign * (expected - planned), 0) + 1e-6).all()
        assert (found.sum(axis=0) <= np.maximum(sign * (expected.sum(axis=0) - target_kw), 0) + 1e-6).all()
