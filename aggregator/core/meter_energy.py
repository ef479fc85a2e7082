"""What meters measured, as one array, and cut onto a grid of periods."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.timegrid import SETTLEMENT_PERIOD, TimeGrid
from aggregator.core.types import FloatArray, IntArray, TimeArray


class InvalidMeterEnergy(FlexError):
    code = "reading.invalid_meter_energy"


class GridNotCovered(FlexError):
    code = "reading.grid_not_covered"


class InvalidReadings(FlexError):
    code = "reading.invalid"


@dataclass(frozen=True, slots=True)
class ReadingValues:
    """Half-hourly readings as they come, in any order.

    Attributes:
        meter_pks: (n,) key of the meter.
        starts_at: (n,) ``datetime64[s]`` UTC start of the half-hour.
        energy_kwh: (n,) consumption positive.

    Raises:
        InvalidReadings: shapes or types differ.
    """

    meter_pks: IntArray
    starts_at: TimeArray
    energy_kwh: FloatArray

    def __post_init__(self) -> None:
        shapes = (self.meter_pks.shape, self.starts_at.shape, self.energy_kwh.shape)
        if len({*shapes}) != 1 or self.meter_pks.ndim != 1:
            raise InvalidReadings(f"meter_pks, starts_at and energy_kwh have shapes {shapes}, expected one (n,)")
        if self.starts_at.dtype != np.dtype("datetime64[s]"):
            raise InvalidReadings(f"starts_at is {self.starts_at.dtype}, expected datetime64[s]")

    def __len__(self) -> int:
        return len(self.meter_pks)


@dataclass(frozen=True, slots=True)
class MeterEnergy:
    """Energy of meters over consecutive UTC days.

    Attributes:
        meter_pks: (n_meter,) in the order they were asked for.
        first_day: UTC day 0.
        energy_kwh: (n_meter, n_day, 48), NaN where nothing is known.

    Raises:
        InvalidMeterEnergy: shapes differ.
    """

    meter_pks: IntArray
    first_day: date
    energy_kwh: FloatArray

    def __post_init__(self) -> None:
        shape = self.energy_kwh.shape
        if len(shape) != 3 or (shape[0], shape[2]) != (len(self.meter_pks), PERIODS_A_DAY):
            raise InvalidMeterEnergy(
                f"energy_kwh has shape {shape}, expected ({len(self.meter_pks)}, n_day, {PERIODS_A_DAY})"
            )

    @property
    def n_day(self) -> int:
        return int(self.energy_kwh.shape[1])

    def on_grid(self, grid: TimeGrid) -> FloatArray:
        """Energy of each of the grid's half-hours: (n_meter, n_period) kWh, NaN where unknown.

        Raises:
            GridNotCovered: the grid is not of half-hours on :00 and :30, or reaches beyond the days.
        """
        first_at = datetime.combine(self.first_day, time(0), tzinfo=UTC)
        start, rest = divmod(grid.starts_at - first_at, SETTLEMENT_PERIOD)
        if grid.step != SETTLEMENT_PERIOD or rest or start < 0 or start + grid.n_period > self.n_day * PERIODS_A_DAY:
            raise GridNotCovered(
                f"asked for {grid.n_period} periods of {grid.period_minutes} min from {grid.starts_at.isoformat()}, "
                f"found {self.n_day} UTC days of half-hours from {self.first_day}",
                starts_at=grid.starts_at.isoformat(),
                first_day=self.first_day.isoformat(),
                n_day=self.n_day,
            )
        flat = self.energy_kwh.reshape(len(self.meter_pks), self.n_day * PERIODS_A_DAY)
        return flat[:, start : start + grid.n_period].copy()
