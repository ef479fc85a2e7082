from datetime import UTC, date, datetime, time

import pytest

from aggregator.core.wall_time import LocalTimeTwice, NoSuchLocalTime, instant_of

SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


class TestInstantOf:
    def test_is_an_hour_earlier_in_summer(self):
        assert instant_of(date(2026, 1, 15), time(17)) == datetime(2026, 1, 15, 17, tzinfo=UTC)
        assert instant_of(date(2026, 7, 15), time(17)) == datetime(2026, 7, 15, 16, tzinfo=UTC)

    @pytest.mark.parametrize("at", [time(1), time(1, 30), time(1, 59)])
    def test_is_none_in_the_hour_that_is_skipped(self, at):
        with pytest.raises(NoSuchLocalTime, match=r"2026-03-29 01:.. does not exist"):
            instant_of(SPRING, at)

    @pytest.mark.parametrize("at", [time(1), time(1, 30), time(1, 59)])
    def test_is_not_guessed_in_the_hour_that_comes_twice(self, at):
        with pytest.raises(LocalTimeTwice, match=r"2026-10-25 01:.. comes twice"):
            instant_of(AUTUMN, at)

    @pytest.mark.parametrize("day", [SPRING, AUTUMN])
    def test_is_sure_just_before_and_after(self, day):
        assert instant_of(day, time(0, 59)).minute == 59
        assert instant_of(day, time(2)).hour == (1 if day == SPRING else 2)
