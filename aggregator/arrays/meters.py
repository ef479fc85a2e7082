"""Meters by their codes."""

from typing import NamedTuple

import numpy as np
from django.db import connection

from aggregator.core.errors import FlexError
from aggregator.core.types import IntArray, StrArray
from aggregator.models import Meter, Organisation

UNKNOWN = -1
ROWS_A_STATEMENT = 2_000
FIND_METERS = "SELECT code, id, kind, organisation_id, node_id FROM aggregator_meter WHERE code = ANY(%s)"
FIND_NODES = "SELECT code, id FROM aggregator_networknode WHERE code = ANY(%s)"
MOVE_METERS = """
UPDATE aggregator_meter AS meter SET node_id = moved.node
FROM unnest(%s::bigint[], %s::bigint[]) AS moved (id, node) WHERE meter.id = moved.id
"""


class MeterTaken(FlexError):
    code = "demand.meter_taken"


class UnknownPlace(FlexError):
    code = "demand.unknown_place"


class _MeterRow(NamedTuple):
    code: str
    pk: int
    kind: str
    organisation_pk: int
    node_pk: int | None


def match_meters(*, codes: StrArray) -> IntArray:
    """(n,) key of the meter with each code, ``UNKNOWN`` where there is none."""
    found = _stored(codes.tolist())
    return np.array([found[code].pk if code in found else UNKNOWN for code in codes.tolist()], dtype=np.int64)


def _stored(codes: list[str]) -> dict[str, _MeterRow]:
    with connection.cursor() as cursor:
        cursor.execute(FIND_METERS, [codes])
        return {row[0]: _MeterRow(*row) for row in cursor.fetchall()}


def place_meters(
    *, codes: StrArray, kind: Meter.Kind, organisation: Organisation, places: dict[str, str]
) -> tuple[IntArray, int]:
    """Find or make the meters with these codes, and put those that ``places`` names on their nodes.

    Args:
        codes: (n_meter,) unique.
        places: node code by meter code; a feeder monitor goes by default on the node of its own code.

    Returns:
        (n_meter,) keys, and how many of the meters hang on no node.

    Raises:
        UnknownPlace: no node has a code that ``places`` gives.
        MeterTaken: a code belongs to another organisation's meter, or to one of another kind.
    """
    wanted = codes.tolist()
    nodes, stored = _nodes(wanted, kind, places), _stored(wanted)
    for meter in stored.values():
        if meter.kind != kind or meter.organisation_pk != organisation.pk:
            raise MeterTaken(
                f"meter {meter.code} is a {meter.kind} meter of another organisation or kind, expected a {kind.value} "
                f"meter of {organisation.code}",
                meter=meter.code,
            )
    new = [
        Meter(code=code, kind=kind, node_id=nodes.get(code), organisation=organisation)
        for code in wanted
        if code not in stored
    ]
    Meter.objects.across_tenants().bulk_create(new, batch_size=ROWS_A_STATEMENT)
    moved = [meter for code, meter in stored.items() if code in nodes and meter.node_pk != nodes[code]]
    with connection.cursor() as cursor:
        cursor.execute(MOVE_METERS, [[meter.pk for meter in moved], [nodes[meter.code] for meter in moved]])
    at = {**{code: meter.node_pk for code, meter in stored.items()}, **nodes}
    pks = {**{code: meter.pk for code, meter in stored.items()}, **{meter.code: meter.pk for meter in new}}
    n_unplaced = sum(at.get(code) is None for code in wanted)
    return np.array([pks[code] for code in wanted], dtype=np.int64), n_unplaced


def _nodes(codes: list[str], kind: Meter.Kind, places: dict[str, str]) -> dict[str, int]:
    """Key of the node by meter code."""
    own = codes if kind == Meter.Kind.FEEDER else []
    with connection.cursor() as cursor:
        cursor.execute(FIND_NODES, [sorted({*own, *places.values()})])
        by_code: dict[str, int] = dict(cursor.fetchall())
    missing = next((code for code in places.values() if code not in by_code), None)
    if missing is not None:
        raise UnknownPlace(f"no network node has the code {missing!r}", node=missing)
    placed = {code: by_code[code] for code in own if code in by_code}
    return {**placed, **{code: by_code[node] for code, node in places.items()}}
