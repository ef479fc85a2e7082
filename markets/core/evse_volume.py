"""Each EVSE's own baseline and metered energy in an event, as it is kept for a settled day."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import TimeGrid, settlement_period_at
from aggregator.core.types import FloatArray, Int32Array
from markets.core.delivered import Direction
from markets.core.energy import from_quanta, nearest_quanta, to_quanta

# A quantum is 0.0001 kWh; int32 holds sums and differences of 50 MWh a half-hour, which no EVSE reaches.
NO_VALUE = np.iinfo(np.int32).min
LARGEST_KWH = 50_000.0


class InvalidEvseVolume(FlexError):
    code = "settle.invalid_evse_volume"


class SettledDate(NamedTuple):
    """The periods of an event on one settlement date: numbered from ``first_period``, at ``periods`` of its grid."""

    settlement_date: date
    first_period: int
    periods: slice


@dataclass(frozen=True, slots=True)
class EvseVolume:
    """What each EVSE would have drawn and drew in an event, in whole quanta of 0.0001 kWh.

    Attributes:
        grid: the event's half-hours.
        baseline_quanta: (n_evse, n_period) by the product's rule on the EVSE's own history; ``NO_VALUE`` without one.
        metered_quanta: (n_evse, n_period); ``NO_VALUE`` is a missing read.

    Raises:
        InvalidEvseVolume: shapes that differ.
    """

    grid: TimeGrid
    baseline_quanta: Int32Array
    metered_quanta: Int32Array

    def __post_init__(self) -> None:
        shapes = (self.baseline_quanta.shape, self.metered_quanta.shape)
        if shapes != ((len(self.baseline_quanta), self.grid.n_period),) * 2:
            raise InvalidEvseVolume(f"baseline and metered have shapes {shapes}, expected (n, {self.grid.n_period})")

    def delivered_quanta(self, direction: Direction) -> Int32Array:
        """(n_evse, n_period) positive in the direction asked; ``NO_VALUE`` where either side is unknown."""
        sign = np.int32(1 if direction == "turn_down" else -1)
        is_known = (self.baseline_quanta != NO_VALUE) & (self.metered_quanta != NO_VALUE)
        zero = np.int32(0)
        saved = np.where(is_known, self.baseline_quanta, zero) - np.where(is_known, self.metered_quanta, zero)
        delivered: Int32Array = np.where(is_known, sign * saved, np.int32(NO_VALUE)).astype(np.int32)
        return delivered

    def dates(self) -> list[SettledDate]:
        """The event cut by settlement date, oldest first."""
        numbered = [settlement_period_at(at) for at in self.grid.starts()]
        found = []
        for day in sorted({period.settlement_date for period in numbered}):
            at = [index for index, period in enumerate(numbered) if period.settlement_date == day]
            found.append(SettledDate(day, numbered[at[0]].number, slice(at[0], at[-1] + 1)))
        return found


def as_quanta(energy_kwh: FloatArray) -> Int32Array:
    """Whole quanta of each energy, any shape; NaN becomes ``NO_VALUE``.

    Raises:
        InvalidEvseVolume: more than an int32 holds.
    """
    quanta = to_quanta(energy_kwh)
    if (np.abs(quanta) > LARGEST_KWH * 10_000).any():
        raise InvalidEvseVolume(f"a half-hour of an EVSE holds up to {LARGEST_KWH:g} kWh, found more")
    whole: Int32Array = np.where(np.isnan(quanta), NO_VALUE, quanta).astype(np.int32)
    return whole


def as_kwh(quanta: Int32Array) -> FloatArray:
    """Energy in kWh of whole quanta, any shape; NaN for ``NO_VALUE``."""
    return from_quanta(nearest_quanta(np.where(quanta == NO_VALUE, np.nan, quanta.astype(np.float64))))
