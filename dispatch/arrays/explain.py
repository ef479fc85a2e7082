"""What an explanation reads of a stored run: the EVSE's path, the EVSEs that share it, and what the plan put there.

Only the path is loaded, and whole subtrees of it from the EVSE upwards as long as they hold few enough EVSEs; every
other EVSE is in the stored sums of the nodes above, and held to its plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from django.db.models import Q, QuerySet, Sum

from aggregator.arrays.network import DESIGN_DIVERSITY
from aggregator.core.types import FloatArray, float_array
from aggregator.models import NetworkNode, NodeRating
from dispatch.core.assemble import RunParameters
from dispatch.core.charges import Grid
from dispatch.core.fairness import PastShortfall, priority
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchProblem, FlexRequest
from dispatch.core.rounding import PHASE_KV
from dispatch.core.scenario import drawn_power_kw
from dispatch.core.sessions import connected
from dispatch.models import DispatchRun, RunNode, RunRequest, Setpoint, TargetSignal

# A linear program of so many EVSEs is solved in well under a second; one more subtree can be a primary's.
MOST_EVSES = 400
# Rounding moves a node by an ampere or so for each EVSE it rounds; requests and ramps this near count as at their edge.
_EDGE_KW, _EDGE_SHARE = 2.0, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """An EVSE in a stored run, with the EVSEs near it.

    Attributes:
        session: its index in ``problem``; -1 where no session of it was planned.
        power_kw: (n_session, n_period) what EVs draw under the plan's rounded power.
        held_kw: (n_node, n_period) planned power of EVSEs that are not in ``problem``.
        nodes, requests: rows behind the problem's nodes and requests, in their order.
        path: index of the node the EVSE hangs on and of those above it, itself first.
        free_under: the node all EVSEs of which are in ``problem``; None where they are too many even at its own node.
    """

    problem: DispatchProblem
    network: Network
    session: int
    power_kw: FloatArray
    held_kw: FloatArray
    grid: Grid
    nodes: tuple[RunNode, ...]
    requests: tuple[RunRequest, ...]
    path: tuple[int, ...]
    free_under: NetworkNode | None


def load_standing(*, setpoint: Setpoint, price_gbp_per_kwh: FloatArray, parameters: RunParameters) -> Standing:
    """Load the standing of one EVSE in its run.

    Args:
        price_gbp_per_kwh: (n_period,) energy price of the run, carbon included.
        parameters: how the run was asked.
    """
    run = setpoint.run
    above = path_to_root(setpoint)
    free_under, near = _near(run, setpoint, above)
    nodes = _nodes(run, [row.evse.node_id for row in near] + [node.pk for node in above])
    index = {row.node_id: at for at, row in enumerate(nodes)}
    near = [row for row in near if row.evse.node_id in index]
    requests = tuple(
        RunRequest.objects.filter(run=run, signal__node__in=list(index)).select_related("signal__node").order_by("pk")
    )
    unserved_gbp_per_kwh = parameters.unserved_gbp_per_kwh * _priority(run, near, parameters)
    problem = _problem(
        run,
        nodes,
        near,
        requests,
        price_gbp_per_kwh=price_gbp_per_kwh,
        unserved_gbp_per_kwh=unserved_gbp_per_kwh,
        ramp_gbp_per_kwh=parameters.ramp_gbp_per_kwh,
    )
    network = Network.of(problem)
    ceiling_kw = _table([row.planned_kw for row in near], run.n_period)
    planned_kw = _table([row.planned_kw for row in nodes], run.n_period)
    return Standing(
        problem=problem,
        network=network,
        session=next((at for at, row in enumerate(near) if row.pk == setpoint.pk), -1),
        power_kw=drawn_power_kw(problem, np.where(connected(problem), ceiling_kw, 0.0)),
        held_kw=np.maximum(planned_kw - network.node_power_kw(ceiling_kw), 0.0),
        grid=Grid(
            planned_kw,
            _table([row.price_gbp_per_kwh for row in nodes], run.n_period),
            edge_kw=max(_EDGE_KW, _EDGE_SHARE * float(planned_kw.max(initial=0.0))),
        ),
        nodes=nodes,
        requests=requests,
        path=tuple(index[node.pk] for node in above if node.pk in index),
        free_under=free_under,
    )


def path_to_root(setpoint: Setpoint) -> list[NetworkNode]:
    """The node an EVSE hangs on and those above it, itself first."""
    found: list[NetworkNode] = []
    at: NetworkNode | None = setpoint.evse.node
    while at is not None and at not in found:
        found.append(at)
        at = at.parent
    return found


def _near(
    run: DispatchRun, setpoint: Setpoint, above: Sequence[NetworkNode]
) -> tuple[NetworkNode | None, list[Setpoint]]:
    """The highest node on the path with few enough EVSEs that were planned, and their setpoints; the EVSE's own too."""
    planned = Setpoint.objects.across_tenants().filter(run=run, energy_kwh__gt=0)
    highest, keys = None, [above[0].pk]
    # A phase alone leaves out sessions of its feeder that load it too.
    for node in above[1:] if above[0].kind == NetworkNode.Kind.PHASE else above:
        below = _subtree(node, most=50 * MOST_EVSES)
        if below is None or planned.filter(evse__node__in=below).count() > MOST_EVSES:
            break
        highest, keys = node, below
    near = list(planned.filter(evse__node__in=keys).select_related("evse").order_by("evse__pseudonym")[:MOST_EVSES])
    if setpoint.energy_kwh > 0 and all(row.pk != setpoint.pk for row in near):
        near.append(setpoint)
    return highest, near


