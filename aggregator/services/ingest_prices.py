"""Take in prices and carbon intensity, each UTC day as it was received."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.prices import KnownDays, load_carbon_days, load_tariff_days, store_carbon_days, store_tariff_days
from aggregator.core.findings import FindingNote
from aggregator.core.half_hour_series import SeriesDays, SeriesRows, by_day, gaps_of
from aggregator.core.intervals import to_datetime64
from aggregator.core.readings import Changes, MeterDays, changes_only, overlay_kwh
from aggregator.core.types import TimeArray
from aggregator.models import Batch, Organisation, Tariff
from aggregator.services.batches import IngestResult, close_batch, lock_ingest, open_batch

# A tariff is published, and a forecast made, by the start of the day before; an outturn is known when its day is over.
KNOWN_AFTER = {"ahead": np.timedelta64(-1, "D"), "afterwards": np.timedelta64(1, "D")}


def ingest_prices(
    *,
    organisation: Organisation,
    tariff: Tariff,
    source: str,
    sha256: str,
    received_at: datetime,
    rows: SeriesRows,
    column: str = "",
    backfill: bool = False,
) -> IngestResult:
    """Store a tariff's half-hourly prices (£/kWh, any sign); a changed price is a new row beside the old one.

    Args:
        column: which prices of the content these are, where it has several.
        backfill: state that each UTC day's prices were known when the day before began, if that was earlier.

    Raises:
        ConflictingValues: two prices for one half-hour.
    """
    days = by_day(rows)
    known_at = _known_at(days.days, received_at, "ahead" if backfill else None)
    with transaction.atomic():
        lock_ingest(organisation)
        batch, is_replay = open_batch(
            kind=Batch.Kind.PRICES,
            organisation=organisation,
            source=source,
            sha256=sha256,
            received_at=received_at,
            part=" ".join(filter(None, (tariff.code, column, "backfill" if backfill else ""))),
        )
        changes = _changes(days, known_at, lambda first, last: _tariff_days(tariff, first, last), is_replay=is_replay)
        is_new = changes.changed_rows
        added = SeriesDays(days.days[is_new], changes.energy_kwh[is_new])
        store_tariff_days(batch=batch, tariff=tariff, days=added, received_at=known_at[is_new])
        notes = gaps_of(rows, code="price.gap", subject=f"price of {tariff.code}")
        result = _result(batch, rows, changes, notes)
        return close_batch(result, noticed_at=received_at, is_replay=is_replay)


def ingest_carbon(
    *,
    organisation: Organisation,
    source: str,
    sha256: str,
    received_at: datetime,
    forecast: SeriesRows,
    actual: SeriesRows,
    backfill: bool = False,
) -> tuple[IngestResult, IngestResult]:
    """Store the forecast and the outturn of carbon intensity (gCO2/kWh), each as a batch of its own.

    An outturn of 0 is a fault of the service, not clean power: it is set aside.

    Args:
        backfill: state that a UTC day's forecast was known when the day before began and its outturn when the day had
            ended, if that was earlier.

    Raises:
        ConflictingValues: two values for one half-hour.
    """
    is_zero = actual.values == 0
    sound = replace(actual, values=np.where(is_zero, np.nan, actual.values))
    zeros = tuple(
        FindingNote(
            "carbon.zero_outturn",
            "carbon intensity",
            f"the outturn of {actual.starts_at[row]}Z is 0, a fault of the service; set aside",
            details={"line": int(actual.lines[row]), "starts_at": f"{actual.starts_at[row]}Z", "n_half_hour": 1},
        )
        for row in np.flatnonzero(is_zero).tolist()
    )

    def ingest(field: str, rows: SeriesRows, known: str, notes: tuple[FindingNote, ...]) -> IngestResult:
        batch, is_replay = open_batch(
            kind=Batch.Kind.CARBON,
            organisation=organisation,
            source=source,
            sha256=sha256,
            received_at=received_at,
            part=f"{field} backfill" if backfill else field,
        )
        days = by_day(rows)
        known_at = _known_at(days.days, received_at, known if backfill else None)
        changes = _changes(days, known_at, lambda first, last: _carbon_days(field, first, last), is_replay=is_replay)
        is_new = changes.changed_rows
        added = SeriesDays(days.days[is_new], changes.energy_kwh[is_new])
        store_carbon_days(batch=batch, field=f"{field}_gco2_per_kwh", days=added, received_at=known_at[is_new])
        result = _result(batch, rows, changes, notes)
        return close_batch(result, noticed_at=received_at, is_replay=is_replay)

    with transaction.atomic():
        lock_ingest(organisation)
        return (
            ingest("forecast", forecast, "ahead", gaps_of(forecast, code="carbon.gap", subject="carbon forecast")),
            ingest(
                "actual", sound, "afterwards", (*gaps_of(actual, code="carbon.gap", subject="carbon outturn"), *zeros)
            ),
        )


def _tariff_days(tariff: Tariff, first_day: date, last_day: date) -> KnownDays:
    return load_tariff_days(tariff=tariff, first_day=first_day, last_day=last_day, as_of=None)


def _carbon_days(field: str, first_day: date, last_day: date) -> KnownDays:
    return load_carbon_days(field=f"{field}_gco2_per_kwh", first_day=first_day, last_day=last_day, as_of=None)


def _known_at(days: TimeArray, received_at: datetime, known: str | None) -> TimeArray:
    """(n_day,) when each day's values became known."""
    arrived = np.full(len(days), to_datetime64(received_at))
    return arrived if known is None else np.minimum(arrived, (days + KNOWN_AFTER[known]).astype("datetime64[us]"))


def _changes(
    days: SeriesDays, known_at: TimeArray, load: Callable[[date, date], KnownDays], *, is_replay: bool
) -> Changes:
    """What the days add to what was known when they became known; a delivery seen before adds nothing."""
    if is_replay or len(days.days) == 0:
        return changes_only(days.values, days.values)
    first_day = days.days[0]
    stored = load(first_day.astype(object), days.days[-1].astype(object))
    n_day = int((days.days[-1] - first_day).astype(np.int64)) + 1
    until = np.full(n_day, np.datetime64("0001-01-01", "us"))
    at = (days.days - first_day).astype(np.int64)
    until[at] = known_at
    day = (stored.days - first_day).astype(np.int64)
    beneath = stored.received_at <= until[day]
    known = overlay_kwh(
        MeterDays(stored.values[beneath], np.zeros(int(beneath.sum()), dtype=np.int64), day[beneath]),
        received_at=stored.received_at[beneath],
        batch=np.flatnonzero(beneath),  # they come first received first
        n_meter=1,
        n_day=n_day,
    )
    return changes_only(known[0, at], days.values)


def _result(batch: Batch, rows: SeriesRows, changes: Changes, notes: tuple[FindingNote, ...]) -> IngestResult:
    n_said = int(np.isfinite(rows.values).sum())
    return IngestResult(
        batch=batch,
        n_accepted=changes.n_accepted,
        n_duplicate=n_said - changes.n_accepted,
        n_quarantined=sum(1 for note in notes if note.code == "carbon.zero_outturn"),
        n_revised=changes.n_revised,
        findings=notes,
    )
