"""A run read back whole, for the one that continues it."""

import numpy as np

from aggregator.core.align import NOWHERE, index_of
from aggregator.core.fleet import Fleet
from aggregator.core.network_area import NetworkArea
from aggregator.core.types import FloatArray
from dispatch.arrays.runs import load_ceilings
from dispatch.core.continued import StoredDay
from dispatch.models import DispatchRun, RunNode, Setpoint

_SESSION = ("start_period", "end_period", "energy_kwh", "unserved_kwh", "unserveable_kwh")
_NODE = ("limit_kw", "background_kw", "reserve_kw", "price_gbp_per_kwh")


def load_stored_day(*, run: DispatchRun, fleet: Fleet, area: NetworkArea) -> StoredDay:
    """Setpoints, sessions and network of a run in the order of a fleet and an area's nodes."""
    told = load_ceilings(run=run).of(fleet)
    rows = list(Setpoint.objects.across_tenants().filter(run=run).values_list("evse_id", *_SESSION))
    session = np.array(rows, dtype=np.float64).reshape(len(rows), 1 + len(_SESSION))
    at = index_of(session[:, 0].astype(np.int64), fleet.evse_pks)
    start, end, energy_kwh, unserved_kwh, unserveable_kwh = (
        np.append(session[:, column], 0.0)[np.where(at == NOWHERE, len(rows), at)] for column in range(1, 6)
    )
    limit_kw, background_kw, reserve_kw, price = _nodes(run, area)
    return StoredDay(
        setpoint_a=told.setpoint_a,
        planned_a=told.planned_a,
        start=start.astype(np.int64),
        end=end.astype(np.int64),
        # A row keeps what the session could take on its own; the day's problem wants what was asked.
        energy_kwh=energy_kwh + unserveable_kwh,
        unserved_kwh=unserved_kwh,
        unserveable_kwh=unserveable_kwh,
        limit_kw=limit_kw,
        background_kw=background_kw,
        reserve_kw=reserve_kw,
        price_gbp_per_kwh=price,
    )


def _nodes(run: DispatchRun, area: NetworkArea) -> tuple[FloatArray, ...]:
    """(n_node, n_period) each; 0 at a node that was not in the run."""
    rows = list(RunNode.objects.filter(run=run).values_list("node_id", *_NODE))
    at = index_of(np.array([row[0] for row in rows], dtype=np.int64), area.node_pks)
    none = np.zeros((1, run.n_period))
    found = []
    for column in range(1, 1 + len(_NODE)):
        values = np.array([row[column] for row in rows], dtype=np.float64).reshape(len(rows), run.n_period)
        found.append(np.concatenate([values, none])[np.where(at == NOWHERE, len(rows), at)])
    return tuple(found)
