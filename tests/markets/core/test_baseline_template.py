from datetime import date

import numpy as np
import pytest

from aggregator.core.timegrid import settlement_day
from markets.core.baseline_template import DAYS, BaselineTemplate, InvalidBaselineTemplate, read_baseline_template


def template(step: int, power_kw) -> str:
    """A whole week; ``power_kw`` of day and minute, import negative."""
    rows = [
        f"{name},{minute // 60:02d}:{minute % 60:02d},{power_kw(day, minute)}"
        for day, name in enumerate(DAYS)
        for minute in range(0, 1440, step)
    ]
    return "\n".join(["day_of_week,local_time,power_kw", *rows]) + "\n"


def by_clock(_day: int, minute: int) -> float:
    """Import of as many kW as the half-hour's number: what stands at each clock time shows which row was read."""
    return -(minute // 30)


def read_at(found: BaselineTemplate, day: date) -> list[float]:
    """Which rows a settlement day reads: the clock's half-hours, twice the energy at a power of their number."""
    return (found.energy_kwh(settlement_day(day).period_starts()) * 2).tolist()


class TestBaselineTemplate:
    def test_is_read_by_the_clock_at_the_period_s_start_with_import_positive(self):
        found = read_baseline_template(template(30, by_clock))

        assert read_at(found, date(2026, 1, 14)) == list(range(48))
        assert read_at(found, date(2026, 7, 1)) == list(range(48))

    def test_reads_the_same_rows_twice_as_the_clocks_go_back(self):
        rows = read_at(read_baseline_template(template(30, by_clock)), date(2026, 10, 25))

        assert rows == [0, 1, 2, 3, 2, 3, *range(4, 48)]

    def test_reads_no_row_of_the_hour_that_is_skipped(self):
        rows = read_at(read_baseline_template(template(30, by_clock)), date(2026, 3, 29))

        assert rows == [0, 1, *range(4, 48)]

    def test_goes_by_the_day_of_the_week(self):
        found = read_baseline_template(template(30, lambda day, _minute: -day))

        assert [read_at(found, date(2026, 1, day))[0] for day in range(12, 19)] == list(range(7))

    def test_takes_the_mean_of_minutes(self):
        """10 minutes at 6.9 kW and 20 at 0 in each half-hour: 1.15 kWh."""
        found = read_baseline_template(template(1, lambda _day, minute: -6.9 if minute % 30 < 10 else 0))

        np.testing.assert_array_equal(found.energy_kwh(settlement_day(date(2026, 1, 14)).period_starts()), 1.15)

    def test_takes_exports_for_negative(self):
        found = read_baseline_template(template(30, lambda _day, _minute: 2.5))

        assert read_at(found, date(2026, 1, 14))[0] == -2.5

    def test_takes_rows_and_columns_in_any_order(self):
        header, *rows = template(30, by_clock).splitlines()
        turned = [",".join(line.split(",")[::-1]) for line in (header, *reversed(rows))]

        found = read_baseline_template("\ufeff" + "\r\n".join(turned))
        assert read_at(found, date(2026, 1, 14)) == list(range(48))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda _text: "", "columns"),
            (lambda text: text.replace("power_kw", "power_mw", 1), "columns"),
            (lambda text: text.replace("MONDAY", "Monday", 1), "line 2"),
            (lambda text: text.replace("MONDAY,00:00", "MONDAY,24:00", 1), "line 2"),
            (lambda text: text.replace("MONDAY,00:00", "MONDAY,0:00", 1), "line 2"),
            (lambda text: text.replace("MONDAY,00:30", "MONDAY,00:00", 1), "named twice"),
            (lambda text: text.replace("SUNDAY,23:30,-47\n", "", 1), "SUNDAY 23:30 is missing"),
            (lambda text: text.replace("SUNDAY,23:30,-47", "SUNDAY,23:30,nan", 1), "number of kW"),
            (lambda text: text.replace("SUNDAY,23:30,-47", "SUNDAY,23:30,", 1), "number of kW"),
            (lambda text: text.replace("SUNDAY,23:30,-47", "SUNDAY,23:30,-47,1", 1), "4 fields"),
            (lambda text: text + "MONDAY,00:01,-1\n", "MONDAY 00:02 is missing"),
        ],
    )
    def test_refuses_what_is_no_whole_week(self, change, said):
        with pytest.raises(InvalidBaselineTemplate, match=said):
            read_baseline_template(change(template(30, by_clock)))

    def test_refuses_a_week_of_another_shape(self):
        with pytest.raises(InvalidBaselineTemplate):
            BaselineTemplate(np.zeros((7, 24)))
