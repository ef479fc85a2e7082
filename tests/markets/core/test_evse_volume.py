from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import TimeGrid, settlement_day
from markets.core.evse_volume import NO_VALUE, EvseVolume, InvalidEvseVolume, SettledDate, as_kwh, as_quanta

GRID = TimeGrid(datetime(2026, 1, 9, 23, tzinfo=UTC), 4)


def volume(baseline, metered, grid=GRID):
    return EvseVolume(grid, np.array(baseline, dtype=np.int32), np.array(metered, dtype=np.int32))


class TestEvseVolume:
    def test_signs_delivered_energy_to_the_direction_asked(self):
        found = volume([[20, 20, 5, NO_VALUE]], [[5, 30, NO_VALUE, 7]])
        assert found.delivered_quanta("turn_down").tolist() == [[15, -10, NO_VALUE, NO_VALUE]]
        assert found.delivered_quanta("turn_up").tolist() == [[-15, 10, NO_VALUE, NO_VALUE]]

    def test_is_cut_by_settlement_date(self):
        none = volume(np.zeros((0, 4)), np.zeros((0, 4)))
        assert none.dates() == [
            SettledDate(date(2026, 1, 9), 47, slice(0, 2)),
            SettledDate(date(2026, 1, 10), 1, slice(2, 4)),
        ]

    @pytest.mark.parametrize(("day", "n"), [(date(2026, 3, 29), 46), (date(2026, 7, 1), 48), (date(2026, 10, 25), 50)])
    def test_numbers_every_period_of_a_day(self, day, n):
        none = np.zeros((0, n), dtype=np.int32)
        assert EvseVolume(settlement_day(day), none, none).dates() == [SettledDate(day, 1, slice(0, n))]

    def test_refuses_shapes_that_differ(self):
        with pytest.raises(InvalidEvseVolume, match=r"expected \(n, 4\)"):
            volume([[1, 2, 3, 4]], [[1, 2, 3]])


class TestAsQuanta:
    @given(st.lists(st.one_of(st.integers(0, 3_450_000), st.none()), max_size=20))
    def test_comes_back_as_it_went(self, quanta):
        kwh = np.array([np.nan if one is None else one / 10_000 for one in quanta], dtype=np.float64)
        np.testing.assert_array_equal(as_kwh(as_quanta(kwh)), kwh)

    def test_rounds_halves_up(self):
        assert as_quanta(np.array([0.00005, 0.00004999, np.nan])).tolist() == [1, 0, NO_VALUE]

    def test_refuses_what_no_evse_draws(self):
        with pytest.raises(InvalidEvseVolume, match="up to 50000 kWh"):
            as_quanta(np.array([50_001.0]))
