from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.invoice import (
    InvalidCutoff,
    PricedLine,
    against,
    cutoff_at,
    invoice_sha256,
    next_month,
    totals_of,
)
from markets.core.service_hours import service_intervals

PENCE = st.integers(-100_000, 100_000).map(lambda pence: Decimal(pence) / 100)
AMOUNTS = st.dictionaries(st.sampled_from([("utilisation", f"CALL-{n}") for n in range(6)]), PENCE)


class TestCutoffAt:
    @pytest.mark.parametrize(
        ("month", "day", "expected"),
        [
            (date(2026, 1, 1), 15, datetime(2026, 2, 15, tzinfo=UTC)),
            (date(2026, 12, 1), 15, datetime(2027, 1, 15, tzinfo=UTC)),
            (date(2026, 5, 1), 1, datetime(2026, 5, 31, 23, tzinfo=UTC)),
        ],
    )
    def test_is_local_midnight_of_the_next_months_day(self, month, day, expected):
        assert cutoff_at(month, cutoff_day=day) == expected

    @pytest.mark.parametrize("day", [0, 29, -1])
    def test_refuses_a_day_that_some_month_has_not(self, day):
        with pytest.raises(InvalidCutoff):
            cutoff_at(date(2026, 1, 1), cutoff_day=day)

    def test_knows_the_month_after(self):
        assert [next_month(date(2026, n, 1)) for n in (1, 11, 12)] == [
            date(2026, 2, 1),
            date(2026, 12, 1),
            date(2027, 1, 1),
        ]


class TestAgainst:
    def test_states_what_each_line_differs_by_and_those_that_are_gone(self):
        lines = [PricedLine("utilisation", "A", Decimal("5.41")), PricedLine("penalty", "A", Decimal("-1.00"))]
        before = {("utilisation", "A"): Decimal("5.84"), ("utilisation", "B"): Decimal("2.00")}
        found = against(lines, before)
        assert [(line.kind, line.reference, str(line.delta_gbp)) for line in found] == [
            ("utilisation", "A", "-0.43"),
            ("penalty", "A", "-1.00"),
            ("utilisation", "B", "-2.00"),
        ]
        assert str(totals_of(found).delta_gbp) == "-3.43"

    @given(now=AMOUNTS, before=AMOUNTS)
    def test_adds_up_to_what_is_worth_and_to_what_is_due(self, now, before):
        lines = against([PricedLine(*key, amount) for key, amount in now.items()], before)
        totals = totals_of(lines)
        assert totals.amount_gbp == sum(now.values(), Decimal(0))
        assert totals.before_gbp == sum(before.values(), Decimal(0))
        assert totals.delta_gbp == sum((line.delta_gbp for line in lines), Decimal(0))
        assert len({(line.kind, line.reference) for line in lines}) == len(lines)

    @given(now=AMOUNTS)
    def test_owes_nothing_where_nothing_changed(self, now):
        lines = against([PricedLine(*key, amount) for key, amount in now.items()], now)
        assert all(line.delta_gbp == 0 for line in lines)
        assert invoice_sha256(["x"], lines) != invoice_sha256(["y"], lines)


class TestServiceIntervals:
    WEEKDAY_EVENINGS = ({"weekdays": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "19:00"},)

    def test_cuts_local_hours_to_the_span(self):
        monday, tuesday = datetime(2026, 6, 1, 17, tzinfo=UTC), datetime(2026, 6, 2, 16, 30, tzinfo=UTC)
        found = service_intervals(self.WEEKDAY_EVENINGS, starts_at=monday, ends_at=tuesday)
        assert [(one.starts_at, one.ends_at) for one in found] == [
            (monday, datetime(2026, 6, 1, 18, tzinfo=UTC)),
            (datetime(2026, 6, 2, 16, tzinfo=UTC), tuesday),
        ]

    def test_counts_elapsed_hours_over_both_clock_changes(self):
        night = ({"weekdays": [6], "starts": "23:00", "ends": "06:00"},)
        for day, hours in ((date(2026, 3, 28), 6), (date(2026, 10, 24), 8), (date(2026, 7, 4), 7)):
            start = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            (window,) = service_intervals(night, starts_at=start, ends_at=start.replace(day=day.day + 2))
            assert (window.ends_at - window.starts_at).total_seconds() == hours * 3600
