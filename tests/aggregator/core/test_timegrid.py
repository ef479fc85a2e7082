from datetime import UTC, date, datetime, time, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import (
    LONDON,
    InvalidSettlementPeriod,
    InvalidTimeGrid,
    NotOnGrid,
    SettlementPeriod,
    TimeGrid,
    charging_dates,
    charging_day,
    settlement_day,
    settlement_period_at,
    settlement_period_start,
    utc,
)

SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
DATES = st.dates(date(1996, 1, 1), date(2037, 12, 30))
INSTANTS = st.datetimes(datetime(1996, 1, 2), datetime(2037, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


class TestTimeGrid:
    def test_counts_its_periods_half_open(self):
        grid = TimeGrid(datetime(2026, 1, 15, 12, tzinfo=UTC), 3, 5)

        assert grid.ends_at == datetime(2026, 1, 15, 12, 15, tzinfo=UTC)
        assert grid.step_h == 5 / 60
        assert [grid.index_of(start) for start in grid.starts()] == [0, 1, 2]
        assert grid.index_of(grid.ends_at) == 3

    def test_gives_the_same_starts_as_numpy(self):
        grid = charging_day(AUTUMN)

        listed = np.array([start.replace(tzinfo=None) for start in grid.starts()], dtype="datetime64[s]")

        np.testing.assert_array_equal(grid.period_starts(), listed)

    def test_counts_elapsed_time_from_a_london_winter_start(self):
        grid = TimeGrid(datetime(2026, 3, 28, 12, tzinfo=LONDON), 46)

        assert grid == charging_day(date(2026, 3, 28))
        assert grid.ends_at - grid.starts()[0] == timedelta(hours=23)
        assert grid.ends_at == utc(SPRING, time(12))

    @pytest.mark.parametrize(
        "starts_at",
        [
            datetime(2026, 1, 15),  # noqa: DTZ001
            datetime(2026, 7, 15, tzinfo=LONDON),
            datetime(2026, 1, 15, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 1, 15, 0, 0, 1, tzinfo=UTC),
            datetime(2026, 1, 15, 0, 0, 0, 1, tzinfo=UTC),
        ],
    )
    def test_refuses_a_start_that_is_not_utc_on_the_minute(self, starts_at):
        with pytest.raises(InvalidTimeGrid):
            TimeGrid(starts_at, 48)

    @pytest.mark.parametrize(("n_period", "minutes"), [(0, 30), (-1, 30), (48, 0)])
    def test_refuses_an_empty_grid(self, n_period, minutes):
        with pytest.raises(InvalidTimeGrid):
            TimeGrid(datetime(2026, 1, 15, tzinfo=UTC), n_period, minutes)

    @pytest.mark.parametrize("minutes", [-30, 1, 49 * 30])
    def test_refuses_the_index_of_what_is_no_boundary(self, minutes):
        grid = settlement_day(date(2026, 1, 15))

        with pytest.raises(NotOnGrid):
            grid.index_of(grid.starts_at + timedelta(minutes=minutes))

    @given(day=DATES, index=st.integers(0, 46))
    def test_finds_every_boundary_again(self, day, index):
        grid = charging_day(day)

        assert grid.index_of(grid.starts_at + index * grid.step) == index


class TestSettlementDay:
    @pytest.mark.parametrize(("day", "n_period"), [(SPRING, 46), (AUTUMN, 50), (date(2026, 7, 1), 48)])
    def test_has_46_48_or_50_periods(self, day, n_period):
        assert settlement_day(day).n_period == n_period

    def test_starts_at_23_utc_the_day_before_in_summer(self):
        assert settlement_day(date(2026, 7, 1)).starts_at == datetime(2026, 6, 30, 23, tzinfo=UTC)

    @given(day=DATES)
    def test_ends_where_the_next_one_starts(self, day):
        assert settlement_day(day).ends_at == settlement_day(day + timedelta(days=1)).starts_at


class TestChargingDay:
    @pytest.mark.parametrize(
        ("day", "n_period"),
        [(date(2026, 3, 28), 46), (SPRING, 48), (date(2026, 10, 24), 50), (AUTUMN, 48), (date(2026, 7, 1), 48)],
    )
    def test_holds_the_clock_change_of_its_night(self, day, n_period):
        assert charging_day(day).n_period == n_period

    @given(day=DATES)
    def test_runs_from_london_noon_to_the_next(self, day):
        grid = charging_day(day)

        assert grid.starts_at.astimezone(LONDON).time() == time(12)
        assert grid.ends_at == charging_day(day + timedelta(days=1)).starts_at


class TestSettlementPeriodNumbers:
    @pytest.mark.parametrize(
        ("day", "number", "start"),
        [
            (SPRING, 3, datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
            (AUTUMN, 3, datetime(2026, 10, 25, 0, 0, tzinfo=UTC)),
            (AUTUMN, 4, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
            (AUTUMN, 5, datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
            (AUTUMN, 6, datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
            (AUTUMN, 50, datetime(2026, 10, 25, 23, 30, tzinfo=UTC)),
            (date(2026, 7, 1), 1, datetime(2026, 6, 30, 23, 0, tzinfo=UTC)),
        ],
    )
    def test_follow_the_published_clock_change_days(self, day, number, start):
        assert settlement_period_start(SettlementPeriod(day, number)) == start
        assert settlement_period_at(start) == SettlementPeriod(day, number)

    def test_give_the_skipped_hour_to_no_period(self):
        assert settlement_period_start(SettlementPeriod(SPRING, 3)).astimezone(LONDON).time() == time(2)

    @pytest.mark.parametrize(("day", "number"), [(SPRING, 47), (AUTUMN, 51), (date(2026, 7, 1), 49), (SPRING, 0)])
    def test_are_refused_beyond_the_days_length(self, day, number):
        with pytest.raises(InvalidSettlementPeriod) as refused:
            settlement_period_start(SettlementPeriod(day, number))

        assert refused.value.details["number"] == number

    def test_are_refused_for_a_naive_time(self):
        with pytest.raises(InvalidSettlementPeriod):
            settlement_period_at(datetime(2026, 1, 15))  # noqa: DTZ001

    @given(at=INSTANTS)
    def test_contain_the_instant_they_number(self, at):
        period = settlement_period_at(at)
        start = settlement_period_start(period)

        assert start <= at < start + timedelta(minutes=30)
        assert 1 <= period.number <= settlement_day(period.settlement_date).n_period

    @given(day=DATES)
    def test_run_through_the_day_without_a_gap(self, day):
        grid = settlement_day(day)

        numbered = [settlement_period_at(start) for start in grid.starts()]

        assert numbered == [SettlementPeriod(day, number) for number in range(1, grid.n_period + 1)]


class TestChargingDates:
    @pytest.mark.parametrize(
        ("starts", "hours", "days"),
        [
            ("2026-01-15T17:00Z", 2, [15]),
            ("2026-01-16T02:00Z", 2, [15]),
            ("2026-01-15T12:00Z", 24, [15]),
            ("2026-01-15T11:30Z", 0.5, [14]),
            ("2026-01-15T11:30Z", 1, [14, 15]),
            ("2026-01-15T11:30Z", 24, [14, 15]),
            ("2026-07-15T11:00Z", 0.5, [15]),  # noon by the summer's clock
            ("2026-07-15T10:30Z", 0.5, [14]),
            ("2026-03-29T10:30Z", 1, [28, 29]),  # the clock went forward that night
            ("2026-10-25T11:30Z", 1, [24, 25]),  # and back
        ],
    )
    def test_are_those_of_london_noons(self, starts, hours, days):
        starts_at = datetime.fromisoformat(starts)
        found = charging_dates(starts_at, starts_at + timedelta(hours=hours))
        assert [day.day for day in found] == days

    @given(minutes=st.integers(0, 800_000), half_hours=st.integers(1, 48))
    def test_cover_the_window_and_nothing_else(self, minutes, half_hours):
        starts_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
        ends_at = starts_at + half_hours * timedelta(minutes=30)
        grids = [charging_day(day) for day in charging_dates(starts_at, ends_at)]
        assert grids[0].starts_at <= starts_at < grids[0].ends_at
        assert grids[-1].starts_at < ends_at <= grids[-1].ends_at
        assert len(grids) <= 2
