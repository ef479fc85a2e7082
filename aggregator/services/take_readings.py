"""Take in a client's batch of readings: the good rows and the record of the others together, or nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from aggregator.arrays.meters import UNKNOWN
from aggregator.arrays.own_meters import find_own_meters
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.reading_batch import ReadingBatch, RejectedRow, judge_rows, rejection_notes
from aggregator.core.readings import CAP_KWH_PER_PERIOD
from aggregator.core.types import FloatArray, StrArray
from aggregator.models import Meter, Organisation
from aggregator.services.batches import IngestResult
from aggregator.services.ingest_readings import FEEDER_CAP_KWH, ingest_readings

CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class TakenReadings:
    """What became of a batch; every row is accepted, a duplicate or rejected."""

    result: IngestResult
    rejected: tuple[RejectedRow, ...]


def take_readings(
    *, organisation: Organisation, batch: ReadingBatch, source: str, sha256: str, received_at: datetime, part: str = ""
) -> TakenReadings:
    """Store a batch's good rows, and a finding for each reason others were set aside for; call it as the platform.

    The same content again, meant the same (``part``), is the same batch and changes nothing. Only the organisation's
    own meters are known.
    """
    meters = find_own_meters(organisation=organisation, names=batch.rows.names, names_evses=batch.names_evses)
    is_good, judged = judge_rows(
        batch.rows,
        cap_kwh=_caps_kwh(meters.kinds, is_known=meters.pks != UNKNOWN),
        latest=received_at + CLOCK_SKEW,
    )
    good = batch.rows.select(is_good)
    rejected = tuple(sorted((*batch.rejected, *judged), key=lambda row: row.line))
    result = ingest_readings(
        organisation=organisation,
        source=source,
        sha256=sha256,
        received_at=received_at,
        part=part,
        values=ReadingValues(meters.pks[good.series], good.starts_at, good.energy_kwh),
        notes=rejection_notes(rejected),
        n_quarantined=len(rejected),
    )
    return TakenReadings(result, rejected)


def _caps_kwh(kinds: StrArray, *, is_known: np.ndarray) -> FloatArray:
    """(n_series,) most each meter can pass in half an hour, NaN where none is known."""
    caps: FloatArray = np.where(kinds == Meter.Kind.FEEDER.value, FEEDER_CAP_KWH, CAP_KWH_PER_PERIOD)
    return np.where(is_known, caps, np.nan)
