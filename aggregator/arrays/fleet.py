"""The virtual EVSEs of an area, as arrays."""

from datetime import datetime
from typing import NamedTuple

import numpy as np
from django.db import connection
from django.db.models import Q

from aggregator.core.fleet import Fleet
from aggregator.core.fleet_size import FleetSize
from aggregator.core.network_area import NetworkArea
from aggregator.models import Enrolment

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


class _EvseRow(NamedTuple):
    evse_pk: int
    pseudonym: str
    dsrsp_pk: int
    meter_pk: int
    node_pk: int
    phases: int
    rated_kw: float
    min_current_a: float
    scenario: str
    delay_max_s: int


def load_fleet(*, area: NetworkArea, at: datetime) -> Fleet:
    """Load the EVSEs in ``area`` whose enrolment is in force at ``at``."""
    rows = sorted(_enrolled(area, at), key=lambda row: row.pseudonym)
    index = {int(pk): at_node for at_node, pk in enumerate(area.node_pks)}
    first = _first_enrolments([row.evse_pk for row in rows])
    return Fleet(
        evse_pks=np.array([row.evse_pk for row in rows], dtype=np.int64),
        evse_ids=np.array([row.pseudonym for row in rows], dtype=np.str_),
        dsrsp_pks=np.array([row.dsrsp_pk for row in rows], dtype=np.int64),
        meter_pks=np.array([row.meter_pk for row in rows], dtype=np.int64),
        node=np.array([index[row.node_pk] for row in rows], dtype=np.int64),
        phases=np.array([row.phases for row in rows], dtype=np.int64),
        rated_kw=np.array([row.rated_kw for row in rows], dtype=np.float64),
        min_current_a=np.array([row.min_current_a for row in rows], dtype=np.float64),
        scenarios=np.array([row.scenario for row in rows], dtype=np.str_),
        delay_max_s=np.array([row.delay_max_s for row in rows], dtype=np.int64),
        enrolled_on=np.array([first[row.evse_pk] for row in rows], dtype="datetime64[D]"),
    )


def load_size_below(*, node_pk: int, starts_at: datetime, ends_at: datetime) -> FleetSize:
    """What the EVSEs at and below a node add up to that are enrolled at some time in ``[starts_at, ends_at)``."""
    with connection.cursor() as cursor:
        cursor.execute(SIZE_BELOW, [node_pk, ends_at, starts_at])
        n_evse, rated_kw, kw_per_minute = cursor.fetchone()
    return FleetSize(n_evse=n_evse, rated_kw=float(rated_kw), kw_per_minute=float(kw_per_minute))


def _enrolled(area: NetworkArea, at: datetime) -> list[_EvseRow]:
    in_force = Enrolment.objects.across_tenants().filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), starts_at__lte=at)
    rows = in_force.filter(evse__node__in=area.node_pks.tolist()).values_list(
        "evse_id",
        "evse__pseudonym",
        "dsrsp_id",
        "evse__meter_id",
        "evse__node_id",
        "evse__phases",
        "evse__rated_kw",
        "evse__min_current_a",
        "evse__scenario",
        "evse__delay_max_s",
    )
    return [_EvseRow(*row) for row in rows]


def _first_enrolments(evse_pks: list[int]) -> dict[int, datetime]:
    starts = Enrolment.objects.across_tenants().filter(evse__in=evse_pks).order_by("-starts_at")
    return {evse: starts_at.replace(tzinfo=None) for evse, starts_at in starts.values_list("evse_id", "starts_at")}
