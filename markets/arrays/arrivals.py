"""Which readings became known between two times, and what was known before."""

from datetime import date, datetime

import numpy as np
from django.db import connection

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.types import FloatArray, IntArray, TimeArray
from markets.core.statement_reasons import Arrivals

FIND_ARRIVALS = """
SELECT meter_id, day, received_at, array_replace(energy_kwh, NULL, 'NaN'::float8)
FROM aggregator_meterday JOIN unnest(%s::bigint[]) AS wanted (id) ON wanted.id = meter_id
WHERE day BETWEEN %s AND %s AND received_at > %s AND received_at <= %s
ORDER BY received_at, batch_id, day, meter_id
"""


def load_arrivals(
    *, meter_pks: IntArray, first_day: date, last_day: date, after: datetime, until: datetime
) -> Arrivals:
    """Load what was received of these meters and UTC days (both included) after ``after`` and until ``until``."""
    with connection.cursor() as cursor:
        cursor.execute(FIND_ARRIVALS, [meter_pks.tolist(), first_day, last_day, after, until])
        rows = cursor.fetchall()
    if not rows:
        nothing = np.zeros(0, dtype=np.int64)
        return Arrivals(nothing, nothing.astype("datetime64[s]"), nothing.astype("datetime64[us]"), nothing == 1)
    energy_kwh = np.array([row[3] for row in rows], dtype=np.float64)
    row_of, period = np.nonzero(~np.isnan(energy_kwh))
    meter = np.array([row[0] for row in rows], dtype=np.int64)
    day = np.array([row[1] for row in rows], dtype="datetime64[D]")
    received_at = np.array([row[2].replace(tzinfo=None) for row in rows], dtype="datetime64[us]")
    known_kwh = _known_before(meter, day, first_day=first_day, last_day=last_day, as_of=after)
    midnight: TimeArray = day[row_of].astype("datetime64[s]")
    starts_at = midnight + (period * 1800).astype("timedelta64[s]")
    return Arrivals(
        meter_pks=meter[row_of],
        starts_at=starts_at,
        received_at=received_at[row_of],
        is_correction=~np.isnan(known_kwh[row_of, period]),
    )


def _known_before(meter: IntArray, day: TimeArray, *, first_day: date, last_day: date, as_of: datetime) -> FloatArray:
    """(n_row, 48) what was known at ``as_of`` of each row's meter and day."""
    meters, at = np.unique(meter, return_inverse=True)
    energy = load_energy_kwh(meter_pks=meters, first_day=first_day, last_day=last_day, as_of=as_of)
    day_at = (day - np.datetime64(first_day, "D")).astype(np.int64)
    known: FloatArray = energy.energy_kwh.reshape(len(meters), energy.n_day, PERIODS_A_DAY)[at, day_at]
    return known
