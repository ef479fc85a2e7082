"""Requests as they bear on a run."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import IntArray
from dispatch.core.spared import Spared
from dispatch.models import SparedEvse, TargetSignal


def load_signals(*, area: NetworkArea, grid: TimeGrid, as_of: datetime) -> tuple[TargetSignal, ...]:
    """Requests in force at ``as_of`` at any node of the area whose window meets the grid, by reference."""
    met = TargetSignal.objects.filter(
        node__in=area.node_pks.tolist(), received_at__lte=as_of, starts_at__lt=grid.ends_at, ends_at__gt=grid.starts_at
    ).exclude(withdrawn_at__lte=as_of)
    return tuple(sorted(met, key=lambda signal: signal.reference))


def load_spared(*, signals: Sequence[TargetSignal], evse_pks: IntArray) -> Spared:
    """Which of these EVSEs requests spare, and which of the requests do."""
    rows = SparedEvse.objects.across_tenants().filter(signal__in=[signal.pk for signal in signals])
    pairs = list(rows.values_list("signal", "evse"))
    sparing = {signal_pk for signal_pk, _ in pairs}
    return Spared(
        who=np.isin(evse_pks, [evse_pk for _, evse_pk in pairs]),
        by=np.array([signal.pk in sparing for signal in signals], dtype=np.bool_),
    )
