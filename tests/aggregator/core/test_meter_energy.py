"""Meter energy cut onto grids of periods."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from aggregator.core.meter_energy import GridNotCovered, InvalidMeterEnergy, MeterEnergy
from aggregator.core.timegrid import TimeGrid, charging_day, settlement_day


def energy(first_day, n_day=3, n_meter=2):
    """Each half-hour's value is its number since the first day, plus 1000 a meter."""
    flat = np.arange(n_day * 48) + 1000.0 * np.arange(n_meter)[:, np.newaxis]
    return MeterEnergy(np.arange(n_meter), first_day, flat.reshape(n_meter, n_day, 48))


class TestOnGrid:
    @pytest.mark.parametrize(
        ("day", "first_day", "start", "n_period"),
        [
            (date(2023, 1, 10), date(2023, 1, 9), 48, 48),
            (date(2023, 3, 26), date(2023, 3, 26), 0, 46),
            (date(2023, 7, 1), date(2023, 6, 30), 46, 48),
            (date(2023, 10, 29), date(2023, 10, 28), 46, 50),
        ],
    )
    def test_cuts_out_settlement_days_of_every_length(self, day, first_day, start, n_period):
        cut = energy(first_day).on_grid(settlement_day(day))

        assert cut.shape == (2, n_period)
        assert cut[0].tolist() == list(range(start, start + n_period))
        assert (cut[1] - cut[0] == 1000).all()

    def test_cuts_a_charging_day_out_of_two_utc_days(self):
        assert energy(date(2023, 1, 9), 2).on_grid(charging_day(date(2023, 1, 9)))[0, [0, -1]].tolist() == [24, 71]

    @pytest.mark.parametrize(
        "grid",
        [
            TimeGrid(datetime(2023, 1, 8, 23, 30, tzinfo=UTC), 1),
            TimeGrid(datetime(2023, 1, 11, 23, 30, tzinfo=UTC), 2),
            TimeGrid(datetime(2023, 1, 9, 0, 15, tzinfo=UTC), 1),
            TimeGrid(datetime(2023, 1, 9, tzinfo=UTC), 1, 60),
        ],
    )
    def test_refuses_a_grid_it_does_not_cover(self, grid):
        with pytest.raises(GridNotCovered):
            energy(date(2023, 1, 9)).on_grid(grid)


class TestMeterEnergy:
    def test_refuses_energy_of_another_shape(self):
        with pytest.raises(InvalidMeterEnergy):
            MeterEnergy(np.arange(2), date(2023, 1, 1), np.zeros((2, 1, 46)))
