from datetime import date

import numpy as np
import pytest

from aggregator.core.day_panel import DayPowers, InvalidDay, day_panel
from aggregator.core.timegrid import charging_day

GRID = charging_day(date(2026, 1, 14))


def flat(power_kw: float, n_period: int = 48) -> np.ndarray:
    return np.full(n_period, power_kw)


class TestDayPanel:
    def test_tabulates_what_it_draws_and_what_it_does_not(self):
        panel = day_panel(DayPowers(GRID, rating_kw=flat(90), reserve_kw=flat(2), planned_kw=np.arange(48) * 1.5))

        assert panel.columns == ("Rating", "EVs planned", "Reserve for overrides")
        assert [line.key for line in panel.chart.lines] == ["rating", "planned"]
        assert [row.powers_kw for row in panel.rows[:2]] == [("90.00", "0.00", "2.00"), ("90.00", "1.50", "2.00")]

    def test_numbers_settlement_periods_from_local_midnight(self):
        rows = day_panel(DayPowers(GRID, planned_kw=flat(1))).rows

        assert (rows[0].local, rows[0].settlement_date, rows[0].period) == ("12:00 GMT", "2026-01-14", 25)
        assert (rows[24].local, rows[24].settlement_date, rows[24].period) == ("00:00 GMT", "2026-01-15", 1)
        assert rows[0].utc == "2026-01-14 12:00Z"

    def test_tells_the_repeated_hour_apart(self):
        rows = day_panel(DayPowers(charging_day(date(2026, 10, 24)), planned_kw=flat(1, 50))).rows

        assert len(rows) == 50
        assert [(row.local, row.period) for row in rows[25:31]] == [
            ("00:30 BST", 2),
            ("01:00 BST", 3),
            ("01:30 BST", 4),
            ("01:00 GMT", 5),
            ("01:30 GMT", 6),
            ("02:00 GMT", 7),
        ]
        assert (rows[-1].local, rows[-1].period) == ("11:30 GMT", 26)

    def test_skips_the_hour_that_is_not_there(self):
        rows = day_panel(DayPowers(charging_day(date(2026, 3, 28)), planned_kw=flat(1, 46))).rows

        assert len(rows) == 46
        assert [(row.local, row.period) for row in rows[25:27]] == [("00:30 GMT", 2), ("02:00 BST", 3)]

    def test_dashes_what_is_missing(self):
        metered_kw = flat(3.0)
        metered_kw[1] = np.nan

        rows = day_panel(DayPowers(GRID, metered_kw=metered_kw)).rows

        assert [row.powers_kw for row in rows[:2]] == [("3.00",), ("—",)]

    def test_refuses_another_length(self):
        with pytest.raises(InvalidDay):
            DayPowers(GRID, planned_kw=np.zeros(46))


class TestRemarks:
    def test_say_that_the_plan_kept_its_limit(self):
        panel = day_panel(DayPowers(GRID, limit_kw=flat(10), planned_kw=flat(10)))

        assert [(remark.text, remark.is_abnormal) for remark in panel.remarks] == [
            ("Planned EV power: within the limit in all 48 periods.", False)
        ]

    def test_say_how_often_and_when_most_the_rating_was_passed(self):
        metered_kw = flat(1.0)
        metered_kw[[3, 4]] = [12.5, 14.0]
        panel = day_panel(
            DayPowers(GRID, rating_kw=flat(40), background_was_kw=flat(28), metered_kw=metered_kw, limit_kw=flat(5))
        )

        (remark,) = panel.remarks
        assert remark.text == (
            "As it was, EVs and background: over the rating in 2 of 48 periods, most by 2.0 kW at 14:00 GMT."
        )
        assert remark.is_abnormal

    def test_take_what_would_have_been_without_dispatch_as_no_alarm(self):
        panel = day_panel(DayPowers(GRID, rating_kw=flat(10), background_was_kw=flat(4), uncontrolled_kw=flat(7)))

        assert [remark.is_abnormal for remark in panel.remarks] == [False]
        assert "over the rating in 48 of 48 periods, most by 1.0 kW" in panel.remarks[0].text

    def test_take_a_missing_reading_as_no_breach(self):
        panel = day_panel(DayPowers(GRID, rating_kw=flat(10), background_was_kw=flat(4), metered_kw=flat(np.nan)))

        assert not panel.remarks[0].is_abnormal