def _subtree(node: NetworkNode, *, most: int) -> list[int] | None:
    """Keys of a node and all below it, level by level; None once there are more than ``most``."""
    found, level = {node.pk}, [node.pk]
    while level:
        level = [pk for pk in _children(level) if pk not in found]
        found.update(level)
        if len(found) > most:
            return None
    return sorted(found)


def _children(level: Sequence[int]) -> QuerySet[NetworkNode, int]:
    return NetworkNode.objects.filter(parent__in=level).values_list("pk", flat=True)


def _nodes(run: DispatchRun, keys: Sequence[int]) -> tuple[RunNode, ...]:
    """Rows of the run at these nodes, at all above them, and at the phases below; parents before children."""
    found: dict[int, RunNode] = {}
    wanted = set(keys) | set(
        NetworkNode.objects.filter(parent__in=set(keys), kind=NetworkNode.Kind.PHASE).values_list("pk", flat=True)
    )
    while wanted:
        rows = RunNode.objects.filter(run=run, node__in=wanted).select_related("node__organisation")
        found |= {row.node_id: row for row in rows}
        wanted = {row.node.parent_id for row in rows if row.node.parent_id} - found.keys()
    depth = {pk: _depth(pk, found) for pk in found}
    return tuple(found[pk] for pk in sorted(found, key=lambda pk: (depth[pk], found[pk].node.code)))


def _depth(pk: int, rows: Mapping[int, RunNode]) -> int:
    seen = {pk}
    while (above := rows[pk].node.parent_id) in rows and above is not None and above not in seen:
        seen.add(above)
        pk = above
    return len(seen)


def _table(rows: Sequence[Sequence[float]], n_period: int) -> FloatArray:
    return np.array(rows, dtype=np.float64).reshape(len(rows), n_period)


