"""Take in readings that name their meters as their source does: by EVSE, by meter, or as series of demand."""

from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.meters import UNKNOWN, match_meters, place_meters
from aggregator.arrays.readings import hold_meter_days, make_partitions
from aggregator.arrays.sessions import match_evses
from aggregator.core.findings import FindingNote
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.reading_rows import (
    MOST_KWH_PER_METER,
    ReadingRows,
    by_line,
    excess_notes,
    missing_notes,
    unknown_notes,
)
from aggregator.core.readings import ConflictingReadings, ImpossibleReading
from aggregator.core.types import FloatArray, IntArray
from aggregator.models import Batch, Meter, Organisation
from aggregator.services.batches import IngestResult
from aggregator.services.ingest_readings import ingest_readings


def ingest_reading_rows(
    *,
    organisation: Organisation,
    source: str,
    sha256: str,
    received_at: datetime,
    rows: ReadingRows,
    names_evses: bool,
    csms_code: str | None = None,
    backfill: bool = False,
    part: str = "",
    findings: tuple[FindingNote, ...] = (),
) -> IngestResult:
    """Store readings of meters that are registered; those of others are set aside and counted.

    Args:
        names_evses: the series are EVSEs by their ids at a CSMS (``csms_code``, or whichever has them); otherwise
            meters by their codes.
        backfill: state that each UTC day's readings were known when that day had ended, if that was earlier.
        part: what of the content is meant, where the same content can mean different readings.
        findings: what was odd about the source itself.

    Raises:
        ImpossibleReading: a value no meter can pass; the message names the line.
        ConflictingReadings: two values for one half-hour of one meter.
        AmbiguousEvse: two CSMSs have an EVSE of this id, and none was named.
    """
    if names_evses:
        meter_pks = match_evses(refs=rows.names, csms_code=csms_code).meter_pks
    else:
        meter_pks = match_meters(codes=rows.names)
    is_unknown = meter_pks == UNKNOWN
    missing = missing_notes(rows, code="reading.missing")
    notes = (*findings, *unknown_notes(rows, is_unknown=is_unknown), *missing)
    is_said = ~np.isnan(rows.energy_kwh)
    known = rows.select(is_said & ~is_unknown[rows.series])
    return _ingest(
        organisation=organisation,
        source=source,
        sha256=sha256,
        received_at=received_at,
        rows=known,
        meter_pks=meter_pks,
        kind=Batch.Kind.READINGS,
        part=part,
        notes=notes,
        n_quarantined=int((is_said & is_unknown[rows.series]).sum()),
        backfill=backfill,
    )


def ingest_demand(
    *,
    organisation: Organisation,
    source: str,
    sha256: str,
    received_at: datetime,
    rows: ReadingRows,
    meter_kind: Meter.Kind,
    n_meter: FloatArray | None = None,
    places: dict[str, str] | None = None,
    part: str = "",
    backfill: bool = False,
    most_kwh_per_meter: float = MOST_KWH_PER_METER,
) -> IngestResult:
    """Store measured demand; a series that no meter has the code of becomes a meter of the organisation.

    Args:
        organisation: the DNO that measured.
        meter_kind: what the series are: customers' meters or feeder monitors.
        n_meter: (n,) meters added up in each value; 1 each where absent.
        places: node code by series; a feeder monitor without one hangs on the node of its own code, if there is one.
        part: what of the content is meant, where the same content can mean different readings.

    Raises:
        UnknownPlace: a place names no node.
        MeterTaken: a series has the code of another organisation's meter, or of one of another kind.
        ImpossibleReading, ConflictingReadings: as ``ingest_reading_rows``.
    """
    metered = np.ones(len(rows)) if n_meter is None else n_meter
    is_said = ~np.isnan(rows.energy_kwh)
    # A feeder monitor counts no meters, so how many it speaks for is not known.
    is_judged = is_said if n_meter is not None or meter_kind == Meter.Kind.CUSTOMER else np.zeros_like(is_said)
    is_excess = is_judged & (rows.energy_kwh > most_kwh_per_meter * metered)
    notes = (
        *excess_notes(rows, chosen=is_excess, n_meter=metered),
        *missing_notes(rows, code="demand.missing"),
    )
    wanted = places or {}
    make_partitions(day=rows.starts_at.astype("datetime64[D]"))
    with transaction.atomic():
        hold_meter_days()
        meter_pks, n_unplaced = place_meters(
            codes=rows.names, kind=meter_kind, organisation=organisation, places=wanted
        )
        return _ingest(
            organisation=organisation,
            source=source,
            sha256=sha256,
            received_at=received_at,
            rows=rows.select(is_said & ~is_excess),
            meter_pks=meter_pks,
            kind=Batch.Kind.DEMAND,
            part=part,
            notes=(*notes, *_place_notes(rows, wanted, n_unplaced)),
            n_quarantined=int(is_excess.sum()),
            backfill=backfill,
        )


def _place_notes(rows: ReadingRows, places: dict[str, str], n_unplaced: int) -> list[FindingNote]:
    notes = [
        FindingNote("demand.place_unused", series, f"a place is given for {series}, which the source has not", "info")
        for series in sorted(places.keys() - set(rows.names.tolist()))
    ]
    if n_unplaced:
        message = f"{n_unplaced:,} series hang on no network node, so their demand counts nowhere"
        notes.append(FindingNote("demand.unplaced", "demand", message, "info", {"n_row": n_unplaced}))
    return notes


def _ingest(
    *,
    organisation: Organisation,
    source: str,
    sha256: str,
    received_at: datetime,
    rows: ReadingRows,
    meter_pks: IntArray,
    kind: Batch.Kind,
    part: str,
    notes: tuple[FindingNote, ...],
    n_quarantined: int,
    backfill: bool,
) -> IngestResult:
    """Hand over the values of known meters; a refusal names the line of the source."""
    try:
        return ingest_readings(
            organisation=organisation,
            source=source,
            sha256=sha256,
            received_at=received_at,
            values=ReadingValues(meter_pks[rows.series], rows.starts_at, rows.energy_kwh),
            backfill=backfill,
            kind=kind,
            part=part,
            notes=notes,
            n_quarantined=n_quarantined,
        )
    except (ImpossibleReading, ConflictingReadings) as error:
        raise by_line(error, rows, source) from error
