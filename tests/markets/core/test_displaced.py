from datetime import timedelta

import numpy as np
import pytest

from aggregator.core.timegrid import TimeGrid
from markets.core.displaced import displaced_report
from markets.core.hierarchy import Command, Tier
from tests.markets.core.test_hierarchy import RATED_KW, WORKED, at

GRID = TimeGrid(at(16), 4)


class TestDisplacedReport:
    def test_reports_the_worked_example_by_evse_and_in_total(self):
        """Two EVSEs told alike lose twice as much, from 16:00 to 18:00."""
        found = displaced_report({"b": WORKED, "a": WORKED}, grid=GRID, rated_kw={"a": RATED_KW, "b": RATED_KW})
        assert found.evse_ids == ("a", "b")
        np.testing.assert_array_equal(found.applied_kw, [[0.0, 3.68, 3.68, 0.0]] * 2)
        assert [(one.product, one.starts_at, one.cause, one.n_evse) for one in found.totals] == [
            ("neso-turn-up", at(16, 30), "network_limit", 2),
            ("neso-turn-up", at(17), "network_limit", 2),
            ("su-evening", at(17), "override", 2),
        ]
        assert [one.energy_kwh for one in found.totals] == pytest.approx([3.68, 3.68, 3.68])

    def test_adds_up(self):
        found = displaced_report({"a": WORKED, "b": WORKED[:4]}, grid=GRID, rated_kw={"a": RATED_KW, "b": 11.0})
        assert sum(one.energy_kwh for one in found.totals) == pytest.approx(
            sum(row.lost.energy_kwh for row in found.rows)
        )

    def test_applies_the_default_where_nobody_commands(self):
        early = Command("x", Tier.SCHEDULE, 7.0, at(16), at(16, 30))
        found = displaced_report({"a": (early,)}, grid=GRID, rated_kw={"a": 7.36}, default_kw=1.0)
        assert found.applied_kw.tolist() == [[7.0, 1.0, 1.0, 1.0]]
        assert found.rows == ()

    def test_takes_clock_change_nights_by_the_instant(self):
        """The night of 25 October 2026 has 01:00 twice: only UTC instants are compared."""
        hour = timedelta(hours=1)
        start = at(0).replace(month=10, day=25)
        command = Command("x", Tier.DSO_SERVICE, 0.0, start + hour, start + 2 * hour, "turn_down", "su")
        found = displaced_report({"a": (command,)}, grid=TimeGrid(start, 6), rated_kw={"a": 7.0}, default_kw=7.0)
        assert found.applied_kw.tolist() == [[7.0, 7.0, 0.0, 0.0, 7.0, 7.0]]
