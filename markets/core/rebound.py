"""What comes back after an event: reported beside the volume delivered, and never taken off it."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.types import FloatArray
from markets.core.delivered import Direction
from markets.core.energy import from_quanta, to_quanta


@dataclass(frozen=True, slots=True)
class Rebound:
    """Energy beyond the baseline in the window after an event, against the direction that was asked.

    Attributes:
        rebound_kwh: (n_unit, n_period) negative where the unit went on delivering; NaN without a read or a baseline.
        total_kwh: (n_unit,) over the half-hours that are known; NaN where none is.
        n_unknown: (n_unit,) half-hours that are not.
    """

    rebound_kwh: FloatArray
    total_kwh: FloatArray
    n_unknown: FloatArray


def rebound(baseline_kwh: FloatArray, metered_kwh: FloatArray, direction: Direction) -> Rebound:
    """Metered less baseline after a turn-down, baseline less metered after a turn-up.

    Args:
        baseline_kwh, metered_kwh: (n_unit, n_period) of the half-hours after the event; NaN where unknown.

    Source: docs/methods/delivered.md
    """
    more = to_quanta(metered_kwh) - to_quanta(baseline_kwh)
    back = more if direction == "turn_down" else -more + 0.0
    is_known = ~np.isnan(back)
    total = np.where(is_known.any(axis=1), np.where(is_known, back, 0.0).sum(axis=1), np.nan)
    return Rebound(from_quanta(back), from_quanta(total), (~is_known).sum(axis=1).astype(np.float64))
