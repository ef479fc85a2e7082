"""Charging sessions as arrays."""

from datetime import UTC, datetime

import numpy as np

from aggregator.core.sessions import SessionHistory
from aggregator.core.types import IntArray, StrArray, TimeArray
from aggregator.models import ChargingSession


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
