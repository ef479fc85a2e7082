"""Which DSRSP an EVSE was enrolled with at a time."""

from datetime import datetime

import numpy as np
from django.db import connection

from aggregator.core.intervals import to_datetime64
from aggregator.core.types import IntArray, TimeArray

NOT_ENROLLED = -1
FIND_ROWS = "SELECT evse_id, dsrsp_id, starts_at, ends_at FROM aggregator_enrolment WHERE evse_id = ANY(%s)"


def dsrsp_at(*, evse_pks: IntArray, at: TimeArray) -> IntArray:
    """Key of the DSRSP each EVSE was enrolled with at each instant.

    Args:
        evse_pks: (n_row,) repeats allowed.
        at: (n_row,) ``datetime64`` UTC.

    Returns:
        (n_row,) ``NOT_ENROLLED`` where it was enrolled with none.
    """
    dsrsps = np.full(len(evse_pks), NOT_ENROLLED, dtype=np.int64)
    order = np.argsort(evse_pks, kind="stable")
    pks, starts = np.unique(evse_pks[order], return_index=True)
    rows_of = dict(zip(pks.tolist(), np.split(order, starts[1:]), strict=True))
    for evse_pk, dsrsp_pk, starts_at, ends_at in _enrolments(list(rows_of)):
        rows = rows_of[evse_pk]
        is_theirs = at[rows] >= to_datetime64(starts_at)
        if ends_at is not None:
            is_theirs &= at[rows] < to_datetime64(ends_at)
        dsrsps[rows[is_theirs]] = dsrsp_pk
    return dsrsps


def _enrolments(evse_pks: list[int]) -> list[tuple[int, int, datetime, datetime | None]]:
    with connection.cursor() as cursor:
        cursor.execute(FIND_ROWS, [evse_pks])
        return list(cursor.fetchall())
