"""The gaming flag on settled events."""

from dataclasses import replace

import numpy as np
import pytest

from markets.core.gaming_findings import FLAG, gaming_findings, like_days
from markets.core.settle import settle
from tests.markets.core.builders import PLAIN_RULE, fleet_history, fleet_inputs

# Like days of 30 kWh a half-hour and one kWh of spread from day to day; the worked window is 198 kWh, 33 a half-hour.
SPREAD = np.array([1.0, -1, 2, -2, 1, -1, 0, 0, 1, -1])


def history(*, window=None, **changes):
    made = fleet_history(**changes)
    like = 30.0 + SPREAD[np.newaxis, :, np.newaxis] / 6 * np.ones(made.adjustment_kwh.shape)
    made = replace(made, adjustment_kwh=like)
    return made if window is None else replace(made, adjustment_metered_kwh=np.full((1, 6), window))


def flagged(made, rule=PLAIN_RULE, direction="turn_down", **settings):
    return [note for note in gaming_findings(made, rule, direction, **settings) if note.code == FLAG]


class TestGamingFindings:
    def test_flags_the_worked_window_and_says_by_how_much(self):
        """198 kWh, like days 180 kWh with s = sqrt(14 / 9) = 1.2472: t = 18 / (1.2472 × √1.1) = 13.76."""
        made = history(window=33.0)
        (note,) = flagged(made)

        assert note.subject == made.row_ids[0]
        assert (note.details["n_days"], note.details["settlement_date"]) == (10, "2026-01-15")
        assert note.details["like_days_kwh"] == pytest.approx(180.0)
        assert note.details["t"] == pytest.approx(18 / (np.sqrt(14 / 9) * np.sqrt(1.1)), abs=1e-6)
        assert "198.0 kWh" in note.message

    def test_flags_only_the_way_that_pays(self):
        assert flagged(history(window=33.0), direction="turn_up") == []
        assert flagged(history(window=27.0)) == []
        assert len(flagged(history(window=27.0), direction="turn_up")) == 1

    def test_keeps_still_on_a_day_like_the_others(self):
        assert flagged(history(window=30.2)) == []

    def test_keeps_still_where_the_window_moves_no_baseline(self):
        made = history(window=33.0)
        assert flagged(made, replace(PLAIN_RULE, adjustment="monitored")) == []
        assert flagged(made, replace(PLAIN_RULE, adjustment_periods=0, min_adjustment_periods=0)) == []

    def test_keeps_still_where_the_window_was_not_read(self):
        made = history(window=33.0)
        unread = made.adjustment_metered_kwh.copy()
        unread[0, 0] = np.nan
        assert flagged(replace(made, adjustment_metered_kwh=unread)) == []

    def test_leaves_event_days_out(self):
        made = history(window=33.0)
        called = made.is_event_day.copy()
        called[0, :7] = True
        assert like_days(replace(made, is_event_day=called)).sum() == 3
        assert flagged(replace(made, is_event_day=called)) == []


class TestSettle:
    def test_reports_it_and_pays_the_same(self):
        inputs = fleet_inputs()
        with_flag = settle(replace(inputs, history=history(window=33.0)))

        assert [note.code for note in with_flag.findings if note.code == FLAG] == [FLAG]
        assert settle(inputs).findings == ()
