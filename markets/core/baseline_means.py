"""From the days found to one figure: which of them are averaged, and how far the day of the event departs from it."""

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray


class TooFewEligibleDays(FlexError):
    code = "baseline.too_few_eligible_days"


def middle_days_kwh(history_kwh: FloatArray, *, n_drop: int = 1, n_ranked: int | None = None) -> FloatArray:
    """Average the eligible days left once the highest and the lowest are dropped.

    Args:
        history_kwh: (n_row, n_day, n_period) energy drawn in the event window, finite, oldest day first.
        n_drop: days dropped at each end, ranked per row by the window's total; 1 of 10 days is mid 8-in-10.
        n_ranked: rank on the first ``n_ranked`` periods only; the rest follow the same days (adjustment window).

    Returns:
        (n_row, n_period) baseline energy in kWh.

    Raises:
        TooFewEligibleDays: n_day <= 2 * n_drop.

    Source: docs/methods/baseline.md
    """
    n_day = history_kwh.shape[1]
    if n_day <= 2 * n_drop:
        raise TooFewEligibleDays(f"the rule needs more than {2 * n_drop} eligible days, found {n_day}", n_day=n_day)
    return _mean_of_ranks(history_kwh, n_drop, n_day - n_drop, n_ranked)


def highest_days_kwh(history_kwh: FloatArray, *, n_keep: int, n_ranked: int | None = None) -> FloatArray:
    """Average the ``n_keep`` eligible days with the most energy, or all where there are no more.

    Args:
        history_kwh: (n_row, n_day, n_period) energy drawn in the event window, finite, oldest day first.
        n_keep: days kept, ranked per row by the window's total; of equal days the newer ones.
        n_ranked: as in ``middle_days_kwh``.

    Returns:
        (n_row, n_period) baseline energy in kWh.

    Raises:
        TooFewEligibleDays: there is no day.

    Source: docs/methods/baseline.md
    """
    n_day = history_kwh.shape[1]
    if n_day == 0:
        raise TooFewEligibleDays("the rule needs an eligible day, found none", n_day=0)
    return _mean_of_ranks(history_kwh, max(n_day - n_keep, 0), n_day, n_ranked)


def same_day_adjustment_kwh(metered_kwh: FloatArray, unadjusted_kwh: FloatArray, *, min_periods: int = 1) -> FloatArray:
    """Average how far the day of the event runs above its unadjusted baseline in the window.

    Args:
        metered_kwh: (n_row, n_window) energy metered in the window; NaN is a missing read.
        unadjusted_kwh: (n_row, n_window) unadjusted baseline of the window.
        min_periods: at least this many half-hours must have both.

    Returns:
        (n_row,) energy to add to every event period, in kWh; NaN where too few half-hours were read.

    Source: docs/methods/baseline.md
    """
    above_kwh = metered_kwh - unadjusted_kwh
    n_present = np.sum(~np.isnan(above_kwh), axis=1)
    mean_kwh = np.nansum(above_kwh, axis=1) / np.maximum(n_present, 1)
    adjustment_kwh: FloatArray = np.where(n_present >= max(min_periods, 1), mean_kwh, np.nan)
    return adjustment_kwh


def same_day_ratio(metered_kwh: FloatArray, unadjusted_kwh: FloatArray, *, min_periods: int = 1) -> FloatArray:
    """Divide what the window metered by what was expected of it, over the half-hours that have both.

    Args:
        metered_kwh, unadjusted_kwh, min_periods: as in ``same_day_adjustment_kwh``.

    Returns:
        (n_row,) factor for every event period; NaN where too few half-hours were read or no more than 0 was expected.

    Source: docs/methods/baseline.md
    """
    has_both = ~np.isnan(metered_kwh) & ~np.isnan(unadjusted_kwh)
    metered, expected = _sum_of(metered_kwh, has_both), _sum_of(unadjusted_kwh, has_both)
    is_known = (has_both.sum(axis=1) >= max(min_periods, 1)) & (expected > 0)
    ratio: FloatArray = np.where(is_known, metered / np.where(is_known, expected, 1.0), np.nan)
    return ratio


def _mean_of_ranks(history_kwh: FloatArray, first: int, last: int, n_ranked: int | None) -> FloatArray:
    # Stable: equal totals rank by recency, so a re-run settles the same money.
    by_total = np.argsort(history_kwh[:, :, :n_ranked].sum(axis=2), axis=1, kind="stable")
    kept = by_total[:, first:last, np.newaxis]
    mean_kwh: FloatArray = np.take_along_axis(history_kwh, kept, axis=1).mean(axis=1)
    return mean_kwh


def _sum_of(energy_kwh: FloatArray, counts: BoolArray) -> FloatArray:
    total: FloatArray = np.where(counts, energy_kwh, 0.0).sum(axis=1)
    return total
