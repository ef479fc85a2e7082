"""What is left of an instruction that was stopped."""

from datetime import timedelta

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, TimeArray


class InvalidStop(FlexError):
    code = "markets.invalid_stop"


def after_stops(instructed_kw: FloatArray, stopped_at: TimeArray, *, grid: TimeGrid) -> FloatArray:
    """Take from each unit's instruction what lies after its stop.

    A period after the stop is instructed 0; the period the stop falls in keeps its share up to it, as power over the
    whole period, so that power times the period is still the energy instructed.

    Args:
        instructed_kw: (n_unit, n_period) as it was instructed.
        stopped_at: (n_unit,) ``datetime64[s]`` UTC instant of the stop, NaT where there was none.
        grid: the n_period settlement periods of the event.

    Returns:
        (n_unit, n_period) kW, nowhere above ``instructed_kw``.

    Raises:
        InvalidStop: shapes that differ.

    Source: docs/methods/trading.md
    """
    n_unit = len(stopped_at)
    if instructed_kw.shape != (n_unit, grid.n_period):
        raise InvalidStop(
            f"{instructed_kw.shape} instructed powers do not go with {n_unit} stops in {grid.n_period} periods"
        )
    period_s = grid.step // timedelta(seconds=1)
    until_s = (stopped_at[:, np.newaxis] - grid.period_starts()[np.newaxis, :]) / np.timedelta64(1, "s")
    share = np.where(np.isnan(until_s), 1.0, np.clip(until_s / period_s, 0.0, 1.0))
    left_kw: FloatArray = instructed_kw * share
    return left_kw
