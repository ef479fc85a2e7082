"""Runs in and out: headers by row, setpoints by COPY, one row an EVSE."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from aggregator.arrays.copy_in import copy_into
from aggregator.core.fleet import Fleet
from aggregator.core.network_area import NetworkArea
from aggregator.core.types import FloatArray, Int16Array, StrArray
from dispatch.core.assemble import Assembled
from dispatch.core.problem import DispatchPlan, DispatchProblem, FlexRequest
from dispatch.core.rounding import PHASE_KV
from dispatch.core.spare import FleetCeilings
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint, TargetSignal

ISSUED_COLUMNS = ("run_id", "evse_id", "organisation_id", "setpoint_a", "setpoint_kw")
SETPOINT_COLUMNS = (
    "run_id",
    "evse_id",
    "organisation_id",
    "start_period",
    "end_period",
    "energy_kwh",
    "planned_kw",
    "setpoint_a",
    "setpoint_kw",
    "unserved_kwh",
    "unserveable_kwh",
)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What was held against the ratings: (n_node, n_period) each."""

    background_kw: FloatArray
    reserve_kw: FloatArray


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The setpoints of a run, ordered by pseudonym.

    Attributes:
        evse_ids: (n_evse,) pseudonyms.
        setpoint_a: (n_evse, n_period) amperes a phase.
        planned_a: (n_evse, n_period) the plan's part of them.
    """

    evse_ids: StrArray
    setpoint_a: Int16Array
    planned_a: Int16Array

    def of(self, fleet: Fleet) -> "Ceilings":
        """The same in the fleet's order; 0 for an EVSE the run says nothing of."""
        row = {evse_id: at for at, evse_id in enumerate(self.evse_ids.tolist())}
        at = np.array([row.get(evse, len(row)) for evse in fleet.evse_ids.tolist()], dtype=np.int64)
        none = np.zeros((1, self.setpoint_a.shape[1]), dtype=np.int16)
        return Ceilings(
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
    RunNode.objects.bulk_create(_nodes(run, plan, assembled, area, held_back, planned_kw, ceilings.node_kw))
    RunRequest.objects.bulk_create(_requests(run, plan, assembled, signals, planned_kw))
    _copy_setpoints(_setpoint_rows(run, plan, ceilings, assembled, fleet))
    return run


def _nodes(
    run: DispatchRun,
    plan: DispatchPlan,
    assembled: Assembled,
    area: NetworkArea,
    held_back: HeldBack,
    planned_kw: FloatArray,
    ceiling_kw: FloatArray,
) -> list[RunNode]:
    return [
        RunNode(
            run=run,
            node_id=int(area.node_pks[node]),
            rating_kw=float(assembled.rating_kw[node]),
            background_kw=held_back.background_kw[node].tolist(),
            reserve_kw=held_back.reserve_kw[node].tolist(),
            limit_kw=np.maximum(assembled.limit_kw[node], 0.0).tolist(),
            planned_kw=planned_kw[node].tolist(),
            ceiling_kw=ceiling_kw[node].tolist(),
            price_gbp_per_kwh=plan.node_price_gbp_per_kwh[node].tolist(),
        )
        for node in range(area.n_node)
    ]


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


def _setpoint_rows(
    run: DispatchRun, plan: DispatchPlan, ceilings: FleetCeilings, assembled: Assembled, fleet: Fleet
) -> Iterable[tuple[object, ...]]:
    """One row for each EVSE of the fleet, also for one that is not expected."""
    problem = assembled.problem
    session_of = {int(evse): session for session, evse in enumerate(assembled.evse)}
    for evse in range(fleet.n_evse):
        at = session_of.get(evse)
        window_and_energy = (0, 0, 0.0) if at is None else _window_and_energy(problem, plan, at)
        left_out = (0.0, 0.0) if at is None else (float(plan.rounded_unserved_kwh[at]), float(plan.unserveable_kwh[at]))
        yield (
            run.pk,
            int(fleet.evse_pks[evse]),
            int(fleet.dsrsp_pks[evse]),
            *window_and_energy,
            ceilings.planned_kw[evse].tolist(),
            ceilings.setpoint_a[evse].tolist(),
            ceilings.setpoint_kw[evse].tolist(),
            *left_out,
        )


def _window_and_energy(problem: DispatchProblem, plan: DispatchPlan, at: int) -> tuple[int, int, float]:
    serveable_kwh = float(problem.session_energy_kwh[at] - plan.unserveable_kwh[at])
    return int(problem.session_start[at]), int(problem.session_end[at]), serveable_kwh


def _copy_setpoints(rows: Iterable[tuple[object, ...]]) -> None:
    with copy_into(table="dispatch_setpoint", columns=SETPOINT_COLUMNS) as copy:
        for row in rows:
            copy.write_row(row)


class _SetpointRow(NamedTuple):
    pseudonym: str
    setpoint_a: list[int]
    planned_kw: list[float]
    phases: int


def load_ceilings(*, run: DispatchRun) -> Ceilings:
    """Read a run's setpoints back."""
    stored = Setpoint.objects.across_tenants().filter(run=run)
    columns = stored.values_list("evse__pseudonym", "setpoint_a", "planned_kw", "evse__phases")
    rows = sorted(_SetpointRow(*row) for row in columns)
    unit_kw = PHASE_KV * np.array([row.phases for row in rows], dtype=np.float64).reshape(-1, 1)
    planned_kw = np.array([row.planned_kw for row in rows], dtype=np.float64).reshape(len(rows), run.n_period)
    return Ceilings(
        evse_ids=np.array([row.pseudonym for row in rows], dtype=np.str_),
        setpoint_a=np.array([row.setpoint_a for row in rows], dtype=np.int16).reshape(len(rows), run.n_period),
        planned_a=np.rint(planned_kw / unit_kw).astype(np.int16),
    )


def store_issued(*, run: DispatchRun, fleet: Fleet, ceilings: FleetCeilings) -> None:
    """Keep what each EVSE was told in the end, in place of an earlier pass; call it in a transaction."""
    IssuedSetpoint.objects.across_tenants().filter(run=run).delete()
    with copy_into(table="dispatch_issuedsetpoint", columns=ISSUED_COLUMNS) as copy:
        for evse in range(fleet.n_evse):
            copy.write_row(
                (
                    run.pk,
                    int(fleet.evse_pks[evse]),
                    int(fleet.dsrsp_pks[evse]),
                    ceilings.setpoint_a[evse].tolist(),
                    ceilings.setpoint_kw[evse].tolist(),
                )
            )


def newest_run(*, area_pk: int, charging_day: date) -> DispatchRun | None:
    """The run in force for an area and charging day: the newest, since only checked plans are stored."""
    return DispatchRun.objects.filter(area=area_pk, charging_day=charging_day).order_by("-created_at", "-pk").first()
