"""Half-hours that are missing from a series, named and, where a value is needed, filled by a stated rule."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.local_clock import clock_period
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray

LOOK_BACK_DAYS = 14


class NothingToFillFrom(FlexError):
    code = "series.nothing_to_fill_from"


@dataclass(frozen=True, slots=True)
class PeriodValues:
    """A value for every period of a grid.

    Attributes:
        values: (n_period,) finite.
        is_filled: (n_period,) where the value was not known and comes from an earlier day.
        findings: one per run of filled periods.
    """

    values: FloatArray
    is_filled: BoolArray
    findings: tuple[FindingNote, ...]


def fill_by_clock(known: FloatArray, *, grid: TimeGrid, n_wanted: int, subject: str) -> PeriodValues:
    """Fill each missing half-hour with the last known value of an earlier day at the same London clock time.

    Args:
        known: (n_period,) on ``grid``, NaN where nothing is known.
        grid: half-hours; the last ``n_wanted`` are asked for, those before are there to fill from.
        subject: what the series is, for findings.

    Raises:
        NothingToFillFrom: no value is known at that clock time on any earlier day of the grid.
    """
    clock = clock_period(grid)
    first = grid.n_period - n_wanted
    values = known.copy()
    is_known = np.isfinite(known)
    for at in np.flatnonzero(~is_known[first:]) + first:
        earlier = np.flatnonzero(is_known[:at] & (clock[:at] == clock[at]))
        if len(earlier) == 0:
            start = grid.starts()[at].isoformat()
            raise NothingToFillFrom(
                f"{subject} is not known at {start}, nor at that clock time on an earlier day from "
                f"{grid.starts_at.date()} on",
                subject=subject,
                starts_at=start,
            )
        values[at] = known[earlier[-1]]
    is_filled = ~is_known[first:]
    findings = gap_notes(
        is_filled,
        grid=TimeGrid(grid.starts()[first], n_wanted),
        code="series.filled",
        subject=subject,
        saying="filled with the last known value at the same clock time",
    )
    return PeriodValues(values[first:], is_filled, findings)


def gap_notes(
    is_missing: BoolArray, *, grid: TimeGrid, code: str, subject: str, saying: str = "missing"
) -> tuple[FindingNote, ...]:
    """One finding per run of missing periods.

    Args:
        is_missing: (n_period,) on ``grid``.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_missing, [False]]).astype(np.int8)))
    starts = grid.starts()
    return tuple(
        FindingNote(
            code,
            subject,
            f"{subject}: {until - since} half-hours from {starts[since].isoformat()} {saying}",
            details={"starts_at": starts[since].isoformat(), "n_half_hour": int(until - since)},
        )
        for since, until in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    )
