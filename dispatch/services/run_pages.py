"""A dispatch run as one organisation may see it: plan, bound and proof, and of EVs only what is its own or of many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.core.chart import Series
from aggregator.core.day_panel import DayPanel, DayPowers, curves_panel, day_panel
from aggregator.core.display import span_text
from aggregator.core.types import float_array
from aggregator.models import Organisation
from aggregator.queries import identities_seen_by
from dispatch.models import DispatchRun, RunNode, RunRequest, Setpoint
from dispatch.queries import fleet_plan, run_nodes_seen_by, run_requests_seen_by, runs_seen_by
from dispatch.services.plans import (
    SeenNode,
    SeenRequest,
    is_area_shown,
    see_nodes,
    see_requests,
    see_runs,
    see_setpoints,
    shown_nodes_in,
)

RUNGS = {
    "certified": "proved to be within the gap asked for",
    "time-boxed": "the best found in the time allowed",
    "greedy": "made by the safe rule, without the solver",
    "last-plan": "the last plan that was safe",
}


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list; ``cost_gbp`` and ``shortfall_kwh`` are None where they are not for this reader."""

    pk: int
    area: str
    charging_day: str
    as_of: datetime
    created_at: datetime
    method: str
    rung: str
    gap_percent: float
    cost_gbp: float | None
    shortfall_kwh: float | None
    n_request: int
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class CostLine:
    label: str
    amount_gbp: float
    note: str


@dataclass(frozen=True, slots=True)
class RequestLine:
    """What the plan holds against a request; figures are None where they are of too few EVSEs."""

    reference: str
    node: str
    direction: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    lowest_kw: float | None
    highest_kw: float | None
    shortfall_kwh: float | None
    is_met: bool


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A node's extremes through the day; EV figures are None where they are of too few EVSEs."""

    code: str
    kind: str
    rating_kw: float
    least_limit_kw: float
    planned_peak_kw: float | None
    ceiling_peak_kw: float | None
    highest_price_gbp_per_kwh: float | None
    margin_kw: float | None


@dataclass(frozen=True, slots=True)
class SetpointLine:
    """An EVSE's ceiling; ``csms_ref``, energies and planned power are for its own DSRSP only."""

    pseudonym: str
    csms_ref: str
    highest_kw: float
    told_kw: float | None
    energy_kwh: float | None
    unserved_kwh: float | None
    planned_peak_kw: float | None


