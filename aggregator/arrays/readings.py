"""Meters and their readings as arrays."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
from django.db import connection
from psycopg import sql

from aggregator.arrays.copy_in import copy_into
from aggregator.arrays.enrolments import NOT_ENROLLED, dsrsp_at
from aggregator.arrays.meter_day_copy import pack, received_at_of, unpack
from aggregator.core.errors import FlexError
from aggregator.core.meter_energy import MeterEnergy
from aggregator.core.readings import MeterDays, overlay_kwh
from aggregator.core.types import FloatArray, IntArray, StrArray, TimeArray

# A join, because = ANY walks through the keys row by row. Blocks of some 160 kB: a message a row costs more than all
# the rest, and so does one of 30 MB.
FIND_ROWS = """
COPY (
    SELECT string_agg(
        int4send(day - DATE '2000-01-01') || int8send(meter_id) || int8send(batch_id) || timestamptz_send(received_at)
        || array_send(array_replace(energy_kwh, NULL, 'NaN'::float8)), ''::bytea)
    FROM aggregator_meterday JOIN unnest({meters}::bigint[]) AS wanted (id) ON wanted.id = meter_id
    WHERE day BETWEEN {first_day} AND {last_day} AND received_at <= {as_of}
    GROUP BY day, meter_id / 256
) TO STDOUT (FORMAT BINARY)
"""
COLUMNS = ("day", "meter_id", "batch_id", "organisation_id", "received_at", "energy_kwh")
# An array, not a list of parameters: 20,000 of those take a second to bind.
FIND_METERS = """
SELECT meter.id, meter.code, meter.kind, meter.organisation_id, evse.id, evse.rated_kw
FROM aggregator_meter AS meter LEFT JOIN aggregator_evse AS evse ON evse.meter_id = meter.id
WHERE meter.id = ANY(%s)
"""


HALF_A_DAY = np.timedelta64(12, "h")
NO_EVSE = -1


class UnknownMeter(FlexError):
    code = "reading.unknown_meter"


class _MeterRow(NamedTuple):
    pk: int
    code: str
    kind: str
    organisation_pk: int
    evse_pk: int | None
    rated_kw: float | None


@dataclass(frozen=True, slots=True)
class StoredDays:
    """Meter-days as stored, in no particular order.

    Attributes:
        rows: ``meter`` and ``day`` are indices into the meters and from the first day asked for.
        received_at: (n_row,) ``datetime64[us]`` UTC.
        batch: (n_row,) key of the batch.
    """

    rows: MeterDays
    received_at: TimeArray
    batch: IntArray


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """What ingest needs to know of meters.

    Attributes:
        pks, codes, kinds, organisation_pks: (n_meter,).
        evse_pks: (n_meter,) the EVSE of an asset meter, -1 elsewhere; ``rated_kw`` its rating, NaN elsewhere.
    """

    pks: IntArray
    codes: StrArray
    kinds: StrArray
    organisation_pks: IntArray
    evse_pks: IntArray
    rated_kw: FloatArray


def load_meters(*, meter_pks: IntArray) -> MeterFacts:
    """Load meters, in the order asked for.

    Raises:
        UnknownMeter: a key no meter has.
    """
    wanted = meter_pks.tolist()
    with connection.cursor() as cursor:
        cursor.execute(FIND_METERS, [wanted])
        known = {row[0]: _MeterRow(*row) for row in cursor.fetchall()}
    missing = next((pk for pk in wanted if pk not in known), None)
    if missing is not None:
        raise UnknownMeter(f"no meter has the key {missing}", meter=missing)
    rows = [known[pk] for pk in wanted]
    return MeterFacts(
        pks=meter_pks,
        codes=np.array([row.code for row in rows], dtype=np.str_),
        kinds=np.array([row.kind for row in rows], dtype=np.str_),
        organisation_pks=np.array([row.organisation_pk for row in rows], dtype=np.int64),
        evse_pks=np.array([row.evse_pk or NO_EVSE for row in rows], dtype=np.int64),
        rated_kw=np.array([row.rated_kw or np.nan for row in rows], dtype=np.float64),
    )


def load_energy_kwh(*, meter_pks: IntArray, first_day: date, last_day: date, as_of: datetime) -> MeterEnergy:
    """Load what was known at ``as_of`` of the UTC days ``first_day`` to ``last_day``, both included.

    Args:
        meter_pks: (n_meter,) without repeats; the result keeps this order.
    """
    stored = load_meter_days(meter_pks=meter_pks, first_day=first_day, last_day=last_day, as_of=as_of)
    n_day = (last_day - first_day).days + 1
    energy_kwh = overlay_kwh(
        stored.rows, received_at=stored.received_at, batch=stored.batch, n_meter=len(meter_pks), n_day=n_day
    )
    return MeterEnergy(meter_pks, first_day, energy_kwh)


def load_meter_days(*, meter_pks: IntArray, first_day: date, last_day: date, as_of: datetime | None) -> StoredDays:
    """Load the rows of these meters and UTC days (both included) received until ``as_of``, or all of them."""
    statement = sql.SQL(FIND_ROWS).format(
        meters=sql.Literal(meter_pks.tolist()),
        first_day=sql.Literal(first_day),
        last_day=sql.Literal(last_day),
        as_of=sql.Literal(as_of or "infinity"),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["bytea"])
        rows = unpack(b"".join(block for (block,) in copy.rows()))
    order = np.argsort(meter_pks)
    at = order[np.searchsorted(meter_pks, rows["meter"].astype(np.int64), sorter=order)] if len(rows) else order[:0]
    first = (np.datetime64(first_day, "D") - np.datetime64("2000-01-01", "D")).astype(np.int64)
    return StoredDays(
        MeterDays(rows["energy"]["value"].astype(np.float64), at, rows["day"].astype(np.int64) - first),
        received_at_of(rows),
        rows["batch"].astype(np.int64),
    )


def store_meter_days(
    *,
    batch_pk: int,
    day: TimeArray,
    meter_pk: IntArray,
    organisation_pk: IntArray,
    received_at: TimeArray,
    energy_kwh: FloatArray,
) -> None:
    """Add meter-days by COPY, in the order of day and meter, making the months' partitions still missing.

    Args:
        day: (n_row,) ``datetime64[D]``; with ``meter_pk`` unique within the batch.
        received_at: (n_row,) ``datetime64`` UTC.
        energy_kwh: (n_row, 48), NaN where the batch says nothing.
    """
    order = np.lexsort((meter_pk, day))
    make_partitions(day=day)
    with copy_into(table="aggregator_meterday", columns=COLUMNS, is_binary=True) as copy:
        for piece in pack(
            day=day[order],
            meter_pk=meter_pk[order],
            batch_pk=batch_pk,
            organisation_pk=organisation_pk[order],
            received_at=received_at[order],
            energy_kwh=energy_kwh[order],
        ):
            copy.write(piece)


def make_partitions(*, day: TimeArray) -> None:
    """Make the months' partitions that (n_row,) ``datetime64[D]`` days need.

    A new partition locks the whole table and every table it refers to, batches and meters among them. Call it before
    the transaction that writes any of these; inside one, two deliveries could wait for each other.
    """
    with connection.cursor() as cursor:
        for month in np.unique(day.astype("datetime64[M]")).astype("datetime64[D]"):
            cursor.execute("SELECT aggregator_meterday_partition(%s::date)", [str(month)])


def hold_meter_days() -> None:
    """Lock the table for writing rows, first of all in a transaction: who makes a partition asks for it first too."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE aggregator_meterday IN ROW EXCLUSIVE MODE")


def owners_on(*, meters: MeterFacts, meter: IntArray, day: TimeArray) -> IntArray:
    """Whose each meter-day is: the DSRSP the EVSE was enrolled with at noon UTC, else the meter's organisation.

    Args:
        meter: (n_row,) index into ``meters``.
        day: (n_row,) ``datetime64[D]``.
    """
    midnight: TimeArray = day.astype("datetime64[us]")
    dsrsps = dsrsp_at(evse_pks=meters.evse_pks[meter], at=midnight + HALF_A_DAY)
    owners: IntArray = np.where(dsrsps == NOT_ENROLLED, meters.organisation_pks[meter], dsrsps)
    return owners
