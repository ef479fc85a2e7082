"""Does a row behave before an event as it does on other days? A test with a known rate of false alarms."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray
from markets.core.delivered import Direction

FEWEST_DAYS = 4  # a weekend has no more like days


class InvalidGamingTest(FlexError):
    code = "baseline.invalid_gaming_test"


@dataclass(frozen=True, slots=True)
class Departure:
    """How far each row's window before an event lies from the same window of its like days.

    Attributes:
        t: (n_row,) (metered - mean of like days) / (their standard deviation * sqrt(1 + 1/n)); positive in the
            direction that pays: more drawn before a turn-down, less before a turn-up. NaN where it cannot be said.
        p: (n_row,) chance of so large a ``t`` or a larger one if the day were like the others, by Student's
            distribution with n - 1 degrees of freedom.
        n_days: (n_row,) like days compared with.
        is_flagged: (n_row,) p is below the level asked.
    """

    t: FloatArray
    p: FloatArray
    n_days: IntArray
    is_flagged: BoolArray


def departure(
    window_kwh: FloatArray, like_days_kwh: FloatArray, *, direction: Direction, alpha: float = 0.01
) -> Departure:
    """Test the energy of the adjustment window against that of like days.

    Args:
        window_kwh: (n_row,) energy of the window before the event; NaN where a read is missing.
        like_days_kwh: (n_row, n_day) energy of the same clock times on the row's like days; NaN is no such day.
        direction: a turn-down pays for a high baseline, a turn-up for a low one.
        alpha: rate of false flags wanted, for one row and one event.

    Raises:
        InvalidGamingTest: ``alpha`` is no rate, or the shapes do not fit.

    Source: docs/methods/baseline.md
    """
    if not 0 < alpha < 1:
        raise InvalidGamingTest(f"alpha must lie between 0 and 1, found {alpha}", field="alpha")
    if like_days_kwh.ndim != 2 or window_kwh.shape != like_days_kwh.shape[:1]:
        raise InvalidGamingTest(
            f"like_days_kwh must be (n_row, n_day) for {window_kwh.shape} rows, found {like_days_kwh.shape}"
        )
    is_known = ~np.isnan(like_days_kwh)
    n_days = is_known.sum(axis=1)
    mean_kwh = np.where(is_known, like_days_kwh, 0.0).sum(axis=1) / np.maximum(n_days, 1)
    squares = np.where(is_known, (like_days_kwh - mean_kwh[:, np.newaxis]) ** 2, 0.0).sum(axis=1)
    deviation_kwh = np.sqrt(squares / np.maximum(n_days - 1, 1))
    # A row whose like days are all alike has no spread to measure by: nothing can be said.
    may_say = (n_days >= FEWEST_DAYS) & (deviation_kwh > 0) & ~np.isnan(window_kwh)
    scale_kwh = np.where(may_say, deviation_kwh * np.sqrt(1 + 1 / np.maximum(n_days, 1)), 1.0)
    sign = 1.0 if direction == "turn_down" else -1.0
    t = np.where(may_say, sign * (np.nan_to_num(window_kwh) - mean_kwh) / scale_kwh, np.nan)
    p = np.where(may_say, stdtr(np.maximum(n_days - 1, 1), -np.nan_to_num(t)), np.nan)
    return Departure(t=t, p=p, n_days=n_days, is_flagged=may_say & (np.nan_to_num(p, nan=1.0) < alpha))
