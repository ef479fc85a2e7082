"""Exact accounting of intervals against a row of equal periods."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, IntArray, TimeArray


class NaiveTime(FlexError):
    code = "time.naive"


@dataclass(frozen=True, slots=True)
class PeriodPieces:
    """The pieces of intervals cut at period boundaries, one entry per (interval, period) met.

    Attributes:
        row: (n_piece,) which interval.
        period: (n_piece,) which period, 0 to n_period - 1.
        share: (n_piece,) part of the period covered, above 0 and at most 1.
    """

    row: IntArray
    period: IntArray
    share: FloatArray


def to_datetime64(at: datetime) -> np.datetime64:
    """UTC instant of an aware time as ``datetime64[us]``.

    Raises:
        NaiveTime: no time zone, so the instant is unknown.
    """
    if at.tzinfo is None:
        raise NaiveTime(f"an aware time is needed, found {at.isoformat()}")
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")


def periods_from_start(at: TimeArray, grid: TimeGrid) -> FloatArray:
    """Position of each instant on the grid, in periods from its start (may lie outside)."""
    first = np.datetime64(grid.starts_at.replace(tzinfo=None), "s")
    position: FloatArray = (at - first) / np.timedelta64(grid.period_minutes * 60, "s")
    return position


def split_by_period(starts: FloatArray, ends: FloatArray, n_period: int) -> PeriodPieces:
    """Cut half-open intervals at period boundaries.

    Args:
        starts, ends: (n,) positions in periods from the grid's start; what lies outside 0 to ``n_period`` is left
            out, and so is an interval that is empty or reversed.
    """
    from_ = np.clip(starts, 0, n_period)
    to = np.clip(ends, 0, n_period)
    n_met = np.where(to > from_, np.ceil(to) - np.floor(from_), 0).astype(np.int64)
    row: IntArray = np.repeat(np.arange(len(from_)), n_met)
    within = np.arange(len(row)) - np.repeat(np.cumsum(n_met) - n_met, n_met)
    period = np.floor(from_[row]).astype(np.int64) + within
    share = np.minimum(to[row], period + 1) - np.maximum(from_[row], period)
    return PeriodPieces(row, period, share)
