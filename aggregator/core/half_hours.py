"""The known half-hours of a span of time."""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from aggregator.core.intervals import to_datetime64
from aggregator.core.readings import HALF_HOUR
from aggregator.core.types import FloatArray, TimeArray


@dataclass(frozen=True, slots=True)
class HalfHours:
    """(n,) ``datetime64[s]`` UTC starts in order, and (n,) finite values."""

    starts_at: TimeArray
    values: FloatArray


def known_between(values: FloatArray, *, first_day: date, starts_at: datetime, ends_at: datetime) -> HalfHours:
    """The half-hours that begin in ``[starts_at, ends_at)`` and are known.

    Args:
        values: (n_day, 48) of UTC days from ``first_day``, NaN where nothing is known.
    """
    flat = values.reshape(-1)
    first = np.datetime64(first_day, "s")
    starts: TimeArray = first + np.arange(len(flat)) * HALF_HOUR
    wanted = np.isfinite(flat) & (starts >= to_datetime64(starts_at)) & (starts < to_datetime64(ends_at))
    return HalfHours(starts[wanted], flat[wanted])
