"""A fleet with ten weeks of readings, for the baseline laboratory: every evening half of its EVSEs charge."""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from aggregator.arrays.readings import store_meter_days
from aggregator.models import EVSE, Batch, NetworkNode, Organisation
from tests.factories import make_dno, make_evse, make_node, make_organisation

FIRST, LAST = date(2025, 11, 10), date(2026, 1, 25)
TESTED = {"from": "2026-01-12", "to": "2026-01-25"}
KNOWN_AT = datetime(2026, 1, 26, 6, tzinfo=UTC)
EVENING_KWH = 3.0


def make_lab_area(
    code: str = "flexco", *, n_evse: int = 8, dno: Organisation | None = None
) -> tuple[Organisation, NetworkNode, list[EVSE]]:
    """A DSRSP with EVSEs on a feeder of its own; EVSE i draws 3 kWh a half-hour from 15:00 to 22:00 every other day."""
    dsrsp = make_organisation(code)
    node = make_node(f"{code}-feeder", dno=dno or make_dno())
    evses = [make_evse(f"{code}-{index}", node=node, dsrsp=dsrsp) for index in range(n_evse)]
    batch = Batch.objects.create(
        kind="readings", organisation=dsrsp, source=f"{code} readings", sha256=f"{code:0<64}"[:64], received_at=KNOWN_AT
    )
    n_day = (LAST - FIRST).days + 1
    energy = np.zeros((n_evse, n_day, 48))
    for index in range(n_evse):
        energy[index, index % 2 :: 2, 30:44] = EVENING_KWH
    day = np.datetime64(FIRST, "D") + np.tile(np.arange(n_day), n_evse)
    n_row = n_evse * n_day
    store_meter_days(
        batch_pk=batch.pk,
        day=day,
        meter_pk=np.repeat([evse.meter_id for evse in evses], n_day).astype(np.int64),
        organisation_pk=np.full(n_row, dsrsp.pk),
        received_at=np.full(n_row, np.datetime64(KNOWN_AT.replace(tzinfo=None) - timedelta(hours=1), "us")),
        energy_kwh=energy.reshape(n_row, 48),
    )
    return dsrsp, node, evses
