from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.baseline_given import ControlGroupRule, InvalidBaselineRule
from markets.core.control_group import (
    ControlGroupRefused,
    check_size,
    draw_turns,
    held_out_kw,
    metered_control,
    turn_on,
)

RULE = ControlGroupRule(min_evses=2)
SIZE = {"n_eligible": 40, "n_evse": 10, "n_turn": 1, "rotates": "never", "min_evses": 10}


class TestCheckSize:
    @pytest.mark.parametrize("changes", [{}, {"n_evse": 39}, {"n_turn": 4, "rotates": "daily"}], ids=str)
    def test_takes(self, changes):
        check_size(**{**SIZE, **changes})

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"n_evse": 9}, "a control group of 9 EVSEs, expected 10 or more"),
            ({"n_evse": 40}, "1 x 40 EVSEs of the 40 in the zone"),
            ({"n_turn": 5, "rotates": "weekly"}, "5 x 10 EVSEs of the 40"),
            ({"n_turn": 2}, "2 sets of EVSEs take turns never"),
            ({"rotates": "daily"}, "1 sets of EVSEs take turns daily"),
            ({"rotates": "hourly", "n_turn": 2}, "expected never, daily or weekly"),
        ],
        ids=str,
    )
    def test_refuses(self, changes, message):
        with pytest.raises(ControlGroupRefused, match=message):
            check_size(**{**SIZE, **changes})


class TestDrawTurns:
    @given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**63 - 1))
    def test_draws_nobody_twice_and_the_same_again(self, n_more, n_evse, n_turn, seed):
        n_eligible = n_evse * n_turn + n_more
        drawn = draw_turns(n_eligible=n_eligible, n_evse=n_evse, n_turn=n_turn, seed=seed)

        assert drawn.shape == (n_turn, n_evse)
        assert len(np.unique(drawn)) == drawn.size
        assert drawn.min() >= 0
        assert drawn.max() < n_eligible
        np.testing.assert_array_equal(drawn, draw_turns(n_eligible=n_eligible, n_evse=n_evse, n_turn=n_turn, seed=seed))

    @pytest.mark.parametrize("seed", [-1, 2**63])
    def test_refuses_a_seed_that_cannot_be_kept(self, seed):
        with pytest.raises(ControlGroupRefused, match="seed is"):
            draw_turns(n_eligible=4, n_evse=1, n_turn=1, seed=seed)


class TestTurnOn:
    @pytest.mark.parametrize(
        ("day", "rotates", "turn"),
        [
            (date(2026, 3, 27), "daily", 0),
            (date(2026, 3, 29), "daily", 2),  # the clocks change
            (date(2026, 3, 30), "daily", 0),
            (date(2026, 4, 2), "weekly", 0),
            (date(2026, 4, 3), "weekly", 1),
        ],
    )
    def test_counts_settlement_dates(self, day, rotates, turn):
        assert turn_on(day, valid_from=date(2026, 3, 27), rotates=rotates, n_turn=3) == turn

    def test_never_changes(self):
        assert turn_on(date(2030, 1, 1), valid_from=date(2026, 1, 1), rotates="never", n_turn=1) == 0


class TestMeteredControl:
    EVENT = np.array([[1.0, 2.0], [3.0, np.nan], [2.0, 4.0], [9.0, 9.0]])
    WINDOW = np.array([[0.5], [1.5], [1.0], [9.0]])
    UNIT = np.array([0, 0, 0, 1])

    def test_leaves_an_evse_with_a_gap_out_altogether(self):
        found = metered_control(self.EVENT, self.WINDOW, self.UNIT, n_unit=2, missing="strict", rule=RULE)

        np.testing.assert_array_equal(found.n_evse, [2, 1])
        np.testing.assert_array_equal(found.n_held_out, [3, 1])
        np.testing.assert_allclose(found.event_kwh[0], [3.0, 6.0])
        np.testing.assert_allclose(found.window_kwh[0], [1.5])
        assert np.isnan(found.event_kwh[1]).all()  # one EVSE, two are needed

    def test_takes_the_mean_of_those_read_in_each_half_hour(self):
        found = metered_control(self.EVENT, self.WINDOW, self.UNIT, n_unit=2, missing="exclude", rule=RULE)

        np.testing.assert_array_equal(found.n_evse, [3, 1])
        np.testing.assert_allclose(found.event_kwh[0], [6.0, 9.0])  # 3 x (2 + 4) / 2
        np.testing.assert_allclose(found.window_kwh[0], [3.0])

    def test_knows_nothing_of_a_half_hour_with_too_few(self):
        rule = replace(RULE, min_evses=3)
        found = metered_control(self.EVENT, self.WINDOW, self.UNIT, n_unit=2, missing="exclude", rule=rule)

        np.testing.assert_allclose(found.event_kwh[0], [6.0, np.nan])

    def test_knows_nothing_without_a_group(self):
        nobody = np.zeros(0, dtype=np.int64)
        found = metered_control(np.zeros((0, 2)), np.zeros((0, 1)), nobody, n_unit=2, missing="strict", rule=RULE)

        assert np.isnan(found.event_kwh).all()
        np.testing.assert_array_equal(found.n_evse, [0, 0])

    def test_needs_one_evse_at_least(self):
        with pytest.raises(InvalidBaselineRule, match="min_evses is 0"):
            ControlGroupRule(min_evses=0)


class TestHeldOutKw:
    def test_expects_of_each_what_those_called_are_expected_to_draw(self):
        expected_kw = np.array([[4.0, np.nan], [6.0, 3.0]])
        found = held_out_kw(expected_kw, n_called=np.array([4, 3]), n_held_out=np.array([1, 0]))

        np.testing.assert_allclose(found, [[1.0, 0.0], [0.0, 0.0]])
