"""Demand other than EVSEs, as measured by customers' meters and feeder monitors."""

from datetime import date, datetime

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.background import MeasuredDemand
from aggregator.core.network_area import NetworkArea
from aggregator.models import Meter

PERIODS_AN_HOUR = 2


def load_measured_demand(*, area: NetworkArea, first_day: date, last_day: date, as_of: datetime) -> MeasuredDemand:
    """Load the days ``first_day`` to ``last_day`` (UTC, both included) as known at ``as_of``."""
    meters = list(
        Meter.objects.across_tenants()
        .filter(node__in=area.node_pks.tolist(), kind__in=[Meter.Kind.CUSTOMER, Meter.Kind.FEEDER])
        .values_list("pk", "node_id", "kind", "code")
    )
    meters.sort(key=lambda meter: meter[3])
    index = {int(pk): at for at, pk in enumerate(area.node_pks)}
    pks = np.array([meter[0] for meter in meters], dtype=np.int64)
    node = np.array([index[int(meter[1] or 0)] for meter in meters], dtype=np.int64)
    is_monitor = np.array([meter[2] == Meter.Kind.FEEDER for meter in meters], dtype=np.bool_)
    energy = load_energy_kwh(meter_pks=pks, first_day=first_day, last_day=last_day, as_of=as_of)
    power_kw = energy.energy_kwh * PERIODS_AN_HOUR
    # A meter that never read tells nothing; its customer is among those its node counts.
    is_read = np.isfinite(power_kw).any(axis=(1, 2))
    power_kw, node, is_monitor = power_kw[is_read], node[is_read], is_monitor[is_read]
    return MeasuredDemand(
        first_day=first_day,
        customer_kw=power_kw[~is_monitor],
        customer_node=node[~is_monitor],
        monitor_kw=power_kw[is_monitor],
        monitor_node=node[is_monitor],
    )
