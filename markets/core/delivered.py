"""Delivered volume: baseline against metered energy, positive in the direction asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray
from markets.core.energy import from_quanta, to_quanta

Direction = Literal["turn_down", "turn_up"]
MissingPolicy = Literal["strict", "exclude"]
Counting = Literal["net", "positive-only"]

MEASURED = "measured"
MISSING_READ = "missing-read"
NO_BASELINE = "no-baseline"


class UnknownUnit(FlexError):
    code = "delivered.unknown_unit"


class UnknownCounting(FlexError):
    code = "delivered.unknown_counting"


@dataclass(frozen=True, slots=True)
class UnitVolume:
    """Volume of each unit per half-hour, on the grid of 0.0001 kWh.

    Attributes:
        baseline_kwh: (n_unit, n_period) sum over the rows that have a baseline; NaN when none has.
        metered_kwh: (n_unit, n_period) sum over the rows that were read; NaN when none was.
        delivered_kwh: (n_unit, n_period) sum over the rows that have both, never NaN: the others deliver 0.
        n_missing: (n_unit, n_period) rows without a read.
        n_no_baseline: (n_unit, n_period) rows without a baseline.
    """

    baseline_kwh: FloatArray
    metered_kwh: FloatArray
    delivered_kwh: FloatArray
    n_missing: IntArray
    n_no_baseline: IntArray

    def reasons(self) -> StrArray:
        """(n_unit, n_period) why each volume is what it is; a missing read names itself first."""
        no_baseline = np.where(self.n_no_baseline > 0, NO_BASELINE, MEASURED)
        reasons: StrArray = np.where(self.n_missing > 0, MISSING_READ, no_baseline)
        return reasons


@dataclass(frozen=True, slots=True)
class CountedPeriods:
    """Which half-hours enter the performance sums.

    Attributes:
        counts: (n_unit, n_period) False only where a missing read was excluded.
        n_missing: (n_unit,) half-hours with a missing read.
        is_refused: (n_unit,) exclusion was asked but too few half-hours are present: strict was applied.
    """

    counts: BoolArray
    n_missing: IntArray
    is_refused: BoolArray


def delivered_kwh(
    baseline_kwh: FloatArray, metered_kwh: FloatArray, direction: Direction, *, counting: Counting = "net"
) -> FloatArray:
    """Baseline minus metered for a turn-down, metered minus baseline for a turn-up.

    Args:
        baseline_kwh: energy expected, any shape; NaN where there is no baseline.
        metered_kwh: energy metered, same shape, import positive; NaN is a missing read.
        counting: ``net`` keeps what went the wrong way as a negative volume, ``positive-only`` takes it as 0.

    Returns:
        Delivered energy in kWh on the grid of 0.0001 kWh, same shape; NaN stays NaN.

    Raises:
        UnknownCounting: another word.

    Source: docs/methods/delivered.md
    """
    if counting not in ("net", "positive-only"):
        raise UnknownCounting(f"counting is net or positive-only, found {counting!r}", counting=str(counting))
    saved = to_quanta(baseline_kwh) - to_quanta(metered_kwh)
    volume = saved if direction == "turn_down" else -saved + 0.0
    return from_quanta(np.maximum(volume, 0.0) if counting == "positive-only" else volume)


def unit_volume(
    baseline_kwh: FloatArray,
    metered_kwh: FloatArray,
    direction: Direction,
    *,
    row_units: Sequence[str],
    unit_ids: Sequence[str],
    counting: Counting = "net",
) -> UnitVolume:
    """Sum rows into their units; counted net, one asset's negative volume takes from another's.

    Args:
        baseline_kwh: (n_row, n_period) NaN where a row has no baseline.
        metered_kwh: (n_row, n_period) NaN where a read is missing.
        row_units: (n_row,) the unit of each row.
        unit_ids: (n_unit,) order of the result.
        counting: how a row that went the wrong way counts, row by row and half-hour by half-hour.

    Raises:
        UnknownUnit: a row belongs to none of ``unit_ids``.
        UnknownCounting: see ``delivered_kwh``.

    Source: docs/methods/delivered.md
    """
    unit_of_row = _unit_of_row(row_units, unit_ids)
    n_unit = len(unit_ids)
    return UnitVolume(
        baseline_kwh=_sums_kwh(baseline_kwh, unit_of_row, n_unit),
        metered_kwh=_sums_kwh(metered_kwh, unit_of_row, n_unit),
        delivered_kwh=np.nan_to_num(
            _sums_kwh(delivered_kwh(baseline_kwh, metered_kwh, direction, counting=counting), unit_of_row, n_unit),
            nan=0.0,
        ),
        n_missing=_count(np.isnan(metered_kwh), unit_of_row, n_unit),
        n_no_baseline=_count(np.isnan(baseline_kwh), unit_of_row, n_unit),
    )


def counted_periods(is_missing: BoolArray, policy: MissingPolicy, *, min_present_share: Decimal) -> CountedPeriods:
    """Decide which half-hours count: all (*strict*), or those with every read (*exclude*).

    Args:
        is_missing: (n_unit, n_period) a read is missing.
        min_present_share: exclusion needs at least this share of the half-hours, and never fewer than one.

    Source: docs/methods/delivered.md
    """
    n_missing = is_missing.sum(axis=1)
    n_present = is_missing.shape[1] - n_missing
    may_exclude = n_present >= max(1, math.ceil(min_present_share * is_missing.shape[1]))
    excludes = np.full(len(is_missing), policy == "exclude")
    return CountedPeriods(
        counts=~(is_missing & (excludes & may_exclude)[:, np.newaxis]),
        n_missing=n_missing,
        is_refused=excludes & ~may_exclude & (n_missing > 0),
    )


def _unit_of_row(row_units: Sequence[str], unit_ids: Sequence[str]) -> IntArray:
    index = {unit_id: position for position, unit_id in enumerate(unit_ids)}
    unknown = sorted(set(row_units) - set(index))
    if unknown:
        raise UnknownUnit(f"{len(unknown)} rows' units are not settled here, first {unknown[0]}", unit=unknown[0])
    return np.array([index[unit_id] for unit_id in row_units], dtype=np.int64)


def _sums_kwh(energy_kwh: FloatArray, unit_of_row: IntArray, n_unit: int) -> FloatArray:
    """(n_unit, n_period) exact sums on the settlement grid; NaN where no row of the unit has a value."""
    quanta = to_quanta(energy_kwh)
    sums = np.zeros((n_unit, energy_kwh.shape[1]))
    np.add.at(sums, unit_of_row, np.nan_to_num(quanta, nan=0.0))
    has_value = _count(~np.isnan(quanta), unit_of_row, n_unit) > 0
    return from_quanta(np.where(has_value, sums, np.nan))


def _count(flags: BoolArray, unit_of_row: IntArray, n_unit: int) -> IntArray:
    counts = np.zeros((n_unit, flags.shape[1]), dtype=np.int64)
    np.add.at(counts, unit_of_row, flags)
    return counts
