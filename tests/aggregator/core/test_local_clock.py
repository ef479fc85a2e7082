from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.local_clock import (
    DayTypes,
    DayTypeUnknown,
    NotAChargingDay,
    charging_date,
    charging_days,
    clock_period,
    grid_position,
    local_dates,
)
from aggregator.core.timegrid import LONDON, TimeGrid, charging_day, settlement_day
from tests.sessions import at_utc

BEFORE_SPRING, BEFORE_AUTUMN, ORDINARY = date(2026, 3, 28), date(2026, 10, 24), date(2026, 1, 15)
DAYS = st.sampled_from([BEFORE_SPRING, BEFORE_AUTUMN, ORDINARY, date(2026, 7, 1)])


class TestClockH:
    @pytest.mark.parametrize(
        ("day", "utc_text", "clock_h"),
        [
            (ORDINARY, "2026-01-15T17:30", 5.5),
            (BEFORE_SPRING, "2026-03-29T00:30", 12.5),
            (BEFORE_SPRING, "2026-03-29T01:00", 14.0),
            (BEFORE_SPRING, "2026-03-29T06:00", 19.0),
            (BEFORE_AUTUMN, "2026-10-25T00:30", 13.5),
            (BEFORE_AUTUMN, "2026-10-25T01:30", 13.5),
            (BEFORE_AUTUMN, "2026-10-25T07:00", 19.0),
            (BEFORE_AUTUMN, "2026-10-27T07:00", 24.0),
        ],
    )
    def test_reads_the_wall_clock(self, day, utc_text, clock_h):
        days = charging_days(day, 1)

        assert days.clock_h(np.array([utc_text], dtype="datetime64[s]"), np.array([0])).tolist() == [clock_h]

    @given(at=st.datetimes(datetime(2026, 1, 2), datetime(2027, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
    def test_agrees_with_the_zone_file(self, at):
        days = charging_days(date(2025, 12, 30), 740)
        instant = np.array([at.replace(tzinfo=None, microsecond=0)], dtype="datetime64[s]")

        day = days.index_of(instant)
        clock_h = days.clock_h(instant, day)[0]

        local = at.astimezone(LONDON)
        date_of_noon = local.date() if local.hour >= 12 else local.date() - timedelta(days=1)
        assert days.dates()[day[0]] == np.datetime64(date_of_noon)
        assert clock_h == pytest.approx(
            (local.hour * 3600 + local.minute * 60 + local.second) / 3600 - 12 + 24 * (local.hour < 12)
        )


class TestGridPosition:
    @pytest.mark.parametrize(
        ("day", "clock_h", "first", "last"),
        [
            (ORDINARY, 13.5, 27, 27),
            (BEFORE_SPRING, 12.5, 25, 25),
            (BEFORE_SPRING, 13.5, 26, 26),
            (BEFORE_SPRING, 14.0, 26, 26),
            (BEFORE_SPRING, 24.0, 46, 46),
            (BEFORE_AUTUMN, 13.0, 26, 28),
            (BEFORE_AUTUMN, 13.5, 27, 29),
            (BEFORE_AUTUMN, 14.0, 30, 30),
            (BEFORE_AUTUMN, 24.0, 50, 50),
        ],
    )
    def test_finds_the_period_of_a_clock_time(self, day, clock_h, first, last):
        grid = charging_day(day)

        assert grid_position(np.array([clock_h]), grid, "first").tolist() == [first]
        assert grid_position(np.array([clock_h]), grid, "last").tolist() == [last]

    @given(day=DAYS, period=st.integers(0, 45))
    def test_finds_each_period_start_again(self, day, period):
        grid, days = charging_day(day), charging_days(day, 1)
        start = grid.period_starts()[period : period + 1]

        clock_h = days.clock_h(start, np.array([0]))

        passings = {grid_position(clock_h, grid, passing)[0] for passing in ("first", "last")}
        assert period in passings

    @given(day=DAYS, pair=st.tuples(st.floats(0, 24), st.floats(0, 24)))
    def test_never_runs_backwards(self, day, pair):
        grid = charging_day(day)

        for passing in ("first", "last"):
            early, late = grid_position(np.array(sorted(pair)), grid, passing)
            assert 0 <= early <= late <= grid.n_period


class TestClockPeriod:
    def test_skips_two_half_hours_in_spring(self):
        clock = clock_period(settlement_day(date(2026, 3, 29)))

        assert clock.tolist() == [0, 1, *range(4, 48)]

    def test_repeats_two_half_hours_in_autumn(self):
        clock = clock_period(settlement_day(date(2026, 10, 25)))

        assert clock.tolist() == [0, 1, 2, 3, 2, 3, *range(4, 48)]

    def test_refuses_other_periods_than_half_hours(self):
        with pytest.raises(NotAChargingDay):
            clock_period(TimeGrid(datetime(2026, 1, 15, tzinfo=UTC), 4, 15))
        with pytest.raises(NotAChargingDay):
            clock_period(TimeGrid(datetime(2026, 1, 15, 0, 10, tzinfo=UTC), 4))


class TestChargingDate:
    def test_names_the_day_of_the_noon(self):
        assert charging_date(charging_day(BEFORE_AUTUMN)) == BEFORE_AUTUMN

    @pytest.mark.parametrize("grid", [settlement_day(ORDINARY), TimeGrid(datetime(2026, 1, 15, 12, tzinfo=UTC), 47)])
    def test_refuses_any_other_grid(self, grid):
        with pytest.raises(NotAChargingDay):
            charging_date(grid)


class TestDayTypes:
    def test_are_read_by_date(self):
        types = DayTypes(date(2026, 1, 2), np.array([True, False, False, True]))

        asked = np.array(["2026-01-05", "2026-01-03"], dtype="datetime64[D]")

        assert types.of(asked).tolist() == [True, False]

    @pytest.mark.parametrize("day", ["2026-01-01", "2026-01-06"])
    def test_are_refused_outside_their_days(self, day):
        types = DayTypes(date(2026, 1, 2), np.array([True, False, False, True]))

        with pytest.raises(DayTypeUnknown) as refused:
            types.of(np.array([day], dtype="datetime64[D]"))

        assert refused.value.details["asked"] == day

    def test_belong_to_london_dates(self):
        grid = TimeGrid(datetime(2026, 7, 1, 22, 30, tzinfo=UTC), 2)

        assert local_dates(grid).astype(str).tolist() == ["2026-07-01", "2026-07-02"]
        assert at_utc("2026-07-02 00:00") == np.datetime64("2026-07-01T23:00:00")
