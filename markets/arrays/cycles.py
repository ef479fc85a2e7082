"""A cycle's curves and figures, in and out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from aggregator.arrays.background import load_measured_demand
from aggregator.core.background import node_history_kw
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray
from aggregator.models import Finding
from dispatch.models import DispatchRun, RunNode, RunRequest
from markets.core.summary import DayCurves
from markets.models import CycleNode, CycleRun, FlexEvent, SettlementRun


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a stored run says of its plan.

    Attributes:
        planned_kw: (n_period,) rounded plan at the area's root.
        shortfall_kwh: over all requests and periods.
        rating_kw: (n_node,) in the area's order.
    """

    planned_kw: FloatArray
    shortfall_kwh: float
    rating_kw: FloatArray


def load_run_figures(*, run: DispatchRun, area: NetworkArea) -> RunFigures:
    """Read a run's node rows and requests back."""
    nodes = {node.node_id: node for node in RunNode.objects.filter(run=run)}
    rating_kw = np.array([nodes[int(pk)].rating_kw for pk in area.node_pks], dtype=np.float64)
    step_h = run.period_minutes / 60
    shortfall_kwh = sum(sum(request.shortfall_kw) * step_h for request in RunRequest.objects.filter(run=run))
    return RunFigures(np.array(nodes[run.area_id].planned_kw, dtype=np.float64), shortfall_kwh, rating_kw)


def load_actual_background_kw(*, area: NetworkArea, grid: TimeGrid, as_of: datetime) -> FloatArray:
    """(n_node, n_period) demand other than EVSEs as it was metered; ADMD stands in where nothing was."""
    first_day, last_day = grid.starts_at.date(), (grid.ends_at - timedelta(minutes=1)).date()
    measured = load_measured_demand(area=area, first_day=first_day, last_day=last_day, as_of=as_of)
    history_kw, _ = node_history_kw(measured, area)
    start = (grid.starts_at.hour * 60 + grid.starts_at.minute) // grid.period_minutes
    power_kw: FloatArray = history_kw.reshape(area.n_node, -1)[:, start : start + grid.n_period]
    return power_kw


def store_cycle_nodes(*, cycle: CycleRun, area: NetworkArea, n_evse: FloatArray, curves: DayCurves) -> None:
    """Replace a cycle's curves, one row a node; call it in a transaction."""
    CycleNode.objects.filter(cycle=cycle).delete()
    CycleNode.objects.bulk_create(
        [
            CycleNode(
                cycle=cycle,
                node_id=int(area.node_pks[node]),
                n_evse=round(float(n_evse[node])),
                uncontrolled_kw=curves.uncontrolled_kw[node].tolist(),
                metered_kw=curves.metered_kw[node].tolist(),
                background_kw=curves.background_kw[node].tolist(),
            )
            for node in range(area.n_node)
        ]
    )


def load_events(*, run: DispatchRun) -> tuple[FlexEvent, ...]:
    """The events behind a run's requests, by reference."""
    events = FlexEvent.objects.filter(signal__runs__run=run).select_related("signal__node", "product")
    return tuple(sorted(events, key=lambda event: event.signal.reference))


def count_findings(*, sources: list[str]) -> dict[str, int]:
    """Findings of these sources by code."""
    codes = Finding.objects.across_tenants().filter(source__in=sources).values_list("code", flat=True)
    counts: dict[str, int] = {}
    for code in sorted(codes):
        counts[code] = counts.get(code, 0) + 1
    return counts


def finding_sources(*, cycle: CycleRun, settlements: list[SettlementRun]) -> list[str]:
    """Where a cycle's findings were noted."""
    return [
        f"forecast:{cycle.forecast_id}",
        f"run:{cycle.run_id}",
        f"cycle:{cycle.pk}",
        *(f"settlement:{settlement.pk}" for settlement in settlements),
    ]
