"""A batch of readings of which the good rows are taken and the others are told one by one."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.core.findings import FindingNote
from aggregator.core.intervals import to_datetime64
from aggregator.core.reading_rows import ReadingRows
from aggregator.core.readings import HALF_HOUR
from aggregator.core.types import BoolArray, FloatArray

LINES_TOLD = 50


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row set aside: its line from 1, and why in a stable word."""

    line: int
    code: str


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """What a client sent.

    Attributes:
        rows: rows that say something, all finite.
        names_evses: the series are EVSEs by their pseudonyms, otherwise meters by their codes.
        rejected: rows that say nothing that can be read.
        n_sent: rows as they came, where several make one; None where each stands for itself.
    """

    rows: ReadingRows
    names_evses: bool
    rejected: tuple[RejectedRow, ...]
    n_sent: int | None = None

    @property
    def n_row(self) -> int:
        return len(self.rows) + len(self.rejected) if self.n_sent is None else self.n_sent


def judge_rows(
    rows: ReadingRows, *, cap_kwh: FloatArray, latest: datetime
) -> tuple[BoolArray, tuple[RejectedRow, ...]]:
    """Tell the rows that can be taken from those that can't.

    Args:
        cap_kwh: (n_series,) most a meter can pass in half an hour, NaN where the meter is unknown.
        latest: a half-hour that ends later has not been measured yet.

    Returns:
        (n,) which rows are good, and the others with the first reason that applies. Two values for one half-hour of
        one meter are both set aside: which is right cannot be told.
    """
    cap = cap_kwh[rows.series]
    is_late = rows.starts_at + HALF_HOUR > to_datetime64(latest)
    reasons = (
        ("reading.unknown_meter", np.isnan(cap)),
        ("reading.impossible", ~((rows.energy_kwh >= 0) & (rows.energy_kwh <= cap))),
        ("reading.in_future", is_late),
        ("reading.conflicting", _is_conflicting(rows)),
    )
    is_good = np.ones(len(rows), dtype=np.bool_)
    rejected: list[RejectedRow] = []
    for code, is_wrong in reasons:
        found = is_good & is_wrong
        rejected += [RejectedRow(line, code) for line in rows.lines[found].tolist()]
        is_good &= ~is_wrong
    return is_good, tuple(rejected)


def _is_conflicting(rows: ReadingRows) -> BoolArray:
    """(n,) rows whose half-hour of the same series has another value elsewhere in the batch."""
    if len(rows) == 0:
        return np.zeros(0, dtype=np.bool_)
    keys = np.column_stack((rows.series, rows.starts_at.astype(np.int64)))
    _, cell = np.unique(keys, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    n_cell = int(cell.max()) + 1
    lowest, highest = np.full(n_cell, np.inf), np.full(n_cell, -np.inf)
    np.minimum.at(lowest, cell, rows.energy_kwh)
    np.maximum.at(highest, cell, rows.energy_kwh)
    conflicting: BoolArray = (lowest != highest)[cell]
    return conflicting


def rejection_notes(rejected: Iterable[RejectedRow]) -> tuple[FindingNote, ...]:
    """One finding a reason, with the first lines it applies to."""
    lines: dict[str, list[int]] = defaultdict(list)
    for row in rejected:
        lines[row.code].append(row.line)
    return tuple(
        FindingNote(
            code,
            "batch",
            f"{len(found):,} rows set aside, the first on line {min(found)}",
            details={"n_row": len(found), "lines": ",".join(str(line) for line in sorted(found)[:LINES_TOLD])},
        )
        for code, found in sorted(lines.items())
    )