def _priority(run: DispatchRun, near: Sequence[Setpoint], parameters: RunParameters) -> FloatArray:
    """(n_session,) factor on the price of unserved energy: what earlier runs left each without, beside those like it.

    Like it are EVSEs at the same node, so these are all that is read, and not the area's fleet.
    """
    there = Setpoint.objects.across_tenants().filter(run=run, evse__node__in={row.evse.node_id for row in near})
    alike = list(there.order_by("evse").values_list("evse", "evse__node", "evse__phases", "evse__rated_kw"))
    if "fairness_most" not in run.parameters or not alike:  # runs of an earlier method treated everybody alike
        return np.ones(len(near))
    key = np.array([(node, phases, round(1000 * kw)) for _, node, phases, kw in alike], dtype=np.int64)
    group = np.unique(key, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    evse_pks = [pk for pk, *_ in alike]
    factor = priority(_past(run, evse_pks, parameters.fairness_days), group, most=parameters.fairness_most)
    factor_of = dict(zip(evse_pks, factor.tolist(), strict=True))
    return float_array([factor_of[row.evse_id] for row in near])


def _past(run: DispatchRun, evse_pks: Sequence[int], n_day: int) -> PastShortfall:
    """What the last plans of the days before left these EVSEs without, as ``load_past_shortfall`` has it of a fleet."""
    first = run.charging_day - timedelta(days=n_day)
    earlier = DispatchRun.objects.filter(
        area=run.area_id, charging_day__gte=first, charging_day__lt=run.charging_day, as_of__lte=run.as_of
    )
    run_of = dict(earlier.order_by("as_of", "pk").values_list("charging_day", "pk"))
    day_of = {pk: (day - first).days for day, pk in run_of.items()}
    at = {pk: index for index, pk in enumerate(evse_pks)}
    asked_kwh, left_kwh = np.zeros((len(at), n_day)), np.zeros((len(at), n_day))
    rows = Setpoint.objects.across_tenants().filter(run__in=list(day_of), evse__in=list(at), energy_kwh__gt=0)
    for run_pk, evse_pk, energy_kwh, unserved_kwh in rows.values_list("run", "evse", "energy_kwh", "unserved_kwh"):
        cell = at[evse_pk], day_of[run_pk]
        asked_kwh[cell], left_kwh[cell] = energy_kwh, min(unserved_kwh, energy_kwh)
    return PastShortfall(asked_kwh, left_kwh)


def _problem(
    run: DispatchRun,
    nodes: Sequence[RunNode],
    near: Sequence[Setpoint],
    requests: Sequence[RunRequest],
    *,
    price_gbp_per_kwh: FloatArray,
    unserved_gbp_per_kwh: FloatArray,
    ramp_gbp_per_kwh: float,
) -> DispatchProblem:
    index = {row.node_id: at for at, row in enumerate(nodes)}
    diversity, ramp_kw = _diversity_and_ramp(run, nodes)
    phases = np.array([row.evse.phases for row in near], dtype=np.int64)
    problem = DispatchProblem(
        step_h=run.grid.step_h,
        node_ids=np.array([row.node.code for row in nodes], dtype=np.str_),
        node_parent=np.array([index.get(row.node.parent_id or 0, -1) for row in nodes], dtype=np.int64),
        node_is_phase=np.array([row.node.kind == NetworkNode.Kind.PHASE for row in nodes], dtype=np.bool_),
        node_limit_kw=_table([row.limit_kw for row in nodes], run.n_period),
        node_diversity=np.ones(len(nodes)),
        node_ramp_kw=ramp_kw,
        session_ids=np.array([row.evse.pseudonym for row in near], dtype=np.str_),
        session_node=np.array([index[row.evse.node_id] for row in near], dtype=np.int64),
        session_phases=phases,
        session_start=np.array([row.start_period for row in near], dtype=np.int64),
        session_end=np.array([row.end_period for row in near], dtype=np.int64),
        # What was planned stands, also where an EVSE's rating was corrected since.
        session_max_kw=float_array([max(row.evse.rated_kw, *row.planned_kw) for row in near]),
        session_energy_kwh=float_array([row.energy_kwh for row in near]),
        session_min_kw=float_array([row.evse.min_current_a for row in near]) * PHASE_KV * phases,
        session_unserved_gbp_per_kwh=unserved_gbp_per_kwh,
        session_tariff=np.zeros(len(near), dtype=np.int64),
        price_gbp_per_kwh=price_gbp_per_kwh[np.newaxis, :],
        requests=tuple(_request(one, index) for one in requests),
        ramp_gbp_per_kwh=ramp_gbp_per_kwh,
    )
    return _with_diversity(run, problem, nodes, diversity)


def _diversity_and_ramp(run: DispatchRun, nodes: Sequence[RunNode]) -> tuple[FloatArray, FloatArray]:
    """(n_node,) each, the tightest in force in the run, as ``load_area`` has them."""
    grid = run.grid
    in_force = NodeRating.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=grid.starts_at))
    in_force = in_force.filter(node__in=[row.node_id for row in nodes], valid_from__lt=grid.ends_at)
    diversity: dict[int, float] = {}
    ramp_kw: dict[int, float] = {}
    for pk, factor, ramp in in_force.values_list("node", "diversity", "ramp_kw"):
        diversity[pk] = min(diversity.get(pk, 1.0), factor)
        ramp_kw[pk] = min(ramp_kw.get(pk, np.inf), np.inf if ramp is None else ramp)
    keys = [row.node_id for row in nodes]
    return (
        float_array([diversity.get(pk, DESIGN_DIVERSITY) for pk in keys]),
        float_array([ramp_kw.get(pk, np.inf) for pk in keys]),
    )