@dataclass(frozen=True, slots=True)
class FleetTotals:
    """What a run asks of one DSRSP's own EVSEs."""

    n_evse: int
    energy_kwh: float
    unserved_kwh: float
    panel: DayPanel


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run without its long lists.

    Attributes:
        costs: the objective and its parts; empty where other DSRSPs' EVSEs, or too few, stand in it.
        own: totals of the reader's own EVSEs; None for who has none.
    """

    pk: int
    area: str
    charging_day: str
    day: str
    as_of: datetime
    created_at: datetime
    method: str
    rung: str
    rung_words: str
    is_in_force: bool
    iterations: int
    solve_s: float
    gap_percent: float
    max_violation_kw: float
    cost_gbp: float | None
    lower_bound_gbp: float | None
    unavoidable_gbp: float | None
    costs: tuple[CostLine, ...]
    requests: tuple[RequestLine, ...]
    parameters: tuple[tuple[str, str], ...]
    input_sha256: str
    own: FleetTotals | None


def run_lines(*, runs: Sequence[DispatchRun], organisation: Organisation) -> list[RunLine]:
    """Describe runs the organisation sees, in their order."""
    asked: dict[int, list[RunRequest]] = {}
    for request in run_requests_seen_by(organisation).filter(run__in=[run.pk for run in runs]):
        asked.setdefault(request.run_id, []).append(request)
    shown = _shown_areas(runs, organisation)
    return [
        RunLine(
            pk=seen.run.pk,
            area=seen.run.area.code,
            charging_day=seen.run.charging_day.isoformat(),
            as_of=seen.run.as_of,
            created_at=seen.run.created_at,
            method=seen.run.method,
            rung=seen.run.rung,
            gap_percent=seen.run.gap * 100,
            cost_gbp=seen.run.cost_gbp if seen.run.pk in shown else None,
            shortfall_kwh=_all_shortfall_kwh(seen.run, asked) if seen.run.pk in shown else None,
            n_request=len(asked.get(seen.run.pk, ())),
            is_in_force=seen.is_in_force,
        )
        for seen in see_runs(runs)
    ]


def _shown_areas(runs: Sequence[DispatchRun], organisation: Organisation) -> frozenset[int]:
    """Runs whose sums over all EVSEs the organisation may see, as ``is_area_shown`` says of one."""
    if organisation.kind == Organisation.Kind.DSRSP or not runs:
        return frozenset()
    shown = shown_nodes_in(runs, organisation)
    return frozenset(run.pk for run in runs if run.area.code in shown[run.pk])


def _all_shortfall_kwh(run: DispatchRun, asked: Mapping[int, Sequence[RunRequest]]) -> float:
    return sum(_shortfall_kwh(one, run) for one in asked.get(run.pk, ()))


def run_page(*, run: DispatchRun, organisation: Organisation, with_requests: bool) -> RunPage:
    """Describe one run the organisation sees."""
    seen = see_runs([run])[0]
    is_shown = is_area_shown(run, organisation)
    return RunPage(
        pk=run.pk,
        area=run.area.name or run.area.code,
        charging_day=run.charging_day.isoformat(),
        day=span_text(run.starts_at, run.grid.ends_at),
        as_of=run.as_of,
        created_at=run.created_at,
        method=run.method,
        rung=run.rung,
        rung_words=RUNGS.get(run.rung, ""),
        is_in_force=seen.is_in_force,
        iterations=run.iterations,
        solve_s=run.solve_s,
        gap_percent=run.gap * 100,
        max_violation_kw=run.max_violation_kw,
        cost_gbp=run.cost_gbp if is_shown else None,
        lower_bound_gbp=run.lower_bound_gbp if is_shown else None,
        unavoidable_gbp=run.unavoidable_gbp if is_shown else None,
        costs=_costs(run) if is_shown else (),
        requests=_requests(run, organisation) if with_requests else (),
        parameters=tuple((name, str(value)) for name, value in sorted(run.parameters.items())),
        input_sha256=run.input_sha256,
        own=_own(run, organisation) if organisation.kind == Organisation.Kind.DSRSP else None,
    )


def node_lines(*, run: DispatchRun, nodes: Sequence[RunNode], organisation: Organisation) -> list[NodeLine]:
    """Describe nodes of a run, in their order."""
    return [_node_line(seen) for seen in see_nodes(run, nodes, organisation)]


def node_panel(*, run: DispatchRun, node: RunNode, organisation: Organisation) -> DayPanel:
    """A node's day: its limit always, planned power and setpoints where enough EVSEs stand behind them."""
    is_shown = not see_nodes(run, [node], organisation)[0].suppressed
    return day_panel(
        DayPowers(
            grid=run.grid,
            rating_kw=np.full(run.n_period, node.rating_kw),
            background_kw=float_array(node.background_kw),
            reserve_kw=float_array(node.reserve_kw),
            limit_kw=float_array(node.limit_kw),
            planned_kw=float_array(node.planned_kw) if is_shown else None,
            ceiling_kw=float_array(node.ceiling_kw) if is_shown else None,
        )
    )


def setpoint_lines(
    *, run: DispatchRun, setpoints: Sequence[Setpoint], organisation: Organisation, now: datetime
) -> list[SetpointLine]:
    """Describe setpoints of a run, in their order; an id at a CSMS is told to the EVSE's own DSRSP only."""
    refs: dict[int, str] = {}
    if organisation.kind == Organisation.Kind.DSRSP:
        evses = [one.evse_id for one in setpoints]
        own = identities_seen_by(organisation, at=now).filter(evse__in=evses)
        refs = dict(own.values_list("evse", "csms_ref"))
    return [
        SetpointLine(
            pseudonym=seen.setpoint.evse.pseudonym,
            csms_ref=refs.get(seen.setpoint.evse_id, ""),
            highest_kw=max(seen.setpoint.setpoint_kw, default=0.0),
            told_kw=max(seen.issued.setpoint_kw, default=0.0) if seen.issued else None,
            energy_kwh=seen.plan.energy_kwh if seen.plan else None,
            unserved_kwh=seen.plan.unserved_kwh if seen.plan else None,
            planned_peak_kw=max(seen.plan.planned_kw, default=0.0) if seen.plan else None,
        )
        for seen in see_setpoints(run, setpoints, organisation)
    ]


