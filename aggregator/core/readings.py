"""Bitemporal meter-days: what was known at a time, what a batch changes, and what cannot be."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.intervals import to_datetime64
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray

PERIODS_A_DAY = 48
HALF_HOUR = np.timedelta64(1800, "s")
# 100 A on three phases for half an hour is 34.5 kWh; no meter of an EVSE or home reads ten times that.
CAP_KWH_PER_PERIOD = 345.0
RATING_TOLERANCE = 0.02


class InvalidMeterDays(FlexError):
    code = "reading.invalid_meter_days"


class ImpossibleReading(FlexError):
    code = "reading.impossible"


class ReadingOffPeriod(FlexError):
    code = "reading.off_period"


class ConflictingReadings(FlexError):
    code = "reading.conflicting"


@dataclass(frozen=True, slots=True)
class MeterDays:
    """Rows of one UTC day of one meter, as one batch told it.

    Attributes:
        energy_kwh: (n_row, 48), NaN where the row says nothing.
        meter, day: (n_row,) indices.

    Raises:
        InvalidMeterDays: shapes differ, or an index is negative.
    """

    energy_kwh: FloatArray
    meter: IntArray
    day: IntArray

    def __post_init__(self) -> None:
        n_row = len(self.meter)
        shapes = (self.energy_kwh.shape, self.meter.shape, self.day.shape)
        if shapes != ((n_row, PERIODS_A_DAY), (n_row,), (n_row,)):
            raise InvalidMeterDays(f"energy, meter and day have shapes {shapes}, expected (n, {PERIODS_A_DAY}), (n,)")
        if (self.meter < 0).any() or (self.day < 0).any():
            raise InvalidMeterDays("meter and day are indices from 0, found a negative one")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch adds to what is known.

    Attributes:
        energy_kwh: (n_row, 48) the incoming values that are new or differ; NaN elsewhere.
        n_new, n_revised, n_duplicate: readings that were unknown, known otherwise, known just so.
    """

    energy_kwh: FloatArray
    n_new: int
    n_revised: int
    n_duplicate: int

    @property
    def n_accepted(self) -> int:
        return self.n_new + self.n_revised

    @property
    def changed_rows(self) -> BoolArray:
        """(n_row,) rows with anything left to store."""
        changed: BoolArray = np.logical_or.reduce(np.isfinite(self.energy_kwh), axis=1)
        return changed


def overlay_kwh(
    rows: MeterDays,
    *,
    received_at: TimeArray,
    batch: IntArray,
    n_meter: int,
    n_day: int,
    as_of: datetime | None = None,
) -> FloatArray:
    """Lay rows over each other, latest received on top: the energy known at ``as_of`` in any order of rows.

    Args:
        received_at: (n_row,) ``datetime64`` UTC.
        batch: (n_row,) the order of batches received at the same instant, higher on top.
        as_of: rows received later are left out; None takes all.

    Returns:
        (n_meter, n_day, 48) kWh, NaN where nothing is known. A row that says nothing of a period hides nothing.

    Raises:
        InvalidMeterDays: an index out of range, or a batch that holds the same meter and day twice.
    """
    if received_at.shape != rows.meter.shape or batch.shape != rows.meter.shape:
        raise InvalidMeterDays(f"received_at {received_at.shape} and batch {batch.shape} must fit {rows.meter.shape}")
    if (rows.meter >= n_meter).any() or (rows.day >= n_day).any():
        raise InvalidMeterDays(f"a row lies outside {n_meter} meters and {n_day} days")
    _refuse_twins(rows, batch)
    known_us = received_at.astype("datetime64[us]")
    order = np.lexsort((batch, known_us))
    if as_of is not None:
        order = order[known_us[order] <= to_datetime64(as_of)]
    spoken = np.isfinite(rows.energy_kwh[order])
    row, period = np.nonzero(spoken)
    row = order[row]
    energy_kwh = np.full((n_meter, n_day, PERIODS_A_DAY), np.nan)
    # Assignment runs in index order, so of a cell named twice the last, the latest received, stands.
    energy_kwh[rows.meter[row], rows.day[row], period] = rows.energy_kwh[row, period]
    return energy_kwh


def changes_only(existing_kwh: FloatArray, incoming_kwh: FloatArray) -> Changes:
    """Blank the incoming values that say nothing new, so that a batch sent twice stores nothing.

    Args:
        existing_kwh: (n_row, 48) what is known, NaN where nothing is.
        incoming_kwh: (n_row, 48) of the same meters and days, NaN where the batch says nothing.

    Raises:
        InvalidMeterDays: shapes differ.
    """
    if existing_kwh.shape != incoming_kwh.shape:
        raise InvalidMeterDays(f"existing {existing_kwh.shape} and incoming {incoming_kwh.shape} differ in shape")
    is_said = ~np.isnan(incoming_kwh)
    is_known = is_said & ~np.isnan(existing_kwh)
    is_duplicate = is_known & (existing_kwh == incoming_kwh)
    return Changes(
        np.where(is_duplicate, np.nan, incoming_kwh),
        n_new=int((is_said & ~is_known).sum()),
        n_revised=int((is_known & ~is_duplicate).sum()),
        n_duplicate=int(is_duplicate.sum()),
    )


