"""The virtual EVSEs of an area, as arrays."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db.models import Q

from aggregator.arrays.network import NetworkArea
from aggregator.core.types import FloatArray, IntArray, StrArray, TimeArray
from aggregator.models import Enrolment


@dataclass(frozen=True, slots=True)
class Fleet:
    """EVSEs enrolled at an instant, ordered by pseudonym, so that any database gives the same order.

    Attributes:
        evse_pks: (n_evse,) database keys.
        evse_ids: (n_evse,) pseudonyms.
        dsrsp_pks: (n_evse,) the organisation each is enrolled with.
        meter_pks: (n_evse,) asset meters.
        node: (n_evse,) index into the area's nodes.
        phases: (n_evse,) 1 or 3.
        rated_kw, min_current_a: (n_evse,).
        scenarios: (n_evse,) charging scenario.
        delay_max_s: (n_evse,) largest randomised delay the EVSE applies itself.
        enrolled_on: (n_evse,) ``datetime64[D]`` UTC day of the first enrolment with anybody.
    """

    evse_pks: IntArray
    evse_ids: StrArray
    dsrsp_pks: IntArray
    meter_pks: IntArray
    node: IntArray
    phases: IntArray
    rated_kw: FloatArray
    min_current_a: FloatArray
    scenarios: StrArray
    delay_max_s: IntArray
    enrolled_on: TimeArray

    @property
    def n_evse(self) -> int:
        return len(self.evse_pks)


def load_fleet(*, area: NetworkArea, at: datetime) -> Fleet:
    """Load the EVSEs in ``area`` whose enrolment is in force at ``at``."""
    rows = sorted(_enrolled(area, at), key=lambda row: str(row[1]))
    index = {int(pk): at_node for at_node, pk in enumerate(area.node_pks)}
    first = _first_enrolments([int(row[0]) for row in rows])
    columns: list[tuple[object, ...]] = list(zip(*rows, strict=True)) if rows else [()] * 10
    return Fleet(
        evse_pks=np.array(columns[0], dtype=np.int64),
        evse_ids=np.array(columns[1], dtype=np.str_),
        dsrsp_pks=np.array(columns[2], dtype=np.int64),
        meter_pks=np.array(columns[3], dtype=np.int64),
        node=np.array([index[int(str(pk))] for pk in columns[4]], dtype=np.int64),
        phases=np.array(columns[5], dtype=np.int64),
        rated_kw=np.array(columns[6], dtype=np.float64),
        min_current_a=np.array(columns[7], dtype=np.float64),
        scenarios=np.array(columns[8], dtype=np.str_),
        delay_max_s=np.array(columns[9], dtype=np.int64),
        enrolled_on=np.array([first[int(str(pk))] for pk in columns[0]], dtype="datetime64[D]"),
    )


def _enrolled(area: NetworkArea, at: datetime) -> list[tuple[object, ...]]:
    in_force = Enrolment.objects.across_tenants().filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), starts_at__lte=at)
    return list(
        in_force.filter(evse__node__in=area.node_pks.tolist()).values_list(
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
    )


def _first_enrolments(evse_pks: list[int]) -> dict[int, datetime]:
    starts = Enrolment.objects.across_tenants().filter(evse__in=evse_pks).order_by("-starts_at")
    return {evse: starts_at.replace(tzinfo=None) for evse, starts_at in starts.values_list("evse_id", "starts_at")}
