"""Take in meter readings, whatever channel they came by: a file, the API or a simulated night."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.readings import (
    MeterFacts,
    StoredDays,
    hold_meter_days,
    load_meter_days,
    load_meters,
    make_partitions,
    owners_on,
    store_meter_days,
)
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.intervals import to_datetime64
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.readings import (
    CAP_KWH_PER_PERIOD,
    MeterDays,
    changes_only,
    check_readings,
    gather_meter_days,
    overlay_kwh,
)
from aggregator.core.types import BoolArray, FloatArray, TimeArray
from aggregator.models import Batch, Meter, Organisation
from aggregator.services.batches import IngestResult, close_batch, lock_ingest, open_batch

FEEDER_CAP_KWH = 5_000.0  # 10 MW, more than any LV feeder carries
ONE_DAY = np.timedelta64(1, "D")


class NoReadings(FlexError):
    code = "reading.none"


@dataclass(frozen=True, slots=True)
class _Incoming:
    """The meter-days of a delivery, with the days counted from ``first_day``."""

    rows: MeterDays
    first_day: np.datetime64
    n_day: int

    @property
    def day(self) -> TimeArray:
        day: TimeArray = self.first_day + self.rows.day
        return day


def ingest_readings(
    *,
    organisation: Organisation,
    source: str,
    sha256: str,
    received_at: datetime,
    values: ReadingValues,
    backfill: bool = False,
    kind: Batch.Kind = Batch.Kind.READINGS,
    part: str = "",
    notes: tuple[FindingNote, ...] = (),
    n_quarantined: int = 0,
) -> IngestResult:
    """Store half-hourly readings; a value that differs from what is known is a correction, beside the old one.

    What is known just so is not written again, and the same content (``sha256``) again changes nothing, even
    where it was corrected since. Two deliveries of one organisation at once follow each other.
    A repetition leaves no trace: one that was received later does not shield a value from a correction that is received
    earlier but taken in afterwards.

    Args:
        organisation: who delivers. The rows belong to the DSRSP the EVSE was enrolled with on that day, or to the
            meter's own organisation.
        received_at: when the values became known to us.
        backfill: state that each UTC day's values were known when that day had ended, if that was earlier.
        part: what of the content is meant, where the same content can mean different readings.
        notes, n_quarantined: what the caller found odd, and how many values it set aside, before.

    Raises:
        NoReadings: no value at all, and nothing set aside.
        UnknownMeter: a key no meter has.
        ImpossibleReading: NaN, negative or more than a meter can pass; ``row`` in its details names the value.
        ReadingOffPeriod: a start that is not on :00 or :30.
        ConflictingReadings: two values for one half-hour of one meter.
    """
    if len(values) == 0 and n_quarantined == 0:
        raise NoReadings(f"{source} holds no readings")
    pks, meter = np.unique(values.meter_pks, return_inverse=True)
    meters = load_meters(meter_pks=pks)
    remarks = _check(values, meter, meters)
    incoming = _gather(values, meter)
    make_partitions(day=incoming.day)
    with transaction.atomic():
        hold_meter_days()
        lock_ingest(organisation)
        batch, is_replay = open_batch(
            kind=kind,
            organisation=organisation,
            source=source,
            sha256=sha256,
            received_at=received_at,
            part=f"{part} backfill".strip() if backfill else part,
        )
        known_at = _known_at(incoming.day, received_at, backfill=backfill)
        existing_kwh, is_told = _existing(incoming, meters, known_at, batch if is_replay else None)
        changes = changes_only(existing_kwh, incoming.rows.energy_kwh)
        is_stored = changes.changed_rows & ~is_told
        if is_stored.any():
            _store(batch, incoming, meters, known_at, changes.energy_kwh, is_stored)
        is_new = np.isfinite(changes.energy_kwh[is_stored])
        n_accepted = int(is_new.sum())
        result = IngestResult(
            batch=batch,
            n_accepted=n_accepted,
            n_duplicate=len(values) - n_accepted,
            n_quarantined=n_quarantined,
            n_revised=int((is_new & np.isfinite(existing_kwh[is_stored])).sum()),
            findings=(*notes, *remarks),
        )
        return close_batch(result, noticed_at=received_at, is_replay=is_replay)


def _check(values: ReadingValues, meter: np.ndarray, meters: MeterFacts) -> tuple[FindingNote, ...]:
    """Refuse the impossible, by what such a meter can pass; report what exceeds a rating."""
    is_feeder = meters.kinds == Meter.Kind.FEEDER.value
    at_feeder = is_feeder[meter]
    # Zero stands in for the other kind's values, which are checked in their own turn.
    for chosen, cap_kwh in ((at_feeder, FEEDER_CAP_KWH), (~at_feeder, CAP_KWH_PER_PERIOD)):
        others = np.where(chosen, values.energy_kwh, 0.0)
        check_readings(others, meter=meter, meter_codes=meters.codes, cap_kwh=cap_kwh)
    return check_readings(
        values.energy_kwh, meter=meter, meter_codes=meters.codes, rated_kw=meters.rated_kw, cap_kwh=FEEDER_CAP_KWH
    )


def _gather(values: ReadingValues, meter: np.ndarray) -> _Incoming:
    days = values.starts_at.astype("datetime64[D]")
    first_day = days.min() if len(days) else np.datetime64("2000-01-01", "D")
    rows = gather_meter_days(
        meter=meter.astype(np.int64), starts_at=values.starts_at, energy_kwh=values.energy_kwh, first_day=first_day
    )
    return _Incoming(rows, first_day, int(rows.day.max(initial=0)) + 1)


def _known_at(day: TimeArray, received_at: datetime, *, backfill: bool) -> TimeArray:
    """(n_row,) when each meter-day became known."""
    arrived = np.full(len(day), to_datetime64(received_at))
    return np.minimum(arrived, (day + ONE_DAY).astype("datetime64[us]")) if backfill else arrived


def _existing(
    incoming: _Incoming, meters: MeterFacts, known_at: TimeArray, told_before: Batch | None
) -> tuple[FloatArray, BoolArray]:
    """(n_row, 48) what counts as known beneath each row, and (n_row,) whether this very batch already told it.

    A row is compared with what was known when it became known; a batch delivered again with what was known when it
    first came, so that it can't undo a later correction.
    """
    rows = incoming.rows
    if len(rows.meter) == 0:
        return np.empty_like(rows.energy_kwh), np.zeros(0, dtype=np.bool_)
    first_day, last_day = incoming.day.min().astype(object), incoming.day.max().astype(object)
    stored = load_meter_days(meter_pks=meters.pks, first_day=first_day, last_day=last_day, as_of=None)
    until = np.full((len(meters.pks), incoming.n_day), np.datetime64("0001-01-01", "us"))
    until[rows.meter, rows.day] = known_at if told_before is None else to_datetime64(told_before.received_at)
    own = stored.batch == (-1 if told_before is None else told_before.pk)
    beneath = _select(stored, own | (stored.received_at <= until[stored.rows.meter, stored.rows.day]))
    known_kwh = overlay_kwh(
        beneath.rows,
        received_at=beneath.received_at,
        batch=beneath.batch,
        n_meter=len(meters.pks),
        n_day=incoming.n_day,
    )
    is_told = np.zeros((len(meters.pks), incoming.n_day), dtype=np.bool_)
    is_told[stored.rows.meter[own], stored.rows.day[own]] = True
    return known_kwh[rows.meter, rows.day], is_told[rows.meter, rows.day]


def _select(stored: StoredDays, chosen: BoolArray) -> StoredDays:
    rows = MeterDays(stored.rows.energy_kwh[chosen], stored.rows.meter[chosen], stored.rows.day[chosen])
    return StoredDays(rows, stored.received_at[chosen], stored.batch[chosen])


def _store(
    batch: Batch,
    incoming: _Incoming,
    meters: MeterFacts,
    known_at: TimeArray,
    changed_kwh: FloatArray,
    is_stored: BoolArray,
) -> None:
    meter, day = incoming.rows.meter[is_stored], incoming.day[is_stored]
    store_meter_days(
        batch_pk=batch.pk,
        day=day,
        meter_pk=meters.pks[meter],
        organisation_pk=owners_on(meters=meters, meter=meter, day=day),
        received_at=known_at[is_stored],
        energy_kwh=changed_kwh[is_stored],
    )
