from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import LONDON, settlement_day
from markets.core.history import (
    ClockChangeHistoryDay,
    adjustment_starts,
    candidate_days,
    day_types,
    eligible_days,
    is_clock_change_day,
    local_dates,
    same_local_time,
)
from tests.markets.core.builders import ORACLES, event_grid

SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


def clock(starts):
    instants = starts.astype("datetime64[s]").tolist()
    return [at.replace(tzinfo=UTC).astimezone(LONDON).strftime("%H:%M") for at in instants]


class TestDayTypes:
    def test_calls_weekends_and_holidays_non_working(self):
        days = [date(2026, 12, day) for day in (24, 25, 26, 27, 28, 29)]
        holidays = {date(2026, 12, 25), date(2026, 12, 28)}

        assert day_types(days, holidays).tolist() == [True, False, False, False, False, True]


class TestIsClockChangeDay:
    def test_finds_the_days_of_46_and_50_periods_only(self):
        for day, n_period in ORACLES["settlement_periods"].items():
            assert is_clock_change_day(date.fromisoformat(day)) == (n_period != 48)

    def test_finds_two_days_in_every_year(self):
        for year in (2024, 2025, 2026, 2027):
            days = (date(year, 1, 1) + timedelta(days=offset) for offset in range(365))
            assert sum(is_clock_change_day(day) for day in days) == 2


class TestSameLocalTime:
    def test_moves_a_winter_event_to_the_same_clock_time_in_summer(self):
        starts = event_grid(datetime(2026, 10, 26, 17, tzinfo=LONDON), 4).period_starts()

        found = same_local_time(starts, date(2026, 10, 23))

        expected = [f"2026-10-23T{clock_time}" for clock_time in ("16:00", "16:30", "17:00", "17:30")]
        np.testing.assert_array_equal(found, np.array(expected, dtype="datetime64[s]"))
        assert clock(found) == clock(starts)

    def test_reads_both_one_oclock_hours_of_october_from_the_same_periods(self):
        starts = settlement_day(AUTUMN).period_starts()

        found = same_local_time(starts, date(2026, 10, 18))

        assert len(starts) == 50
        np.testing.assert_array_equal(found[2:4], found[4:6])
        assert clock(found[2:6]) == ["01:00", "01:30", "01:00", "01:30"]
        assert len(np.unique(found)) == 48

    def test_never_asks_for_one_oclock_on_a_march_event_day(self):
        found = same_local_time(settlement_day(SPRING).period_starts(), date(2026, 3, 22))

        assert len(found) == 46
        assert {"01:00", "01:30"}.isdisjoint(clock(found))
        assert clock(found[:4]) == ["00:00", "00:30", "02:00", "02:30"]

    def test_puts_both_sides_of_an_event_over_midnight_on_the_same_day(self):
        starts = event_grid(datetime(2026, 1, 16, 23, tzinfo=UTC), 4).period_starts()

        found = same_local_time(starts, date(2026, 1, 10))

        assert clock(found) == ["23:00", "23:30", "00:00", "00:30"]
        assert set(local_dates(found)) == {date(2026, 1, 10)}

    @pytest.mark.parametrize("day", [SPRING, AUTUMN])
    def test_refuses_a_clock_change_day_as_history(self, day):
        with pytest.raises(ClockChangeHistoryDay):
            same_local_time(event_grid(datetime(2026, 11, 2, 17, tzinfo=UTC), 1).period_starts(), day)

    @given(day=st.dates(date(2020, 1, 1), date(2030, 12, 31)), hour=st.integers(0, 23), n_period=st.integers(1, 10))
    def test_keeps_every_clock_time(self, day, hour, n_period):
        starts = event_grid(datetime(2026, 7, 1, hour, tzinfo=UTC), n_period).period_starts()

        if not is_clock_change_day(day):
            found = same_local_time(starts, day)
            assert clock(found) == clock(starts)
            assert set(local_dates(found)) == {day}


