"""From a DSRSP's meters to its portfolio: sums that never take a missing reading for zero."""

import numpy as np

from aggregator.core.types import BoolArray, FloatArray, IntArray
from markets.core.energy import from_quanta, to_quanta


def read_throughout(energy_kwh: FloatArray) -> BoolArray:
    """(n_meter,) meters with a reading in each of the (n_meter, n_period) half-hours.

    A meter with a gap in the event is left out of its portfolio's baseline and metered energy alike, so it delivers
    nothing: the strict rule, meter by meter.
    """
    complete: BoolArray = ~np.any(np.isnan(energy_kwh), axis=1)
    return complete


def portfolio_kwh(energy_kwh: FloatArray, unit: IntArray, *, n_unit: int, min_share: float) -> FloatArray:
    """Sum meters to units on the settlement grid; where some are missing, scale up by the share that was read.

    Each reading is put on the grid of 0.0001 kWh first, so that sums are exact in any order of meters.

    Args:
        energy_kwh: (n_meter, n_value) energy, NaN where no reading is known.
        unit: (n_meter,) unit of each meter, 0 to n_unit - 1.
        min_share: with a smaller share of a unit's meters read, the value is unknown.

    Returns:
        (n_unit, n_value) kWh; NaN where too few meters were read, or a unit has no meter.

    Source: docs/methods/baseline.md
    """
    is_read = ~np.isnan(energy_kwh)
    shape = (n_unit, energy_kwh.shape[1])
    total, n_read = np.zeros(shape), np.zeros(shape)
    np.add.at(total, unit, np.where(is_read, to_quanta(energy_kwh), 0.0))
    np.add.at(n_read, unit, is_read.astype(np.float64))
    return scaled_kwh(total, n_read, np.bincount(unit, minlength=n_unit), min_share=min_share)


def scaled_kwh(total_quanta: FloatArray, n_read: FloatArray, n_meter: IntArray, *, min_share: float) -> FloatArray:
    """Scale sums of the meters that were read up to all meters of a unit.

    Args:
        total_quanta, n_read: (n_unit, n_value) whole quanta, and how many meters they are the sum of.
        n_meter: (n_unit,) meters of each unit.

    Returns:
        (n_unit, n_value) kWh; NaN as ``portfolio_kwh`` says.
    """
    of_all = n_meter[:, np.newaxis]
    known = (n_read > 0) & (n_read >= min_share * of_all)
    return from_quanta(np.where(known, total_quanta * of_all / np.maximum(n_read, 1.0), np.nan))
