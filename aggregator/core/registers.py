"""Energy of half-hours from a cumulative register: differences, and nothing made up where there is none."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.reading_rows import ReadingRows
from aggregator.core.readings import CAP_KWH_PER_PERIOD, HALF_HOUR, ConflictingReadings
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray


class InvalidRegister(FlexError):
    code = "reading.invalid_register"


@dataclass(frozen=True, slots=True)
class RegisterEnergy:
    """What registers say of half-hours.

    Attributes:
        rows: a half-hour between two samples, NaN where the register was reset in between.
        findings: resets, rollovers and half-hours without a sample on their boundary, one a series each.
    """

    rows: ReadingRows
    findings: tuple[FindingNote, ...]


def register_energy(rows: ReadingRows, *, rolls_over_at_kwh: float | None = None) -> RegisterEnergy:
    """Difference the samples that stand on half-hour boundaries.

    A register that falls rolled over, where its size is known and the step is one a meter can pass, or else was reset,
    and then the half-hour around it is missing. Samples between boundaries only show whether it fell. Nothing is
    interpolated: a half-hour needs a sample at its start and one at its end.

    Args:
        rows: ``starts_at`` holds when the register was read and ``energy_kwh`` what it showed; NaN is no sample.
        rolls_over_at_kwh: the value at which it begins at 0 again; None if not known.

    Raises:
        InvalidRegister: a size that is not above 0, or a sample that is at it or beyond.
        ConflictingReadings: two values at one moment; ``row`` in its details names one.

    Source: docs/methods/delivered.md
    """
    _check_size(rows, rolls_over_at_kwh)
    order = np.lexsort((rows.lines, rows.starts_at, rows.series))
    order = order[~np.isnan(rows.energy_kwh[order])]
    series, at, kwh = rows.series[order], rows.starts_at[order], rows.energy_kwh[order]
    same = series[1:] == series[:-1]
    step_s = at[1:].astype(np.int64) - at[:-1].astype(np.int64)
    _refuse_twins(rows, order, same & (step_s == 0))
    is_fall = same & (kwh[1:] < kwh[:-1])
    is_rollover = is_fall & _can_roll_over(kwh, step_s, rolls_over_at_kwh)
    n_reset = np.concatenate(([0], np.cumsum(is_fall & ~is_rollover)))
    unrolled_kwh = kwh + np.concatenate(([0], np.cumsum(is_rollover))) * (rolls_over_at_kwh or 0.0)
    on = np.flatnonzero(at.astype(np.int64) % int(HALF_HOUR.astype(np.int64)) == 0)
    # A moment sampled twice alike stands once.
    on = on[np.concatenate((np.ones(min(len(on), 1), dtype=np.bool_), _differs(series[on], at[on])))]
    first, last = on[:-1], on[1:]
    is_follow = series[first] == series[last]
    is_next = is_follow & (at[last] - at[first] == HALF_HOUR)
    is_reset = n_reset[first] != n_reset[last]
    energy_kwh = np.where(is_reset, np.nan, unrolled_kwh[last] - unrolled_kwh[first])[is_next]
    gap = np.where(is_follow, (at[last] - at[first]) // HALF_HOUR - 1, 0).astype(np.int64)
    found = ReadingRows(
        rows.names, series[first[is_next]], rows.lines[order[last[is_next]]], at[first[is_next]], energy_kwh
    )
    return RegisterEnergy(
        found,
        (
            *_notes(rows, series[1:][is_fall & ~is_rollover], "reading.register_reset", "was reset"),
            *_notes(rows, series[1:][is_rollover], "reading.register_rollover", "rolled over"),
            *_gap_notes(rows, series[first], gap),
        ),
    )


def _check_size(rows: ReadingRows, rolls_over_at_kwh: float | None) -> None:
    if rolls_over_at_kwh is None:
        return
    if not rolls_over_at_kwh > 0:
        raise InvalidRegister(f"a register rolls over above 0 kWh, found {rolls_over_at_kwh:g}")
    beyond = rows.energy_kwh >= rolls_over_at_kwh
    if beyond.any():
        row = int(np.argmax(beyond))
        raise InvalidRegister(
            f"line {rows.lines[row]}: {rows.names[rows.series[row]]} shows {rows.energy_kwh[row]:g} kWh, expected less "
            f"than {rolls_over_at_kwh:g} where it rolls over",
            line=int(rows.lines[row]),
        )


def _can_roll_over(kwh: FloatArray, step_s: IntArray, rolls_over_at_kwh: float | None) -> BoolArray:
    """(n - 1,) steps that a meter can pass if the register went once round."""
    if rolls_over_at_kwh is None:
        return np.zeros(len(step_s), dtype=np.bool_)
    most_kwh = CAP_KWH_PER_PERIOD * step_s / 1800
    possible: BoolArray = kwh[1:] + rolls_over_at_kwh - kwh[:-1] <= most_kwh
    return possible


def _differs(series: IntArray, at: TimeArray) -> BoolArray:
    differs: BoolArray = (series[1:] != series[:-1]) | (at[1:] != at[:-1])
    return differs


def _refuse_twins(rows: ReadingRows, order: IntArray, is_same: BoolArray) -> None:
    is_other = is_same & (rows.energy_kwh[order[1:]] != rows.energy_kwh[order[:-1]])
    if is_other.any():
        row = int(order[1:][np.argmax(is_other)])
        raise ConflictingReadings(
            f"row {row}: a register of {rows.names[rows.series[row]]} shows two values at {rows.starts_at[row]}Z",
            row=row,
        )


def _notes(rows: ReadingRows, series: IntArray, code: str, what: str) -> list[FindingNote]:
    counts = np.bincount(series, minlength=len(rows.names))
    return [
        FindingNote(
            code,
            str(rows.names[at]),
            f"the register of {rows.names[at]} {what} {counts[at]:,} times",
            details={"n_row": int(counts[at])},
        )
        for at in np.flatnonzero(counts).tolist()
    ]


def _gap_notes(rows: ReadingRows, series: IntArray, gap: IntArray) -> list[FindingNote]:
    missing = np.zeros(len(rows.names), dtype=np.int64)
    np.add.at(missing, series, gap + (gap > 0))
    return [
        FindingNote(
            "reading.register_gap",
            str(rows.names[at]),
            f"{rows.names[at]} has no sample on the boundaries of {missing[at]:,} half-hours: they are missing",
            "info",
            {"n_half_hour": int(missing[at])},
        )
        for at in np.flatnonzero(missing).tolist()
    ]