class TestAdjustmentStarts:
    def test_is_13h_to_16h_for_an_event_at_17h(self):
        found = adjustment_starts(datetime(2022, 11, 15, 17, tzinfo=UTC), n_periods=6, gap_periods=2)

        assert clock(found) == ["13:00", "13:30", "14:00", "14:30", "15:00", "15:30"]

    def test_counts_elapsed_half_hours_over_a_clock_change(self):
        found = adjustment_starts(datetime(2026, 3, 29, 5, tzinfo=LONDON), n_periods=6, gap_periods=2)

        assert clock(found) == ["00:00", "00:30", "02:00", "02:30", "03:00", "03:30"]

    def test_is_empty_for_a_rule_without_adjustment(self):
        assert len(adjustment_starts(datetime(2026, 1, 15, 17, tzinfo=UTC), n_periods=0, gap_periods=2)) == 0


class TestCandidateDays:
    def test_runs_from_sixty_days_back_to_the_day_before_without_clock_change_days(self):
        grid = event_grid(datetime(2026, 11, 2, 17, tzinfo=UTC), 4)
        window = adjustment_starts(grid.starts_at, n_periods=6, gap_periods=2)

        days = candidate_days(grid.period_starts(), window, lookback_days=60)

        assert (days[0], days[-1]) == (date(2026, 9, 3), date(2026, 11, 1))
        assert AUTUMN not in days
        assert len(days) == 59

    def test_starts_a_day_earlier_when_the_window_lies_on_the_eve(self):
        grid = event_grid(datetime(2026, 1, 17, 2, tzinfo=UTC), 2)
        window = adjustment_starts(grid.starts_at, n_periods=6, gap_periods=2)

        days = candidate_days(grid.period_starts(), window, lookback_days=60)

        assert (days[0], days[-1]) == (date(2026, 1, 16) - timedelta(days=60), date(2026, 1, 16))


class TestEligibleDays:
    DAYS = tuple(date(2026, 1, 14) - timedelta(days=back) for back in range(70, -1, -1))

    def choose(self, **changes):
        n_day = len(self.DAYS)
        arguments = {
            "settlement_date": date(2026, 1, 15),
            "is_working": True,
            "days": self.DAYS,
            "days_working": day_types(self.DAYS, set()),
            "is_event_day": np.zeros((1, n_day), dtype=bool),
            "has_reads": np.ones((1, n_day), dtype=bool),
            "n_days": 10,
            "lookback_days": 60,
        }
        chosen = eligible_days(**(arguments | changes))
        return [[day for day, is_chosen in zip(self.DAYS, row, strict=True) if is_chosen] for row in chosen]

    def test_takes_the_ten_most_recent_working_days(self):
        (days,) = self.choose()

        assert days == [date(2026, 1, day) for day in (1, 2, 5, 6, 7, 8, 9, 12, 13, 14)]

    def test_takes_the_four_most_recent_non_working_days(self):
        (days,) = self.choose(is_working=False, n_days=4)

        assert days == [date(2026, 1, day) for day in (3, 4, 10, 11)]

    def test_reaches_further_back_for_event_days_and_missing_reads_row_by_row(self):
        is_event_day = np.zeros((2, len(self.DAYS)), dtype=bool)
        has_reads = np.ones((2, len(self.DAYS)), dtype=bool)
        is_event_day[0, self.DAYS.index(date(2026, 1, 14))] = True
        has_reads[0, self.DAYS.index(date(2026, 1, 7))] = False

        called, quiet = self.choose(is_event_day=is_event_day, has_reads=has_reads)

        assert called[:2] == [date(2025, 12, 30), date(2025, 12, 31)]
        assert {date(2026, 1, 14), date(2026, 1, 7)}.isdisjoint(called)
        assert quiet == self.choose()[0]

    def test_stops_at_the_lookback_and_returns_what_it_found(self):
        has_reads = np.array([[day <= date(2025, 11, 20) for day in self.DAYS]])

        (days,) = self.choose(has_reads=has_reads)

        assert days == [date(2025, 11, day) for day in (17, 18, 19, 20)]  # D-60 is Sunday 16 November

    def test_never_takes_a_clock_change_day(self):
        days = tuple(date(2026, 10, 31) - timedelta(days=back) for back in range(20, -1, -1))
        ones = np.ones((1, len(days)), dtype=bool)

        chosen = eligible_days(
            settlement_date=date(2026, 11, 1),
            is_working=False,
            days=days,
            days_working=day_types(days, set()),
            is_event_day=~ones,
            has_reads=ones,
            n_days=4,
            lookback_days=60,
        )

        assert [days[index] for index in np.flatnonzero(chosen[0])] == [date(2026, 10, day) for day in (17, 18, 24, 31)]
