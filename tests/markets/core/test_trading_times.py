from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.trading_times import (
    InvalidMarket,
    LeadTime,
    ServiceWindow,
    WeeklyCutOff,
    gate_closure_of,
    outside_windows,
    service_windows_of,
)

WEEKDAYS = frozenset({1, 2, 3, 4, 5})
FLEXIBLE_POWER = WeeklyCutOff(4, time(0))  # midnight at the end of Wednesday


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestWeeklyCutOff:
    @pytest.mark.parametrize(
        ("starts_at", "closes_at"),
        [
            ("2026-01-14T17:00", "2026-01-08T00:00"),  # a Wednesday: the Thursday before that week's Monday
            ("2026-01-12T00:00", "2026-01-08T00:00"),  # the week's first half-hour
            ("2026-01-18T23:30", "2026-01-08T00:00"),  # and its last
            ("2026-01-19T00:00", "2026-01-15T00:00"),  # the next week
            ("2026-07-14T16:00", "2026-07-08T23:00"),  # in summer time
            ("2026-03-30T16:00", "2026-03-26T00:00"),  # the clocks went forward in between
            ("2026-07-12T23:30", "2026-07-08T23:00"),  # Monday 00:30 local, a Sunday in UTC
        ],
    )
    def test_closes_in_the_week_before(self, starts_at, closes_at):
        assert FLEXIBLE_POWER.closes_at(utc(starts_at)) == utc(closes_at)

    @given(days=st.integers(0, 2000), half_hours=st.integers(0, 47), weekday=st.integers(1, 7))
    def test_closes_before_the_window_and_within_a_fortnight(self, days, half_hours, weekday):
        starts_at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days, minutes=30 * half_hours)
        ahead = starts_at - WeeklyCutOff(weekday, time(0)).closes_at(starts_at)
        assert timedelta(0) < ahead <= timedelta(days=14, hours=1)


class TestLeadTime:
    def test_closes_so_long_before(self):
        assert LeadTime(timedelta(hours=1)).closes_at(utc("2026-01-14T17:00")) == utc("2026-01-14T16:00")

    def test_is_not_negative(self):
        with pytest.raises(InvalidMarket):
            LeadTime(timedelta(hours=-1))


class TestServiceWindow:
    def test_covers_its_hours_on_its_days(self):
        evening = ServiceWindow(WEEKDAYS, time(17), time(20))
        assert evening.covers(date(2026, 1, 14), time(17))
        assert not evening.covers(date(2026, 1, 14), time(20))
        assert not evening.covers(date(2026, 1, 17), time(17))  # a Saturday

    def test_goes_on_over_midnight(self):
        night = ServiceWindow(frozenset({5}), time(22), time(2))
        assert night.covers(date(2026, 1, 16), time(23))
        assert night.covers(date(2026, 1, 17), time(1, 30))  # Saturday, of Friday's window
        assert not night.covers(date(2026, 1, 16), time(1))
        assert not night.covers(date(2026, 1, 17), time(2))

    def test_covers_the_whole_day_where_it_ends_as_it_starts(self):
        whole = ServiceWindow(frozenset({3}), time(0), time(0))
        assert all(whole.covers(date(2026, 1, 14), time(hour)) for hour in range(24))

    def test_says_the_first_half_hour_outside(self):
        evening = (ServiceWindow(WEEKDAYS, time(17), time(19)),)
        assert outside_windows(utc("2026-01-14T17:00"), utc("2026-01-14T19:00"), evening) is None
        assert outside_windows(utc("2026-01-14T18:00"), utc("2026-01-14T20:00"), evening) == utc("2026-01-14T19:00")

    def test_keeps_local_hours_in_summer(self):
        evening = (ServiceWindow(WEEKDAYS, time(17), time(19)),)
        assert outside_windows(utc("2026-07-14T16:00"), utc("2026-07-14T18:00"), evening) is None
        assert outside_windows(utc("2026-07-14T18:00"), utc("2026-07-14T18:30"), evening) == utc("2026-07-14T18:00")


class TestStored:
    def test_are_read_back(self):
        assert gate_closure_of({"kind": "lead", "lead_minutes": 90}) == LeadTime(timedelta(minutes=90))
        assert gate_closure_of({"kind": "weekly", "weekday": 4, "at": "00:00"}) == FLEXIBLE_POWER
        window = {"weekdays": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "20:00"}
        assert service_windows_of([window]) == (ServiceWindow(WEEKDAYS, time(17), time(20)),)

    @pytest.mark.parametrize(
        "stated",
        [
            {},
            {"kind": "later"},
            {"kind": "lead"},
            {"kind": "lead", "lead_minutes": "soon"},
            {"kind": "lead", "lead_minutes": -1},
            {"kind": "weekly", "weekday": 8, "at": "00:00"},
            {"kind": "weekly", "weekday": 4, "at": "25:00"},
        ],
    )
    def test_refuse_a_gate_closure_that_is_none(self, stated):
        with pytest.raises(InvalidMarket):
            gate_closure_of(stated)

    @pytest.mark.parametrize(
        "stated",
        [
            [],
            [{}],
            [{"weekdays": [], "starts": "17:00", "ends": "20:00"}],
            [{"weekdays": 5, "starts": "17:00", "ends": "20:00"}],
            [{"weekdays": [0], "starts": "17:00", "ends": "20:00"}],
            [{"weekdays": [1], "starts": "17:10", "ends": "20:00"}],
        ],
    )
    def test_refuse_service_windows_that_are_none(self, stated):
        with pytest.raises(InvalidMarket):
            service_windows_of(stated)

    def test_say_what_they_are(self):
        assert str(FLEXIBLE_POWER) == "Thursday 00:00 in the week before"
        assert str(LeadTime(timedelta(hours=2))) == "2 h before the window starts"
        assert str(ServiceWindow(WEEKDAYS, time(17), time(20))) == "Mon, Tue, Wed, Thu, Fri 17:00 to 20:00"