def gather_meter_days(
    *, meter: IntArray, starts_at: TimeArray, energy_kwh: FloatArray, first_day: np.datetime64
) -> MeterDays:
    """Turn single readings into meter-days, one row per (meter, day), ordered by both.

    Args:
        meter: (n,) index.
        starts_at: (n,) ``datetime64[s]`` UTC start of the half-hour.
        energy_kwh: (n,) finite.
        first_day: ``datetime64[D]`` UTC day 0.

    Raises:
        ReadingOffPeriod: a start that is not on :00 or :30, or before the first day.
        ConflictingReadings: one half-hour of one meter with two different values; the same value twice is harmless.
    """
    first = first_day.astype("datetime64[s]")
    half_hour, rest = np.divmod((starts_at - first).astype(np.int64), int(HALF_HOUR.astype(np.int64)))
    off = (rest != 0) | (half_hour < 0)
    if off.any():
        row = int(np.argmax(off))
        raise ReadingOffPeriod(
            f"row {row}: starts_at is {starts_at[row]}Z, expected a half-hour from {first_day} on", row=row
        )
    day, period = np.divmod(half_hour, PERIODS_A_DAY)
    n_day = int(day.max(initial=0)) + 1
    key, row_of = np.unique(meter * n_day + day, return_inverse=True)
    gathered = np.full((len(key), PERIODS_A_DAY), np.nan)
    gathered[row_of, period] = energy_kwh
    conflict = gathered[row_of, period] != energy_kwh
    if conflict.any():
        row = int(np.argmax(conflict))
        raise ConflictingReadings(
            f"row {row}: {energy_kwh[row]} kWh at {starts_at[row]}Z, but the same half-hour of the same meter is also "
            f"{gathered[row_of[row], period[row]]} kWh in this batch",
            row=row,
        )
    return MeterDays(gathered, key // n_day, key % n_day)


def check_readings(
    energy_kwh: FloatArray,
    *,
    meter: IntArray,
    meter_codes: StrArray,
    rated_kw: FloatArray | None = None,
    cap_kwh: float = CAP_KWH_PER_PERIOD,
) -> tuple[FindingNote, ...]:
    """Refuse impossible half-hourly readings and report those above the rating.

    Args:
        energy_kwh: (n,) one per half-hour, consumption positive.
        meter: (n,) index into ``meter_codes``.
        rated_kw: (n_meter,) NaN where unknown; no check when absent.

    Returns:
        One finding per meter with readings above its rating.

    Raises:
        ImpossibleReading: NaN, infinite, negative or above ``cap_kwh``; the first such row is named.
    """
    impossible = ~((energy_kwh >= 0) & (energy_kwh <= cap_kwh))
    if impossible.any():
        row = int(np.argmax(impossible))
        code, found = str(meter_codes[meter[row]]), float(energy_kwh[row])
        raise ImpossibleReading(
            f"row {row}: meter {code} reads {found} kWh in a half-hour, expected 0 to {cap_kwh:g} kWh",
            row=row,
            meter=code,
            field="energy_kwh",
            value=str(found),
        )
    if rated_kw is None:
        return ()
    limit_kwh = np.where(np.isnan(rated_kw), np.inf, rated_kw * 0.5 * (1 + RATING_TOLERANCE))
    is_above = energy_kwh > limit_kwh[meter]
    return tuple(
        _above_rating(str(meter_codes[at]), energy_kwh[is_above & (meter == at)], float(rated_kw[at]))
        for at in np.unique(meter[is_above])
    )


def _above_rating(code: str, above_kwh: FloatArray, rated_kw: float) -> FindingNote:
    highest_kw = float(above_kwh.max() * 2)
    return FindingNote(
        "reading.above_rating",
        code,
        f"{len(above_kwh)} half-hours above the rating of {rated_kw:g} kW, the highest at {highest_kw:g} kW",
        severity="info",
        details={"n_reading": len(above_kwh), "highest_kw": highest_kw, "rated_kw": rated_kw},
    )


def _refuse_twins(rows: MeterDays, batch: IntArray) -> None:
    order = np.lexsort((batch, rows.day, rows.meter))
    keys = np.column_stack((rows.meter, rows.day, batch))[order]
    twins = (keys[1:] == keys[:-1]).all(axis=1)
    if twins.any():
        meter, day, number = (int(value) for value in keys[1:][twins][0])
        raise InvalidMeterDays(
            f"batch {number} holds meter {meter} on day {day} twice", meter=meter, day=day, batch=number
        )
