"""Readings and demand as files state them: by the source's own names, some empty, some impossible."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.readings import ConflictingReadings, ImpossibleReading
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray

MOST_KWH_PER_METER = 10.0  # in half an hour; 100 A on one phase pass 11.5 kWh, and feeders are averages


class InvalidReadingRows(FlexError):
    code = "reading.invalid_rows"


@dataclass(frozen=True, slots=True)
class ReadingRows:
    """Readings by series, in any order.

    Attributes:
        names: (n_series,) unique names of what was read.
        series: (n,) index into ``names``.
        lines: (n,) where each value stands in its source.
        starts_at: (n,) ``datetime64[s]`` UTC start of the half-hour.
        energy_kwh: (n,) NaN where the source has none.

    Raises:
        InvalidReadingRows: shapes differ.
    """

    names: StrArray
    series: IntArray
    lines: IntArray
    starts_at: TimeArray
    energy_kwh: FloatArray

    def __post_init__(self) -> None:
        shapes = {self.series.shape, self.lines.shape, self.starts_at.shape, self.energy_kwh.shape}
        if len(shapes) != 1 or self.names.ndim != 1:
            raise InvalidReadingRows(f"series, lines, starts_at and energy_kwh have shapes {shapes}, expected one (n,)")

    def __len__(self) -> int:
        return len(self.series)

    def select(self, chosen: BoolArray) -> "ReadingRows":
        """The values chosen by an (n,) mask, names unchanged."""
        return ReadingRows(
            self.names, self.series[chosen], self.lines[chosen], self.starts_at[chosen], self.energy_kwh[chosen]
        )


def missing_notes(rows: ReadingRows, *, code: str) -> tuple[FindingNote, ...]:
    """One finding per series with missing values; missing is not zero."""
    counts = np.bincount(rows.series[np.isnan(rows.energy_kwh)], minlength=len(rows.names))
    return tuple(
        FindingNote(
            code,
            str(rows.names[at]),
            f"{rows.names[at]} has no reading in {counts[at]:,} half-hours of its source",
            "info",
            {"n_half_hour": int(counts[at])},
        )
        for at in np.flatnonzero(counts).tolist()
    )


def excess_notes(rows: ReadingRows, *, chosen: BoolArray, n_meter: FloatArray) -> tuple[FindingNote, ...]:
    """One finding per chosen value: more than the meters behind it can pass.

    Args:
        n_meter: (n,) meters added up in each value.
    """
    return tuple(
        FindingNote(
            "demand.impossible",
            str(rows.names[rows.series[row]]),
            f"{rows.names[rows.series[row]]} reads {rows.energy_kwh[row]:g} kWh over {n_meter[row]:g} meters in the "
            f"half-hour from {rows.starts_at[row]}Z; set aside",
            details={
                "line": int(rows.lines[row]),
                "starts_at": f"{rows.starts_at[row]}Z",
                "energy_kwh": float(rows.energy_kwh[row]),
                "n_meter": float(n_meter[row]),
            },
        )
        for row in np.flatnonzero(chosen).tolist()
    )


def unknown_notes(rows: ReadingRows, *, is_unknown: BoolArray) -> tuple[FindingNote, ...]:
    """One finding per series that no meter is known for.

    Args:
        is_unknown: (n_series,).
    """
    counts = np.bincount(rows.series, minlength=len(rows.names))
    return tuple(
        FindingNote(
            "reading.unknown_meter",
            str(rows.names[at]),
            f"no meter is known for {rows.names[at]}; its {counts[at]:,} readings are set aside",
            details={"n_row": int(counts[at])},
        )
        for at in np.flatnonzero(is_unknown).tolist()
    )


def by_line(
    error: ImpossibleReading | ConflictingReadings, rows: ReadingRows, source: str
) -> ImpossibleReading | ConflictingReadings:
    """The same refusal, with the line of the source in place of the row."""
    row = int(error.details["row"] or 0)
    name, line = str(rows.names[rows.series[row]]), int(rows.lines[row])
    expected = (
        "the same value as elsewhere in the source for that half-hour"
        if isinstance(error, ConflictingReadings)
        else "an energy in kWh that such a meter can pass in a half-hour"
    )
    found = f"found {rows.energy_kwh[row]:g} kWh at {rows.starts_at[row]}Z"
    return type(error)(
        f"{source}: line {line}, {name}: {found}, expected {expected}",
        **{**error.details, "line": line, "series": name},
    )
