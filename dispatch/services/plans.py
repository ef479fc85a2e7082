"""Stored plans as one organisation may see them: what is about EVs only is told of five EVSEs or more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count

from aggregator.core.small_numbers import shown_nodes
from aggregator.core.timegrid import TimeGrid
from aggregator.models import Organisation, as_platform
from aggregator.queries import nodes_seen_by
from dispatch.core.network_state import Node, n_evse_below
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint
from dispatch.queries import issued_setpoints_seen_by, setpoints_seen_by

MET_KW = 1e-6  # as in a run's own check


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run's header; ``is_in_force`` says that no newer run of its area and charging day was stored."""

    run: DispatchRun
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class EvseCounts:
    """EVSEs of a run at and below each node, by code, and the nodes whose EV-only figures may be told."""

    n_evse: Mapping[str, int]
    shown: frozenset[str]


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node of a plan; where ``suppressed``, planned power, ceiling and price are not for this reader."""

    node: RunNode
    suppressed: bool


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """What a plan holds against a request; where ``suppressed``, only whether it is met.

    Attributes:
        window: periods of the request that lie within the run.
    """

    request: RunRequest
    window: TimeGrid
    is_met: bool
    suppressed: bool


@dataclass(frozen=True, slots=True)
class SeenSetpoint:
    """An EVSE's ceilings; ``plan`` is for the DSRSP it is enrolled with alone: it tells when its user is at home."""

    setpoint: Setpoint
    issued: IssuedSetpoint | None
    plan: Setpoint | None


def see_runs(runs: Sequence[DispatchRun]) -> list[SeenRun]:
    """Say of each run whether it is in force."""
    in_force = _in_force(runs)
    return [SeenRun(run, run.pk in in_force) for run in runs]


def _in_force(runs: Iterable[DispatchRun]) -> frozenset[int]:
    """Keys of the newest runs of these areas and days; a run that its reader may not see supersedes all the same."""
    areas, days = {run.area_id for run in runs}, {run.charging_day for run in runs}
    with as_platform():
        newest = (
            DispatchRun.objects.filter(area__in=areas, charging_day__in=days)
            .order_by("area", "charging_day", "-created_at", "-pk")
            .distinct("area", "charging_day")
        )
        return frozenset(newest.values_list("pk", flat=True))


def shown_nodes_in(runs: Sequence[DispatchRun], organisation: Organisation) -> Mapping[int, frozenset[str]]:
    """Codes of the nodes whose EV-only figures an organisation may see, by run."""
    nodes = network_of(organisation)
    return {pk: counts.shown for pk, counts in count_evses(runs, nodes, organisation).items()}


def network_of(organisation: Organisation) -> tuple[Node, ...]:
    """Nodes an organisation sees, by code; the top of what it sees has no parent here."""
    rows = list(nodes_seen_by(organisation).order_by("code").values_list("code", "name", "kind", "parent__code"))
    known = {code for code, *_ in rows}
    return tuple(Node(code, name, kind, parent if parent in known else None) for code, name, kind, parent in rows)


def count_evses(
    runs: Sequence[DispatchRun], nodes: Sequence[Node], organisation: Organisation
) -> dict[int, EvseCounts]:
    """Count the EVSEs behind each node's figures, run by run; the platform may see figures of however few."""
    n_at = _n_evse_at(runs, organisation)
    parents = {node.code: node.parent for node in nodes}
    found = {}
    for run in runs:
        n_evse = n_evse_below(nodes, n_at.get(run.pk, {}))
        sees_all = organisation.kind == Organisation.Kind.PLATFORM
        found[run.pk] = EvseCounts(n_evse, frozenset(n_evse) if sees_all else shown_nodes(n_evse, parents))
    return found


def _n_evse_at(runs: Sequence[DispatchRun], organisation: Organisation) -> dict[int, dict[str, int]]:
    """EVSEs that each run speaks of, by the code of the node they hang on."""
    found = setpoints_seen_by(organisation).filter(run__in=[run.pk for run in runs]).order_by()
    counts = found.values_list("run", "evse__node__code").annotate(n=Count("evse", distinct=True))
    n_at: dict[int, dict[str, int]] = {}
    for run_pk, code, n_evse in counts:
        n_at.setdefault(run_pk, {})[code] = n_evse
    return n_at


def is_area_shown(run: DispatchRun, organisation: Organisation) -> bool:
    """Whether an organisation may see what a run costs over all its EVSEs; not a DSRSP: others' are among them."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return False
    return run.area.code in shown_nodes_in([run], organisation)[run.pk]


def see_nodes(run: DispatchRun, nodes: Sequence[RunNode], organisation: Organisation) -> list[SeenNode]:
    """Nodes of a run as an organisation may see them."""
    shown = shown_nodes_in([run], organisation)[run.pk]
    return [SeenNode(node, node.node.code not in shown) for node in nodes]


def see_requests(requests: Sequence[RunRequest], organisation: Organisation) -> list[SeenRequest]:
    """What runs planned against requests: the power at a node is a figure of the EVs there."""
    shown = shown_nodes_in(list({request.run_id: request.run for request in requests}.values()), organisation)
    return [
        SeenRequest(
            request,
            _window(request),
            is_met=all(kw <= MET_KW for kw in request.shortfall_kw),
            suppressed=request.signal.node.code not in shown[request.run_id],
        )
        for request in requests
    ]


def _window(request: RunRequest) -> TimeGrid:
    run = request.run
    grid = run.grid
    n_period = request.end_period - request.start_period
    return TimeGrid(grid.starts_at + request.start_period * grid.step, n_period, run.period_minutes)


def see_setpoints(run: DispatchRun, setpoints: Sequence[Setpoint], organisation: Organisation) -> list[SeenSetpoint]:
    """Setpoints of a run with what was issued in the end."""
    evses = [setpoint.evse_id for setpoint in setpoints]
    issued = issued_setpoints_seen_by(organisation).filter(run=run, evse__in=evses)
    by_evse = {one.evse_id: one for one in issued}
    return [
        SeenSetpoint(one, by_evse.get(one.evse_id), one if one.organisation_id == organisation.pk else None)
        for one in setpoints
    ]
