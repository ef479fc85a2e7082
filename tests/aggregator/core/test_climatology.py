from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.climatology import day_visits, grouped_quantiles
from aggregator.core.local_clock import charging_days
from tests.sessions import history


class TestGroupedQuantiles:
    @given(
        rows=st.lists(st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6)), max_size=30),
        quantiles=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    )
    def test_agrees_with_numpy_group_by_group(self, rows, quantiles):
        key = np.array([row[0] for row in rows], dtype=np.int64)
        values = np.array([row[1] for row in rows], dtype=np.float64)

        found = grouped_quantiles(values, key, 4, np.array(quantiles))

        for group in range(4):
            own = values[key == group]
            expected = np.quantile(own, quantiles) if len(own) else np.full(len(quantiles), np.nan)
            np.testing.assert_allclose(found[group], expected, rtol=1e-9, atol=1e-9)


class TestDayVisits:
    def test_takes_the_longest_stay_and_the_energy_of_all(self):
        sessions = history(
            [
                ("a", "2026-01-15 13:00", "2026-01-15 14:00", 2.0),
                ("a", "2026-01-15 18:00", "2026-01-16 07:30", 8.0),
                ("a", "2026-01-16 08:00", "2026-01-16 09:00", 1.0),
                ("a", "2026-01-16 12:00", "2026-01-16 13:00", 4.0),
                ("b", "2026-01-15 23:00", "2026-01-18 01:00", 30.0),
                ("b", "2026-01-14 11:59", "2026-01-14 23:00", 30.0),
            ]
        )

        visits = day_visits(sessions, charging_days(date(2026, 1, 14), 3))

        found = list(zip(visits.evse, visits.day, visits.in_h, visits.out_h, visits.energy_kwh, strict=True))
        assert found == [(0, 1, 6.0, 19.5, 11.0), (0, 2, 0.0, 1.0, 4.0), (1, 1, 11.0, 24.0, 30.0)]

    def test_never_leaves_before_it_comes_in_the_repeated_hour(self):
        sessions = history([("a", "2026-10-25 01:50", "2026-10-25 02:30", 1.0)])
        sessions.plug_out_at[0] = np.datetime64("2026-10-25T01:10:00")

        visits = day_visits(sessions, charging_days(date(2026, 10, 24), 1))

        assert visits.out_h[0] >= visits.in_h[0] > 13.8

    def test_finds_no_visits_in_an_empty_record(self):
        visits = day_visits(history([], evse_ids=["a"]), charging_days(date(2026, 1, 14), 3))

        assert len(visits.evse) == 0