def _with_diversity(
    run: DispatchRun, problem: DispatchProblem, nodes: Sequence[RunNode], diversity: FloatArray
) -> DispatchProblem:
    """The same under the diversity of all EVSEs planned, of which the problem holds but some."""
    diverse = np.flatnonzero(diversity < 1)
    if not len(diverse):
        return problem
    everyone = _everyone(run, problem, nodes, [nodes[at].node_id for at in diverse.tolist()])
    rows_kw = diversity[:, np.newaxis] * Network.of(everyone).rated_kw
    limit_kw = problem.node_limit_kw.copy()
    limit_kw[diverse] = np.minimum(limit_kw[diverse], rows_kw[diverse])
    return replace(problem, node_limit_kw=limit_kw)


def _everyone(
    run: DispatchRun, problem: DispatchProblem, nodes: Sequence[RunNode], under: Sequence[int]
) -> DispatchProblem:
    """All EVSEs planned at and below some nodes; those alike in place and window as one, added up by the database."""
    index = {row.node_id: at for at, row in enumerate(nodes)}
    parents = _parents_below(under)
    planned = Setpoint.objects.across_tenants().filter(run=run, energy_kwh__gt=0, evse__node__in=list(parents))
    alike = planned.order_by().values_list("evse__node", "evse__phases", "start_period", "end_period")
    groups = list(alike.annotate(kw=Sum("evse__rated_kw")))
    n_group = len(groups)
    column = np.array([group[:4] for group in groups], dtype=np.int64).reshape(n_group, 4)
    return replace(
        problem,
        session_ids=np.arange(n_group),
        session_node=np.array([index[_nearest(pk, index, parents)] for pk in column[:, 0].tolist()], dtype=np.int64),
        session_phases=column[:, 1],
        session_start=column[:, 2],
        session_end=column[:, 3],
        session_max_kw=float_array([group[4] for group in groups]),
        session_energy_kwh=np.zeros(n_group),
        session_min_kw=np.zeros(n_group),
        session_unserved_gbp_per_kwh=np.zeros(n_group),
        session_tariff=np.zeros(n_group, dtype=np.int64),
    )


def _parents_below(keys: Sequence[int]) -> dict[int, int]:
    """Parent of each of these nodes and of all below them; 0 for one that has none."""
    found: dict[int, int] = {}
    level = list(NetworkNode.objects.filter(pk__in=keys).values_list("pk", "parent"))
    while level:
        found |= {pk: parent or 0 for pk, parent in level}
        children = NetworkNode.objects.filter(parent__in=[pk for pk, _ in level]).values_list("pk", "parent")
        level = [(pk, parent) for pk, parent in children if pk not in found]
    return found


def _nearest(pk: int, index: Mapping[int, int], parents: Mapping[int, int]) -> int:
    """The node itself or the nearest above it that is known: what hangs lower loads all above it alike."""
    while pk not in index:
        pk = parents[pk]
    return pk


def _request(one: RunRequest, index: Mapping[int, int]) -> FlexRequest:
    signal = one.signal
    return FlexRequest(
        node=index[signal.node_id],
        start=one.start_period,
        end=one.end_period,
        direction=TURN_DOWN if signal.direction == TargetSignal.Direction.TURN_DOWN else TURN_UP,
        target_kw=signal.target_kw,
        shortfall_gbp_per_kwh=signal.shortfall_gbp_per_kwh,
    )
