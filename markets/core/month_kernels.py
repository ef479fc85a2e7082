"""Compiled loops of a settlement over many meters and events: whole quanta, ``NO_VALUE`` where nothing is known.

Each works on (n_meter, n_half_hour) int32 quanta, one row a meter and one column a UTC half-hour from the first day
loaded. Baselines follow ``markets.core.baseline`` line by line; the tests hold the two against each other.
"""

import numpy as np

from aggregator.core.types import BoolArray, FloatArray, Int32Array, IntArray
from dispatch.core.leaf import leaf
from markets.core.energy import QUANTA_PER_KWH, TIE_QUANTA
from markets.core.evse_volume import LARGEST_KWH, NO_VALUE

_NO_VALUE = np.int32(NO_VALUE)
_UNREAD = np.iinfo(np.int64).min
_LARGEST = LARGEST_KWH * QUANTA_PER_KWH
_HALF_UP = 0.5 + TIE_QUANTA
_PER_KWH = float(QUANTA_PER_KWH)


@leaf
def lay_days(
    energy_kwh: FloatArray, meter: IntArray, first_half_hour: IntArray, order: IntArray, quanta: Int32Array
) -> int:
    """Lay rows of half-hours over each other in ``order``; the number of values too large for an int32.

    Args:
        energy_kwh: (n_row, n_value) as stored: NaN where the row says nothing, else 0 or more.
        meter, first_half_hour: (n_row,) where the row belongs in ``quanta``.
        quanta: (n_meter, n_half_hour) changed in place.
    """
    n_too_large = 0
    for at in range(len(order)):
        row = order[at]
        into = quanta[meter[row]]
        first = first_half_hour[row]
        for value in range(energy_kwh.shape[1]):
            energy = energy_kwh[row, value]
            if energy == energy:  # not NaN
                whole = np.floor(energy * _PER_KWH + _HALF_UP)
                if whole > _LARGEST:
                    n_too_large += 1
                else:
                    into[first + value] = np.int32(whole)
    return n_too_large


@leaf
def add_meters(quanta: Int32Array, meters: IntArray, unit: IntArray, total: FloatArray, n_read: FloatArray) -> None:
    """Add the half-hours of ``meters`` to their units' sums.

    Args:
        meters, unit: (n,) rows of ``quanta`` and the unit of each.
        total, n_read: (n_unit, n_half_hour) changed in place: whole quanta, and how many meters were read.
    """
    for at in range(len(meters)):
        row, into, read = quanta[meters[at]], total[unit[at]], n_read[unit[at]]
        for half_hour in range(len(row)):
            if row[half_hour] != _NO_VALUE:
                into[half_hour] += row[half_hour]
                read[half_hour] += 1.0


@leaf
def add_meters_at(
    quanta: Int32Array, meters: IntArray, unit: IntArray, half_hours: IntArray, total: FloatArray, n_read: FloatArray
) -> None:
    """``add_meters`` at some half-hours only: ``total`` and ``n_read`` are (n_unit, n_half_hours asked)."""
    for at in range(len(meters)):
        row, into, read = quanta[meters[at]], total[unit[at]], n_read[unit[at]]
        for asked in range(len(half_hours)):
            value = row[half_hours[asked]]
            if value != _NO_VALUE:
                into[asked] += value
                read[asked] += 1.0


@leaf
def _total(row: Int32Array, half_hours: IntArray, n_ranked: int) -> int:
    """Sum of the first ``n_ranked`` of these half-hours; ``_UNREAD`` where any of them all was not read."""
    total = 0
    for column in range(len(half_hours)):
        value = row[half_hours[column]]
        if value == _NO_VALUE:
            return _UNREAD
        if column < n_ranked:
            total += value
    return total


@leaf
def _choose_days(
    row: Int32Array, half_hours: IntArray, is_eligible: BoolArray, n_ranked: int, kept: IntArray, totals: IntArray
) -> int:
    """Put the newest eligible days into ``kept`` by their totals; how many there are, up to its length."""
    found = 0
    for back in range(1, len(half_hours) + 1):
        day = len(half_hours) - back
        if found == len(kept):
            break
        total = _total(row, half_hours[day], n_ranked) if is_eligible[day] else _UNREAD
        if total == _UNREAD:
            continue
        # From the newest day back: of equal days the older stands first, as in a stable ranking from the oldest.
        place = found
        while place > 0 and totals[place - 1] >= total:
            totals[place], kept[place] = totals[place - 1], kept[place - 1]
            place -= 1
        totals[place], kept[place] = total, day
        found += 1
    return found


