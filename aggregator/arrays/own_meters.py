"""An organisation's own meters by the names its clients use."""

from dataclasses import dataclass

import numpy as np
from django.db import connection

from aggregator.arrays.meters import UNKNOWN
from aggregator.core.types import IntArray, StrArray
from aggregator.models import Organisation

BY_CODE = "SELECT code, id, kind FROM aggregator_meter WHERE code = ANY(%s) AND organisation_id = %s"
# By the enrolment in force, and the meter that is the DSRSP's own: a pseudonym of another's EVSE is not known.
BY_EVSE = """
SELECT evse.pseudonym, meter.id, meter.kind FROM aggregator_evse AS evse
JOIN aggregator_meter AS meter ON meter.id = evse.meter_id
WHERE evse.pseudonym = ANY(%s) AND meter.organisation_id = %s
"""


@dataclass(frozen=True, slots=True)
class OwnMeters:
    """(n,) keys, ``UNKNOWN`` where the organisation has no such meter, and kinds, empty there."""

    pks: IntArray
    kinds: StrArray


def find_own_meters(*, organisation: Organisation, names: StrArray, names_evses: bool) -> OwnMeters:
    """Find meters by their codes, or by the pseudonyms of their EVSEs; another organisation's are not found."""
    wanted = names.tolist()
    with connection.cursor() as cursor:
        cursor.execute(BY_EVSE if names_evses else BY_CODE, [wanted, organisation.pk])
        found = {name: (pk, kind) for name, pk, kind in cursor.fetchall()}
    rows = [found.get(name, (UNKNOWN, "")) for name in wanted]
    return OwnMeters(
        pks=np.array([pk for pk, _ in rows], dtype=np.int64), kinds=np.array([kind for _, kind in rows], dtype=np.str_)
    )
