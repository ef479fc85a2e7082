"""Runs in and out: headers by row, nodes and setpoints by COPY, one row an EVSE."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.arrays.copy_in import copy_columns
from aggregator.arrays.copy_out import Field, load_columns
from aggregator.core.align import index_of, text_order
from aggregator.core.fleet import Fleet
from aggregator.core.network_area import NetworkArea
from aggregator.core.types import FloatArray, Int16Array, IntArray, StrArray
from dispatch.core.assemble import Assembled
from dispatch.core.problem import DispatchPlan, FlexRequest
from dispatch.core.spare import FleetCeilings
from dispatch.models import DispatchRun, IssuedSetpoint, RunRequest, TargetSignal

TOLD = """
FROM dispatch_setpoint AS told JOIN aggregator_evse AS evse ON evse.id = told.evse_id WHERE told.run_id = {run}
"""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What was held against the ratings: (n_node, n_period) each."""

    background_kw: FloatArray
    reserve_kw: FloatArray


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The setpoints of a run, ordered by pseudonym.

    Attributes:
        evse_pks: (n_evse,) database keys.
        evse_ids: (n_evse,) pseudonyms.
        setpoint_a: (n_evse, n_period) amperes a phase.
        planned_a: (n_evse, n_period) the plan's part of them.
    """

    evse_pks: IntArray
    evse_ids: StrArray
    setpoint_a: Int16Array
    planned_a: Int16Array

    def of(self, fleet: Fleet) -> "Ceilings":
        """The same in the fleet's order; 0 for an EVSE the run says nothing of."""
        at = index_of(self.evse_pks, fleet.evse_pks)  # NOWHERE is the last row, which is the one added
        none = np.zeros((1, self.setpoint_a.shape[1]), dtype=np.int16)
        return Ceilings(
            fleet.evse_pks,
            fleet.evse_ids,
            np.concatenate([self.setpoint_a, none])[at],
            np.concatenate([self.planned_a, none])[at],
        )


def store_run(
    *,
    run: DispatchRun,
    plan: DispatchPlan,
    ceilings: FleetCeilings,
    assembled: Assembled,
    area: NetworkArea,
    fleet: Fleet,
    held_back: HeldBack,
    signals: tuple[TargetSignal, ...],
) -> DispatchRun:
    """Write a run whole; call it in a transaction."""
    run.save()
    planned_kw = assembled.network.node_power_kw(ceilings.planned_kw[assembled.evse])
    _store_nodes(run, plan, assembled, area, held_back, planned_kw, ceilings.node_kw)
    RunRequest.objects.bulk_create(_requests(run, plan, assembled, signals, planned_kw))
    _store_setpoints(run, plan, ceilings, assembled, fleet)
    return run


def _store_nodes(
    run: DispatchRun,
    plan: DispatchPlan,
    assembled: Assembled,
    area: NetworkArea,
    held_back: HeldBack,
    planned_kw: FloatArray,
    ceiling_kw: FloatArray,
) -> None:
    columns = {
        "run_id": np.full(area.n_node, run.pk),
        "node_id": area.node_pks,
        "rating_kw": assembled.rating_kw,
        "background_kw": held_back.background_kw,
        "reserve_kw": held_back.reserve_kw,
        "limit_kw": np.maximum(assembled.limit_kw, 0.0),
        "planned_kw": planned_kw,
        "ceiling_kw": ceiling_kw,
        "price_gbp_per_kwh": plan.node_price_gbp_per_kwh,
    }
    copy_columns(table="dispatch_runnode", columns=columns)


def _requests(
    run: DispatchRun,
    plan: DispatchPlan,
    assembled: Assembled,
    signals: tuple[TargetSignal, ...],
    planned_kw: FloatArray,
) -> list[RunRequest]:
    return [
        RunRequest(
            run=run,
            signal=signal,
            start_period=request.start,
            end_period=request.end,
            planned_kw=planned_kw[request.node, request.start : request.end].tolist(),
            shortfall_kw=np.maximum(
                plan.shortfall_kw[at, request.start : request.end],
                _missed_kw(request, planned_kw[request.node, request.start : request.end]),
            ).tolist(),
        )
        for at, (signal, request) in enumerate(zip(signals, assembled.problem.requests, strict=True))
    ]


def _missed_kw(request: FlexRequest, planned_kw: FloatArray) -> FloatArray:
    """What the rounded plan misses of a request; its ceilings may exceed what is drawn, so a turn-up can miss more."""
    missed_kw: FloatArray = np.maximum(request.direction * (request.target_kw - planned_kw), 0.0)
    return missed_kw


def _store_setpoints(
    run: DispatchRun, plan: DispatchPlan, ceilings: FleetCeilings, assembled: Assembled, fleet: Fleet
) -> None:
    """One row for each EVSE of the fleet, also for one that is not expected."""
    problem = assembled.problem

    def of_fleet(values: IntArray | FloatArray, kind: type) -> NDArray[Any]:
        """(n_evse,) the value of each EVSE's session, 0 without one."""
        column: NDArray[Any] = np.zeros(fleet.n_evse, dtype=kind)
        column[assembled.evse] = values
        return column

    columns = {
        "run_id": np.full(fleet.n_evse, run.pk),
        "evse_id": fleet.evse_pks,
        "organisation_id": fleet.dsrsp_pks,
        "start_period": of_fleet(problem.session_start, np.int16),
        "end_period": of_fleet(problem.session_end, np.int16),
        "energy_kwh": of_fleet(problem.session_energy_kwh - plan.unserveable_kwh, np.float64),
        "ampere_kw": ceilings.ampere_kw,
        "planned_a": ceilings.planned_a,
        "setpoint_a": ceilings.setpoint_a,
        "unserved_kwh": of_fleet(plan.rounded_unserved_kwh, np.float64),
        "unserveable_kwh": of_fleet(plan.unserveable_kwh, np.float64),
    }
    copy_columns(table="dispatch_setpoint", columns=columns)


def load_ceilings(*, run: DispatchRun) -> Ceilings:
    """Read a run's setpoints back."""
    fields = {
        "evse_pk": Field("evse.id", "i8"),
        "setpoint_a": Field("told.setpoint_a", "i2", run.n_period),
        "planned_a": Field("told.planned_a", "i2", run.n_period),
    }
    texts, values = {"evse_id": "evse.pseudonym"}, {"run": run.pk}
    told = load_columns(source=TOLD, block="evse.id / 1000", fields=fields, texts=texts, values=values)
    order = text_order(told["evse_id"])
    return Ceilings(
        evse_pks=told["evse_pk"][order],
        evse_ids=told["evse_id"][order],
        setpoint_a=told["setpoint_a"][order],
        planned_a=told["planned_a"][order],
    )


def store_issued(*, run: DispatchRun, fleet: Fleet, ceilings: FleetCeilings) -> None:
    """Keep what each EVSE was told in the end, in place of an earlier pass; call it in a transaction."""
    IssuedSetpoint.objects.across_tenants().filter(run=run).delete()
    columns = {
        "run_id": np.full(fleet.n_evse, run.pk),
        "evse_id": fleet.evse_pks,
        "organisation_id": fleet.dsrsp_pks,
        "ampere_kw": ceilings.ampere_kw,
        "setpoint_a": ceilings.setpoint_a,
    }
    copy_columns(table="dispatch_issuedsetpoint", columns=columns)


def newest_run(*, area_pk: int, charging_day: date) -> DispatchRun | None:
    """The run in force for an area and charging day: the newest, since only checked plans are stored."""
    return DispatchRun.objects.filter(area=area_pk, charging_day=charging_day).order_by("-created_at", "-pk").first()
