"""The virtual EVSEs of an area, as arrays."""

from datetime import datetime

import numpy as np
from django.db import connection

from aggregator.arrays.copy_out import Field, load_columns
from aggregator.core.align import index_of, text_order
from aggregator.core.fleet import Fleet
from aggregator.core.fleet_size import FleetSize
from aggregator.core.network_area import NetworkArea

EPOCH = np.datetime64("2000-01-01", "D")
ENROLLED = """
FROM aggregator_enrolment AS enrolment
JOIN aggregator_evse AS evse ON evse.id = enrolment.evse_id
JOIN unnest({nodes}::bigint[]) AS wanted (id) ON wanted.id = evse.node_id
JOIN (SELECT evse_id, min(starts_at) AS starts_at FROM aggregator_enrolment GROUP BY evse_id) AS earliest
    ON earliest.evse_id = evse.id
WHERE enrolment.starts_at <= {at} AND (enrolment.ends_at IS NULL OR enrolment.ends_at > {at})
"""
EVSE_FIELDS = {
    "evse_pk": Field("evse.id", "i8"),
    "dsrsp_pk": Field("enrolment.dsrsp_id", "i8"),
    "meter_pk": Field("evse.meter_id", "i8"),
    "node_pk": Field("evse.node_id", "i8"),
    "phases": Field("evse.phases", "i2"),
    "rated_kw": Field("evse.rated_kw", "f8"),
    "min_current_a": Field("evse.min_current_a", "f8"),
    "delay_max_s": Field("evse.delay_max_s", "i2"),
    "first_day": Field("(earliest.starts_at AT TIME ZONE 'UTC')::date - DATE '2000-01-01'", "i4"),
}

SIZE_BELOW = """
WITH RECURSIVE below (id) AS (
    SELECT %s::bigint
    UNION SELECT node.id FROM aggregator_networknode node JOIN below ON node.parent_id = below.id
)
SELECT count(*), coalesce(sum(rated_kw), 0), coalesce(sum(rated_kw / greatest(delay_max_s / 60.0, 1.0)), 0)
FROM aggregator_evse evse
WHERE node_id IN (SELECT id FROM below) AND EXISTS (
    SELECT FROM aggregator_enrolment enrolment WHERE enrolment.evse_id = evse.id
    AND starts_at < %s AND (ends_at IS NULL OR ends_at > %s)
)
"""


def load_fleet(*, area: NetworkArea, at: datetime) -> Fleet:
    """Load the EVSEs in ``area`` whose enrolment is in force at ``at``."""
    known = load_columns(
        source=ENROLLED,
        block="evse.id / 2000",
        fields=EVSE_FIELDS,
        texts={"evse_id": "evse.pseudonym", "scenario": "evse.scenario"},
        values={"at": at, "nodes": area.node_pks.tolist()},
    )
    order = text_order(known["evse_id"])
    column = {name: values[order] for name, values in known.items()}
    return Fleet(
        evse_pks=column["evse_pk"],
        evse_ids=column["evse_id"],
        dsrsp_pks=column["dsrsp_pk"],
        meter_pks=column["meter_pk"],
        node=index_of(area.node_pks, column["node_pk"]),
        phases=column["phases"].astype(np.int64),
        rated_kw=column["rated_kw"],
        min_current_a=column["min_current_a"],
        scenarios=column["scenario"],
        delay_max_s=column["delay_max_s"].astype(np.int64),
        enrolled_on=EPOCH + column["first_day"].astype("timedelta64[D]"),
    )


def load_size_below(*, node_pk: int, starts_at: datetime, ends_at: datetime) -> FleetSize:
    """What the EVSEs at and below a node add up to that are enrolled at some time in ``[starts_at, ends_at)``."""
    with connection.cursor() as cursor:
        cursor.execute(SIZE_BELOW, [node_pk, ends_at, starts_at])
        n_evse, rated_kw, kw_per_minute = cursor.fetchone()
    return FleetSize(n_evse=n_evse, rated_kw=float(rated_kw), kw_per_minute=float(kw_per_minute))