def find_run(*, pk: int, organisation: Organisation) -> DispatchRun | None:
    """One run the organisation sees; None for any other."""
    return runs_seen_by(organisation).filter(pk=pk).first()


def nodes_of_run(*, run: DispatchRun, organisation: Organisation) -> Sequence[str]:
    """Codes of a run's nodes that the organisation sees, the area's own first."""
    codes = run_nodes_seen_by(organisation).filter(run=run).order_by("node__code").values_list("node__code", flat=True)
    return sorted(codes, key=lambda code: (code != run.area.code, code))


def _costs(run: DispatchRun) -> tuple[CostLine, ...]:
    return (
        CostLine("Energy", run.cost_energy_gbp, "at the tariff, with carbon at its weight"),
        CostLine("Unserved", run.cost_unserved_gbp, "energy that EVs ask for and do not get"),
        CostLine("Shortfall", run.cost_shortfall_gbp, "requests that are not met"),
        CostLine("Ramp", run.cost_ramp_gbp, "changes of power between half-hours"),
        CostLine("Objective", run.cost_gbp, "the sum of the four"),
        CostLine("of it rounding", run.rounding_cost_gbp, "whole amperes against the unrounded plan"),
    )


def _requests(run: DispatchRun, organisation: Organisation) -> tuple[RequestLine, ...]:
    found = run_requests_seen_by(organisation).filter(run=run).order_by("signal__starts_at", "signal__reference")
    return tuple(_request(seen, run) for seen in see_requests(list(found), organisation))


def _request(seen: SeenRequest, run: DispatchRun) -> RequestLine:
    request, signal = seen.request, seen.request.signal
    planned_kw = None if seen.suppressed else request.planned_kw
    return RequestLine(
        reference=signal.reference,
        node=signal.node.code,
        direction=signal.get_direction_display(),
        kind=signal.get_kind_display(),
        starts_at=signal.starts_at,
        ends_at=signal.ends_at,
        target_kw=signal.target_kw,
        lowest_kw=min(planned_kw) if planned_kw else None,
        highest_kw=max(planned_kw) if planned_kw else None,
        shortfall_kwh=None if seen.suppressed else _shortfall_kwh(request, run),
        is_met=seen.is_met,
    )


def _shortfall_kwh(request: RunRequest, run: DispatchRun) -> float:
    return sum(request.shortfall_kw) * run.period_minutes / 60


def _node_line(seen: SeenNode) -> NodeLine:
    node = seen.node
    margin_kw = float((float_array(node.limit_kw) - float_array(node.planned_kw)).min())
    return NodeLine(
        code=node.node.code,
        kind=node.node.get_kind_display(),
        rating_kw=node.rating_kw,
        least_limit_kw=min(node.limit_kw),
        planned_peak_kw=None if seen.suppressed else max(node.planned_kw),
        ceiling_peak_kw=None if seen.suppressed else max(node.ceiling_kw),
        highest_price_gbp_per_kwh=None if seen.suppressed else max(node.price_gbp_per_kwh),
        margin_kw=None if seen.suppressed else margin_kw,
    )


def _own(run: DispatchRun, organisation: Organisation) -> FleetTotals:
    plan = fleet_plan(run, organisation)
    curves = (
        Series("limit", "Setpoints (at most)", float_array(plan.ceiling_kw)),
        Series("planned", "Planned", float_array(plan.planned_kw)),
    )
    return FleetTotals(plan.n_evse, plan.energy_kwh, plan.unserved_kwh, curves_panel(run.grid, curves))
