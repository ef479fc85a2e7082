"""Charging sessions as arrays."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from django.db import connection

from aggregator.core.errors import FlexError
from aggregator.core.session_rows import SessionRows
from aggregator.core.sessions import SessionHistory
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray
from aggregator.models import ChargingSession, EvseIdentity

ROWS_A_STATEMENT = 20_000
ADD_ROWS = """
INSERT INTO aggregator_chargingsession
    (evse_id, organisation_id, connector, session_ref, plug_in_at, plug_out_at, energy_kwh, received_at, batch_id)
SELECT evse, organisation, connector, ref, plug_in, plug_out, energy, received, %s
FROM unnest(
    %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::float8[],
    %s::timestamptz[]
) AS row (evse, organisation, connector, ref, plug_in, plug_out, energy, received)
ON CONFLICT (evse_id, connector, session_ref, plug_in_at) DO NOTHING
"""


class AmbiguousEvse(FlexError):
    code = "session.ambiguous_evse"


@dataclass(frozen=True, slots=True)
class EvseMatch:
    """The EVSEs that references of a CSMS name: (n_row,) key, -1 where unknown, and rating, NaN where unknown."""

    evse_pks: IntArray
    rated_kw: FloatArray
    meter_pks: IntArray


def match_evses(*, refs: StrArray, csms_code: str | None) -> EvseMatch:
    """Find the EVSEs that (n_row,) references name, at one CSMS or at whichever has them.

    Raises:
        AmbiguousEvse: two CSMSs have the reference, and none was named.
    """
    unique, at = np.unique(refs, return_inverse=True)
    identities = EvseIdentity.objects.across_tenants().filter(csms_ref__in=unique.tolist())
    if csms_code is not None:
        identities = identities.filter(csms__code=csms_code)
    found: dict[str, tuple[int, float, int]] = {}
    for ref, pk, rated_kw, meter_pk in identities.values_list(
        "csms_ref", "evse_id", "evse__rated_kw", "evse__meter_id"
    ):
        if ref in found:
            raise AmbiguousEvse(f"EVSE {ref} is known at more than one CSMS: name the CSMS", evse=ref)
        found[ref] = (pk, rated_kw, meter_pk)
    columns = [found.get(ref, (-1, np.nan, -1)) for ref in unique.tolist()]
    return EvseMatch(
        evse_pks=np.array([column[0] for column in columns], dtype=np.int64)[at],
        rated_kw=np.array([column[1] for column in columns], dtype=np.float64)[at],
        meter_pks=np.array([column[2] for column in columns], dtype=np.int64)[at],
    )


def load_session_history(*, evse_pks: IntArray, evse_ids: StrArray, as_of: datetime) -> SessionHistory:
    """Load what was known at ``as_of`` of the sessions at these EVSEs.

    Args:
        evse_pks: (n_evse,) keys of the EVSEs.
        evse_ids: (n_evse,) the names they go by in the result, in the same order.

    Returns:
        Sessions by EVSE, then plug-in; ``session_ids`` are the sources' own references.
    """
    index = {int(pk): at for at, pk in enumerate(evse_pks)}
    rows = (
        ChargingSession.objects.across_tenants()
        .filter(evse__in=list(index), received_at__lte=as_of)
        .values_list("evse_id", "session_ref", "plug_in_at", "plug_out_at", "energy_kwh", "received_at", "connector")
    )
    ordered = sorted(rows, key=lambda row: (index[row[0]], row[2], row[1], row[6]))
    return SessionHistory(
        evse_ids=evse_ids,
        session_ids=np.array([row[1] for row in ordered], dtype=np.str_),
        evse=np.array([index[row[0]] for row in ordered], dtype=np.int64),
        plug_in_at=_times([row[2] for row in ordered]),
        plug_out_at=_times([row[3] for row in ordered]),
        energy_kwh=np.array([row[4] for row in ordered], dtype=np.float64),
        known_at=_times([row[5] for row in ordered]),
    )


def _times(times: list[datetime]) -> TimeArray:
    """``datetime64[s]``, parts of a second cut off."""
    return np.array([at.astimezone(UTC).replace(tzinfo=None) for at in times], dtype="datetime64[s]")


@dataclass(frozen=True, slots=True)
class KnownSessions:
    """(n_row,) whether a row's key is stored, or was on an earlier row, and whether it says the same."""

    is_known: BoolArray
    is_same: BoolArray


def compare_sessions(*, rows: SessionRows, evse_pks: IntArray, chosen: BoolArray) -> KnownSessions:
    """Compare the chosen rows with what is stored under the same EVSE, connector, reference and plug-in."""
    stored = ChargingSession.objects.across_tenants().filter(evse__in=np.unique(evse_pks[chosen]).tolist())
    said: dict[tuple[int, str, str, int], tuple[int, float]] = {
        (evse, connector, ref, _second(plug_in_at)): (_second(plug_out_at), energy_kwh)
        for evse, connector, ref, plug_in_at, plug_out_at, energy_kwh in stored.values_list(
            "evse_id", "connector", "session_ref", "plug_in_at", "plug_out_at", "energy_kwh"
        )
    }
    is_known, is_same = np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
    refs = rows.refs()
    starts, ends = rows.plug_in_at.astype(np.int64), rows.plug_out_at.astype(np.int64)
    for row in np.flatnonzero(chosen).tolist():
        key = (int(evse_pks[row]), str(rows.connectors[row]), str(refs[row]), int(starts[row]))
        value = (int(ends[row]), float(rows.energy_kwh[row]))
        is_known[row] = key in said
        is_same[row] = said.setdefault(key, value) == value
    return KnownSessions(is_known, is_known & is_same)


def store_sessions(
    *,
    batch_pk: int,
    rows: SessionRows,
    chosen: BoolArray,
    evse_pks: IntArray,
    organisation_pks: IntArray,
    received_at: TimeArray,
) -> int:
    """Add the chosen rows and return how many were new.

    Args:
        chosen: (n_row,) rows to store; each has an EVSE and a DSRSP.
        received_at: (n_row,) ``datetime64`` UTC.
    """
    n_new, refs = 0, rows.refs()
    picked = np.flatnonzero(chosen)
    with connection.cursor() as cursor:
        for start in range(0, len(picked), ROWS_A_STATEMENT):
            piece = picked[start : start + ROWS_A_STATEMENT]
            columns = [
                evse_pks[piece].tolist(),
                organisation_pks[piece].tolist(),
                rows.connectors[piece].tolist(),
                refs[piece].tolist(),
                _stamps(rows.plug_in_at[piece]),
                _stamps(rows.plug_out_at[piece]),
                rows.energy_kwh[piece].tolist(),
                _stamps(received_at[piece]),
            ]
            cursor.execute(ADD_ROWS, [batch_pk, *columns])
            n_new += cursor.rowcount
    return n_new


def _stamps(times: TimeArray) -> list[str]:
    return [f"{text}+00" for text in np.datetime_as_string(times).tolist()]


def _second(at: datetime) -> int:
    return int(at.timestamp())
