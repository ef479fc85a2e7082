from datetime import UTC, datetime
from decimal import Decimal

import pytest

from aggregator.core.display import number, stamp
from markets.core.tiles import cycle_tiles


class TestNumber:
    @pytest.mark.parametrize(
        ("value", "n_decimal", "expected"),
        [
            (1234567.891, 1, "1,234,567.9"),
            (Decimal("8.55"), 2, "8.55"),
            (12, 0, "12"),
            (-0.001, 2, "0.00"),
            (-1.25, 2, "-1.25"),
            (None, 1, "—"),
            (float("nan"), 1, "—"),
            (float("inf"), 1, "—"),
            ("1234.50", 2, "1,234.50"),
            ("7 pounds", 1, "—"),
            ("nan", 1, "—"),
            (True, 1, "—"),
        ],
    )
    def test_separates_thousands_and_dashes_what_is_no_figure(self, value, n_decimal, expected):
        assert number(value, n_decimal) == expected


class TestStamp:
    def test_tells_the_two_passings_of_the_repeated_hour_apart(self):
        first, second = (stamp(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1))

        assert (first.local, first.utc) == ("25 Oct 2026 01:30 BST", "2026-10-25 00:30Z")
        assert (second.local, second.utc) == ("25 Oct 2026 01:30 GMT", "2026-10-25 01:30Z")


class TestCycleTiles:
    @staticmethod
    def by_label(summary, **options):
        return {tile.label: tile for group in cycle_tiles(summary, **options) for tile in group.tiles}

    def test_mark_a_shortfall_a_broken_limit_and_a_plan_without_proof(self):
        tiles = self.by_label({"shortfall_kwh": 3.2, "max_violation_kw": 0.01, "rung": "greedy"})

        assert {label: tile.alert for label, tile in tiles.items() if tile.alert} == {
            "Shortfall": "request not met",
            "Limit exceeded by": "limit broken",
            "Proof": "not certified",
        }

    def test_mark_nothing_when_all_is_kept(self):
        tiles = self.by_label({"shortfall_kwh": 0.0, "max_violation_kw": 0.0, "rung": "certified", "gap": 0.00025})

        assert not [tile for tile in tiles.values() if tile.alert]
        assert (tiles["Gap"].value, tiles["Gap"].unit) == ("0.025", "%")

    def test_hide_ev_figures_when_told(self):
        tiles = self.by_label({"energy_asked_kwh": 10.0, "cost_gbp": 5.0}, are_ev_figures_shown=False)

        assert (tiles["Energy asked"].value, tiles["Plan cost"].value) == ("—", "5.00")
