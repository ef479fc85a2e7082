"""A part of each day of many meters: what a settlement reads, which asks for the same hours of every day."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from django.db import connection, transaction
from psycopg import sql

from aggregator.arrays.meter_day_copy import EPOCH, received_at_of, unpack
from aggregator.core.types import FloatArray, IntArray, TimeArray

# Most of the time goes into sending numbers, one by one: only those asked for are sent. One message a meter, since a
# message a row costs more than all the rest; and no join that could be planned as one of all meters' rows.
FIND_PARTS = """
COPY (
    SELECT (
        SELECT string_agg(
            int4send(day - DATE '2000-01-01') || int8send(meter_id) || int8send(batch_id)
            || timestamptz_send(received_at)
            || array_send(array_replace(energy_kwh[{first}:{last}], NULL, 'NaN'::float8)), ''::bytea)
        FROM aggregator_meterday
        WHERE meter_id = wanted.id AND day BETWEEN {first_day} AND {last_day} AND received_at <= {as_of}
    )
    FROM unnest({meters}::bigint[]) AS wanted (id)
) TO STDOUT (FORMAT BINARY)
"""
# A meter's days are found by the index on meters; compiling the statement for each block takes longer than it saves.
PLANNING = {"enable_seqscan": "off", "jit": "off"}


@dataclass(frozen=True, slots=True)
class DayParts:
    """Rows as stored, in no particular order, each of one meter and UTC day.

    Attributes:
        energy_kwh: (n_row, n_period) of the half-hours asked for, NaN where the row says nothing.
        meter, day: (n_row,) indices into the meters and from the first day asked for.
        received_at: (n_row,) ``datetime64[us]`` UTC.
        batch: (n_row,) key of the batch.
    """

    energy_kwh: FloatArray
    meter: IntArray
    day: IntArray
    received_at: TimeArray
    batch: IntArray


def load_day_parts(
    *, meter_pks: IntArray, first_day: date, last_day: date, periods: range, as_of: datetime
) -> DayParts:
    """Load some half-hours of the UTC days ``first_day`` to ``last_day`` (both included), received until ``as_of``.

    Args:
        meter_pks: (n_meter,) ascending.
        periods: which half-hours of a UTC day, a run within 0 to 48.
    """
    statement = sql.SQL(FIND_PARTS).format(
        meters=sql.Literal(meter_pks.tolist()),
        first_day=sql.Literal(first_day),
        last_day=sql.Literal(last_day),
        as_of=sql.Literal(as_of),
        first=sql.Literal(periods.start + 1),
        last=sql.Literal(periods.stop),
    )
    with planned(PLANNING), connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["bytea"])
        rows = unpack(b"".join(block for (block,) in copy.rows() if block), len(periods))
    first = (np.datetime64(first_day, "D") - EPOCH).astype(np.int64)
    return DayParts(
        rows["energy"]["value"].astype(np.float64),
        np.searchsorted(meter_pks, rows["meter"].astype(np.int64)),
        rows["day"].astype(np.int64) - first,
        received_at_of(rows),
        rows["batch"].astype(np.int64),
    )


@contextmanager
def planned(settings: Mapping[str, str]) -> Iterator[None]:
    """Have the statements of a block planned with these settings, and those after it as before."""
    with transaction.atomic(), connection.cursor() as cursor:
        before = {}
        for name, value in settings.items():
            cursor.execute("SELECT current_setting(%s), set_config(%s, %s, true)", [name, name, value])
            ((before[name], _),) = cursor.fetchall()
        yield
        for name, value in before.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
