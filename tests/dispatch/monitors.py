"""A feeder monitor with readings of one charging day."""

from datetime import datetime

from django.db import connection

from aggregator.core.timegrid import TimeGrid
from aggregator.models import Batch, Meter, MeterDay, NetworkNode, Organisation


def make_monitor(
    node: NetworkNode, dno: Organisation, grid: TimeGrid, *, received_at: datetime, power_kw: float
) -> Meter:
    """A monitor at ``node`` that measured ``power_kw`` throughout the UTC days of ``grid``."""
    meter = Meter(code=f"monitor-{node.code}", kind=Meter.Kind.FEEDER, node=node, organisation=dno)
    meter.save()
    batch = Batch.objects.create(
        kind="demand", organisation=dno, source="monitor", sha256=f"{node.pk:064d}", received_at=received_at
    )
    for day in (grid.starts_at.date(), grid.ends_at.date()):
        with connection.cursor() as cursor:
            cursor.execute("SELECT aggregator_meterday_partition(%s)", [day])
        MeterDay(
            day=day,
            meter=meter,
            batch=batch,
            organisation=dno,
            received_at=received_at,
            energy_kwh=[power_kw / 2] * 48,
        ).save(force_insert=True)
    return meter
