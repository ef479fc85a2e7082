"""A series of half-hourly values as it came, laid out by UTC day."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.gap_fill import gap_notes
from aggregator.core.readings import HALF_HOUR, PERIODS_A_DAY, ConflictingReadings, gather_meter_days
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, IntArray, TimeArray


class InvalidSeries(FlexError):
    code = "series.invalid"


class ConflictingValues(FlexError):
    code = "series.conflicting"


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """Rows of a series: (n,) line, ``datetime64[s]`` UTC start of the half-hour, value (NaN where missing).

    Raises:
        InvalidSeries: shapes differ, or no row at all.
    """

    lines: IntArray
    starts_at: TimeArray
    values: FloatArray

    def __post_init__(self) -> None:
        if not self.lines.shape == self.starts_at.shape == self.values.shape or len(self.lines) == 0:
            raise InvalidSeries(
                f"lines, starts_at and values have shapes {self.lines.shape}, {self.starts_at.shape} and "
                f"{self.values.shape}, expected one (n,) with n at least 1"
            )


@dataclass(frozen=True, slots=True)
class SeriesDays:
    """(n_day,) ``datetime64[D]`` UTC days in order, and (n_day, 48) values, NaN where nothing was said."""

    days: TimeArray
    values: FloatArray


def by_day(rows: SeriesRows) -> SeriesDays:
    """Lay a series out by UTC day.

    Raises:
        ConflictingValues: two values for one half-hour.
    """
    said = np.flatnonzero(np.isfinite(rows.values))
    first_day = rows.starts_at.min().astype("datetime64[D]")
    try:
        gathered = gather_meter_days(
            meter=np.zeros(len(said), dtype=np.int64),
            starts_at=rows.starts_at[said],
            energy_kwh=rows.values[said],
            first_day=first_day,
        )
    except ConflictingReadings as error:
        row = said[int(error.details["row"] or 0)]
        raise ConflictingValues(
            f"line {rows.lines[row]}: found {rows.values[row]:g} for {rows.starts_at[row]}Z, expected the value that "
            "another line gives for that half-hour",
            line=int(rows.lines[row]),
        ) from error
    return SeriesDays(first_day + gathered.day, gathered.energy_kwh)


def gaps_of(rows: SeriesRows, *, code: str, subject: str) -> tuple[FindingNote, ...]:
    """Half-hours without a value between the first and the last row: one finding per run."""
    first_at, last_at = rows.starts_at.min(), rows.starts_at.max()
    n_period = int((last_at - first_at) / HALF_HOUR) + 1
    is_missing = np.ones(n_period, dtype=np.bool_)
    said = np.isfinite(rows.values)
    is_missing[((rows.starts_at[said] - first_at) / HALF_HOUR).astype(np.int64)] = False
    starts_at = first_at.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    return gap_notes(is_missing, grid=TimeGrid(starts_at, n_period), code=code, subject=subject)


def on_grid(days: TimeArray, values: FloatArray, *, first_day: np.datetime64, n_day: int) -> FloatArray:
    """(n_day * 48,) values from ``first_day`` on, NaN where no row says anything; a later row lies on top."""
    flat = np.full((n_day, PERIODS_A_DAY), np.nan)
    for day, row in zip((days - first_day).astype(np.int64).tolist(), values, strict=True):
        flat[day] = np.where(np.isnan(row), flat[day], row)
    return flat.reshape(-1)
