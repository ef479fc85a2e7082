"""A day of which a part is over: what was planned before now and what is planned anew, as one plan."""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.core.fleet_state import FleetState
from aggregator.core.types import FloatArray, Int16Array, IntArray
from dispatch.core.assemble import Assembled
from dispatch.core.check import add_up
from dispatch.core.network import Network
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.redispatch import Redispatch
from dispatch.core.rounding import ampere_kw
from dispatch.core.spare import FleetCeilings


@dataclass(frozen=True, slots=True, eq=False)
class StoredDay:
    """A run as stored, in the order of a fleet and of an area's nodes; nothing for what it says nothing of.

    Attributes:
        setpoint_a, planned_a: (n_evse, n_period).
        start, end, energy_kwh, unserved_kwh, unserveable_kwh: (n_evse,) of each EVSE's session; end 0 without one.
        limit_kw, background_kw, reserve_kw, price_gbp_per_kwh: (n_node, n_period).
    """

    setpoint_a: Int16Array
    planned_a: Int16Array
    start: IntArray
    end: IntArray
    energy_kwh: FloatArray
    unserved_kwh: FloatArray
    unserveable_kwh: FloatArray
    limit_kw: FloatArray
    background_kw: FloatArray
    reserve_kw: FloatArray
    price_gbp_per_kwh: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class WholeDay:
    """A run to store: costs, bound and gap are those of what was left of the day."""

    plan: DispatchPlan
    assembled: Assembled
    ceilings: FleetCeilings


def whole_day(
    day: Assembled, everyone: DispatchProblem, stored: StoredDay, state: FleetState, found: Redispatch
) -> WholeDay:
    """Put what is over before what was planned anew.

    Args:
        day: the whole day as assembled from what is known now.
        everyone: the fleet as sessions, in the order of ``stored`` and ``state``.
    """
    now = found.remaining.now
    limit_kw = _joined(stored.limit_kw, day.limit_kw[:, now:], now)
    planned_a = _joined(stored.planned_a, np.minimum(found.planned_a, found.setpoint_a), now).astype(np.int16)
    setpoint_a = _joined(stored.setpoint_a, found.setpoint_a, now).astype(np.int16)
    unit_kw = ampere_kw(everyone)
    ceilings = FleetCeilings(setpoint_a, planned_a, unit_kw, add_up(everyone, setpoint_a * unit_kw[:, np.newaxis]))
    sessions = _Sessions.of(stored, state, found)
    evse = np.flatnonzero(sessions.end > sessions.start)
    problem = replace(
        everyone,
        node_limit_kw=limit_kw,
        session_ids=everyone.session_ids[evse],
        session_node=everyone.session_node[evse],
        session_phases=everyone.session_phases[evse],
        session_start=sessions.start[evse],
        session_end=sessions.end[evse],
        session_max_kw=everyone.session_max_kw[evse],
        session_energy_kwh=sessions.energy_kwh[evse],
        session_min_kw=everyone.session_min_kw[evse],
        session_unserved_gbp_per_kwh=everyone.session_unserved_gbp_per_kwh[evse],
        session_tariff=everyone.session_tariff[evse],
        requests=day.problem.requests,
    )
    assembled = Assembled(problem, Network.of(problem), evse, day.rating_kw, limit_kw, day.findings)
    return WholeDay(_plan(found, stored, assembled, sessions, ceilings.planned_kw), assembled, ceilings)


def _joined(before: FloatArray | Int16Array, after: FloatArray | Int16Array, now: int) -> FloatArray:
    joined: FloatArray = np.concatenate([before[:, :now], after], axis=1)
    return joined


@dataclass(frozen=True, slots=True, eq=False)
class _Sessions:
    """(n_evse,) the day's session of each EVSE: planned anew where there is one, else as it was stored."""

    start: IntArray
    end: IntArray
    energy_kwh: FloatArray
    unserved_kwh: FloatArray
    unserveable_kwh: FloatArray

    @classmethod
    def of(cls, stored: StoredDay, state: FleetState, found: Redispatch) -> "_Sessions":
        remaining, plan = found.remaining, found.plan
        evse, problem = remaining.evse, remaining.problem
        there = state.is_present[evse]
        since = np.floor(np.where(there, np.nan_to_num(state.since[evse]), 0.0)).astype(np.int64)
        values = {
            "start": np.where(there, np.clip(since, 0, remaining.now), problem.session_start + remaining.now),
            "end": problem.session_end + remaining.now,
            "energy_kwh": problem.session_energy_kwh + np.where(there, state.delivered_kwh[evse], 0.0),
            "unserved_kwh": found.unserved_kwh,
            "unserveable_kwh": plan.unserveable_kwh,
        }
        columns = {name: getattr(stored, name).copy() for name in values}
        for name, found_values in values.items():
            columns[name][evse] = found_values
        return cls(**columns)


def _plan(
    found: Redispatch, stored: StoredDay, assembled: Assembled, sessions: _Sessions, planned_kw: FloatArray
) -> DispatchPlan:
    remaining, evse = found.remaining, assembled.evse
    power_kw = planned_kw[evse].astype(np.float32)
    shortfall_kw = np.zeros((assembled.problem.n_request, assembled.problem.n_period))
    shortfall_kw[remaining.request, remaining.now :] = found.plan.shortfall_kw
    return replace(
        found.plan,
        power_kw=power_kw,
        unserved_kwh=sessions.unserved_kwh[evse],
        unserveable_kwh=sessions.unserveable_kwh[evse],
        shortfall_kw=shortfall_kw,
        node_power_kw=assembled.network.node_power_kw(power_kw),
        node_price_gbp_per_kwh=_joined(stored.price_gbp_per_kwh, found.plan.node_price_gbp_per_kwh, remaining.now),
        setpoint_a=np.rint(planned_kw[evse] / ampere_kw(assembled.problem)[:, np.newaxis]).astype(np.int16),
        rounded_unserved_kwh=sessions.unserved_kwh[evse],
    )