@leaf
def add_means_of_days(
    quanta: Int32Array,
    meters: IntArray,
    unit: IntArray,
    half_hours: IntArray,
    is_eligible: BoolArray,
    n_ranked: int,
    n_drop: int,
    n_highest: int,
    kept: IntArray,
    totals: IntArray,
    means: FloatArray,
    n_found: IntArray,
) -> None:
    """Mean of each meter's middle or highest days for one settlement date of an event.

    Args:
        meters, unit: (n,) rows of ``quanta`` and the unit of each.
        half_hours: (n_day, n_column) where each candidate day's periods stand, oldest day first.
        is_eligible: (n_unit, n_day) days of the rule and the type on which the unit was not called.
        n_ranked: the first columns, by whose sum days are ranked.
        n_drop: days dropped at each end; or average the ``n_highest`` where that is not negative.
        kept, totals: (n_days wanted,) scratch.
        means: (n, n_column) quanta, changed in place; NaN with too few days.
        n_found: (n,) eligible days found, changed in place.
    """
    for at in range(len(meters)):
        row = quanta[meters[at]]
        found = _choose_days(row, half_hours, is_eligible[unit[at]], n_ranked, kept, totals)
        n_found[at] = found
        first, last = (n_drop, found - n_drop) if n_highest < 0 else (max(found - n_highest, 0), found)
        if last <= first:
            means[at] = np.nan
            continue
        for column in range(half_hours.shape[1]):
            summed = 0.0
            for place in range(first, last):
                summed += row[half_hours[kept[place], column]]
            means[at, column] = summed / (last - first)


@leaf
def _share_of_mean(event_means: FloatArray, cap_share: float) -> float:
    """The largest adjustment: a share of the mean over the periods that have one."""
    n_known, summed = 0, 0.0
    for period in range(len(event_means)):
        if event_means[period] == event_means[period]:
            summed += event_means[period]
            n_known += 1
    return float(cap_share * abs(summed / max(n_known, 1)))


@leaf
def _round(adjusted: float, floor_at_zero: bool) -> int:
    """Whole quanta, halves away from zero; ``NO_VALUE`` of NaN."""
    if adjusted != adjusted:
        return NO_VALUE
    if adjusted >= 0:
        return int(np.floor(adjusted + _HALF_UP))
    return 0 if floor_at_zero else int(-np.floor(_HALF_UP - adjusted))


@leaf
def add_adjusted(
    quanta: Int32Array,
    meters: IntArray,
    window: IntArray,
    window_means: FloatArray,
    event_means: FloatArray,
    is_ratio: bool,
    min_periods: int,
    cap_share: float,
    floor_at_zero: bool,
    baseline: Int32Array,
    rows: IntArray,
) -> None:
    """Adjust the means by the window before the event and round them once.

    Args:
        window: (n_window,) half-hours of the window before the event; none leaves the means as they are.
        window_means, event_means: (n, n_window) and (n, n_period) quanta, NaN without a baseline.
        is_ratio: multiply by what the window read over what was expected of it, instead of adding the mean difference.
        cap_share: NaN is no cap.
        baseline: changed in place at ``rows``, (n,); ``NO_VALUE`` without a baseline.
    """
    n_needed, has_cap = max(min_periods, 1), cap_share == cap_share
    for at in range(len(meters)):
        row, n_both, metered, above, expected = quanta[meters[at]], 0, 0.0, 0.0, 0.0
        for period in range(len(window)):
            value, mean = row[window[period]], window_means[at, period]
            if value != _NO_VALUE and mean == mean:
                metered += value
                above += value - mean
                expected += mean
                n_both += 1
        added, ratio = 0.0, 1.0
        if n_both >= n_needed and is_ratio and expected > 0:
            ratio = metered / expected
            if has_cap:
                ratio = min(max(ratio, 1.0 - cap_share, 0.0), 1.0 + cap_share)
        elif n_both >= n_needed and not is_ratio:
            added = above / n_both
            if has_cap:
                largest = _share_of_mean(event_means[at], cap_share)
                added = min(max(added, -largest), largest)
        for period in range(event_means.shape[1]):
            baseline[rows[at], period] = _round(event_means[at, period] * ratio + added, floor_at_zero)
