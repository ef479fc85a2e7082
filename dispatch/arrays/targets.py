"""Requests as they bear on a run."""

from datetime import datetime

from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from dispatch.models import TargetSignal


def load_signals(*, area: NetworkArea, grid: TimeGrid, as_of: datetime) -> tuple[TargetSignal, ...]:
    """Requests in force at ``as_of`` at any node of the area whose window meets the grid, by reference."""
    met = TargetSignal.objects.filter(
        node__in=area.node_pks.tolist(), received_at__lte=as_of, starts_at__lt=grid.ends_at, ends_at__gt=grid.starts_at
    ).exclude(withdrawn_at__lte=as_of)
    return tuple(sorted(met, key=lambda signal: signal.reference))
