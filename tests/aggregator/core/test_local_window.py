from datetime import UTC, date, datetime

import pytest

from aggregator.core.local_window import InvalidWindow, clock_choices, length_text, window_at

AUTUMN, SPRING, PLAIN = date(2026, 10, 25), date(2026, 3, 29), date(2026, 7, 1)


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)


class TestWindowAt:
    def test_is_the_london_clock_in_utc(self):
        assert window_at(PLAIN, "17:30", 3) == (utc(2026, 7, 1, 16, 30), utc(2026, 7, 1, 18))

    def test_counts_half_hours_across_a_clock_change(self):
        assert window_at(AUTUMN, "00:30", 4) == (utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 1, 30))

    def test_tells_the_two_passings_of_the_repeated_hour_apart(self):
        assert window_at(AUTUMN, "01:30", 1)[0] == utc(2026, 10, 25, 0, 30)
        assert window_at(AUTUMN, "01:30*", 1)[0] == utc(2026, 10, 25, 1, 30)

    @pytest.mark.parametrize(
        ("day", "clock", "n", "field"),
        [
            (SPRING, "01:30", 1, "starts_at"),
            (SPRING, "01:00*", 1, "starts_at"),
            (PLAIN, "01:30*", 1, "starts_at"),
            (PLAIN, "17:30", 0, "ends_at"),
        ],
    )
    def test_refuses_what_no_clock_shows(self, day, clock, n, field):
        with pytest.raises(InvalidWindow) as refused:
            window_at(day, clock, n)

        assert refused.value.details["field"] == field


class TestClockChoices:
    def test_are_fifty_of_which_two_are_repeats(self):
        values = [value for value, _ in clock_choices()]

        assert len(values) == len(set(values)) == 50
        assert [value for value in values if value.endswith("*")] == ["01:00*", "01:30*"]


@pytest.mark.parametrize(("n", "text"), [(1, "30 min"), (2, "1 h"), (5, "2 h 30 min"), (48, "24 h")])
def test_length_text(n, text):
    assert length_text(n) == text
