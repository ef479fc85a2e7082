"""The figures of a day a person can check: what was asked, what it drew, what it cost, who was over a limit."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.types import FloatArray

OVER_KW = 1e-6


@dataclass(frozen=True, slots=True)
class DayCurves:
    """EV power of a day at each node, and what else the node carried.

    Attributes:
        rating_kw: (n_node,) +inf where unknown.
        background_kw: (n_node, n_period) other demand as it was.
        uncontrolled_kw, metered_kw: (n_node, n_period) EV power without and with dispatch.
    """

    rating_kw: FloatArray
    background_kw: FloatArray
    uncontrolled_kw: FloatArray
    metered_kw: FloatArray

    def total_kw(self, ev_kw: FloatArray) -> FloatArray:
        """(n_node, n_period) EV power and other demand together."""
        total: FloatArray = self.background_kw + ev_kw
        return total

    def n_over(self, ev_kw: FloatArray) -> int:
        """Nodes over their rating in at least one period."""
        over = self.total_kw(ev_kw) > self.rating_kw[:, np.newaxis] + OVER_KW
        return int(over.any(axis=1).sum())

    def tightest(self) -> int | None:
        """Index of the node that would come nearest to its rating, or pass it by most, without dispatch.

        None where no node has a known rating.
        """
        is_rated = np.isfinite(self.rating_kw)
        if not is_rated.any():
            return None
        peak_kw = self.total_kw(self.uncontrolled_kw).max(axis=1)
        has_evs = self.uncontrolled_kw.max(axis=1) > 0
        used = np.where(is_rated & has_evs, peak_kw / self.rating_kw, np.where(is_rated, 0.0, -1.0))
        return int(used.argmax())


def energy_cost_gbp(power_kw: FloatArray, price_gbp_per_kwh: FloatArray, step_h: float) -> float:
    """Cost of (n_period,) mean power at (n_period,) prices."""
    return float(step_h * (power_kw @ price_gbp_per_kwh))
