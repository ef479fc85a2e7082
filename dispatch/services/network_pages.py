"""The network as one organisation may see it: loading always, EV-only figures where enough EVSEs stand behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Max

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.day_panel import DayPanel, DayPowers, day_panel
from aggregator.core.display import number, span_text, stamp
from aggregator.core.timegrid import LONDON, TimeGrid
from aggregator.core.types import FloatArray, float_array
from aggregator.models import Meter, NetworkNode, NodeRating, Organisation
from aggregator.queries import meter_days_seen_by, meters_seen_by, ratings_seen_by
from dispatch.core.network import rating_kw
from dispatch.core.network_page import (
    Fact,
    Measured,
    NetworkPage,
    NodeLine,
    NodePage,
    RatingLine,
    RequestLine,
    RunLine,
    loading_cells,
    measured,
    n_evse_cell,
    node_line,
)
from dispatch.core.network_state import (
    Loading,
    Node,
    NodeDay,
    TreeRow,
    loading_of,
    matching,
    path_to,
    tree_rows,
    worst_first,
)
from dispatch.models import DispatchRun, RunNode, TargetSignal
from dispatch.queries import newest_runs_seen_by, run_nodes_seen_by, targets_seen_by
from dispatch.services.plans import EvseCounts, count_evses, network_of

N_WORST = 5
N_REQUEST = 20
KINDS = dict(NetworkNode.Kind.choices)
HIDDEN = (
    "EV-only figures of {code} are not shown: they are of fewer than five EVSEs, or would tell those of "
    "a neighbour with fewer than five. Loading and headroom are without EVs."
)
NO_RUN = "No run has planned {code} yet."


@dataclass(frozen=True, slots=True)
class _Network:
    """Everything the pages work out once, by node code."""

    nodes: tuple[Node, ...]
    runs: tuple[DispatchRun, ...]
    planned: Mapping[str, RunNode]
    n_evse: Mapping[str, int]
    shown: frozenset[str]
    loading: Mapping[str, Loading]
    newest: Mapping[str, datetime]


def network_page(
    *, organisation: Organisation, opened: frozenset[str] | None, text: str, with_readings: bool, now: datetime
) -> NetworkPage:
    """Lay out an organisation's network.

    Args:
        opened: codes of nodes whose children are shown; None opens the top ones.
        text: words a node's code, name or kind must hold; then a list, the worst first, stands in the tree's place.
        with_readings: whether the viewer may know when meters were read.
    """
    network = _load(organisation, with_readings=with_readings)
    feeders = [node for node in network.nodes if node.kind == NetworkNode.Kind.FEEDER and node.code in network.loading]
    worst = worst_first(feeders, network.loading)[:N_WORST]
    if text.strip():
        rows = _flat(worst_first(matching(network.nodes, text), network.loading))
    else:
        rows = tree_rows(network.nodes, network.loading, opened)
    return NetworkPage(
        n_node=len(network.nodes),
        runs=tuple(_run_line(run, now) for run in network.runs),
        worst=tuple(_line(network, row, now) for row in _flat(worst)),
        lines=tuple(_line(network, row, now) for row in rows),
        text=text,
        n_hidden=sum(1 for code in network.n_evse if code not in network.shown),
    )


def node_page(*, organisation: Organisation, node: NetworkNode, with_readings: bool, now: datetime) -> NodePage:
    """Describe one node: its day as planned, what is below it, its ratings and the requests at it."""
    network = _load(organisation, with_readings=with_readings)
    code = node.code
    planned = network.planned.get(code)
    below = [one for one in network.nodes if one.parent == code]
    above = path_to(code, network.nodes)
    run_line = None if planned is None else _run_line(planned.run, now)
    row = _flat([next(one for one in network.nodes if one.code == code)])[0]
    return NodePage(
        line=_line(network, row, now),
        title=_title(row.node),
        above=tuple((one.code, _title(one)) for one in above),
        run=run_line,
        facts=_facts(network, code, planned),
        panel=None if planned is None else _panel(network, node, planned, with_readings=with_readings, now=now),
        notices=tuple(_notices(network, code)),
        below=tuple(_line(network, one, now) for one in _flat(worst_first(below, network.loading))),
        ratings=tuple(
            _rating(one, now) for one in ratings_seen_by(organisation).filter(node=node).order_by("-valid_from")
        ),
        requests=tuple(
            _request(one) for one in targets_seen_by(organisation).filter(node=node).order_by("-starts_at")[:N_REQUEST]
        ),
    )


def _load(organisation: Organisation, *, with_readings: bool) -> _Network:
    nodes = network_of(organisation)
    runs = tuple(sorted(newest_runs_seen_by(organisation), key=lambda run: (run.charging_day, run.created_at)))
    planned = {one.node.code: one for one in _run_nodes(organisation, runs)}
    counts = _counts(nodes, runs, planned, count_evses(runs, nodes, organisation))
    shown = counts.shown
    return _Network(
        nodes=nodes,
        runs=runs,
        planned=planned,
        n_evse=counts.n_evse,
        shown=shown,
        loading={code: loading_of(_day(one, is_shown=code in shown)) for code, one in planned.items()},
        newest=_newest_readings(organisation, nodes, runs) if with_readings and runs else {},
    )


def _run_nodes(organisation: Organisation, runs: Sequence[DispatchRun]) -> list[RunNode]:
    """Rows of the newest runs, the newest last, so that it wins where areas overlap."""
    order = {run.pk: at for at, run in enumerate(runs)}
    return sorted(run_nodes_seen_by(organisation).filter(run__in=list(order)), key=lambda one: order[one.run_id])


def _counts(
    nodes: Sequence[Node],
    runs: Sequence[DispatchRun],
    planned: Mapping[str, RunNode],
    by_run: Mapping[int, EvseCounts],
) -> EvseCounts:
    """EVSEs behind what is shown of each node: those of the run that planned it, else of the newest that has any."""
    if not runs:
        return EvseCounts({}, frozenset())
    run_of = {node.code: runs[-1].pk for node in nodes}
    run_of |= {code: run.pk for run in runs for code, n_evse in by_run[run.pk].n_evse.items() if n_evse}
    run_of |= {code: one.run_id for code, one in planned.items()}
    return EvseCounts(
        {code: by_run[pk].n_evse[code] for code, pk in run_of.items()},
        frozenset(code for code, pk in run_of.items() if code in by_run[pk].shown),
    )


def _day(planned: RunNode, *, is_shown: bool) -> NodeDay:
    return NodeDay(
        grid=planned.run.grid,
        rating_kw=planned.rating_kw,
        background_kw=float_array(planned.background_kw),
        planned_kw=float_array(planned.planned_kw) if is_shown else None,
    )


def _newest_readings(
    organisation: Organisation, nodes: Sequence[Node], runs: Sequence[DispatchRun]
) -> dict[str, datetime]:
    """When the last readings of each node's monitors came; without a monitor, the oldest of those below."""
    monitors = meters_seen_by(organisation).filter(kind=Meter.Kind.FEEDER, node__isnull=False)
    since = min(run.starts_at for run in runs).date() - timedelta(days=2)
    newest = meter_days_seen_by(organisation).filter(meter__in=monitors, day__gte=since).order_by()
    at = dict(newest.values_list("meter__node__code").annotate(at=Max("received_at")))
    parents = {node.code: node.parent for node in nodes}
    found = dict(at)
    for code, received_at in at.items():
        above, seen = parents.get(code), {code}
        while above is not None and above not in at and above not in seen:
            found[above] = min(found.get(above, received_at), received_at)
            seen.add(above)
            above = parents.get(above)
    return found


def _flat(nodes: Iterable[Node]) -> list[TreeRow]:
    return [TreeRow(node, 0, 0, is_open=False, toggle="") for node in nodes]


def _line(network: _Network, row: TreeRow, now: datetime) -> NodeLine:
    code = row.node.code
    return node_line(
        row,
        KINDS[row.node.kind],
        network.loading.get(code),
        n_evse=n_evse_cell(network.n_evse.get(code), is_shown=code in network.shown),
        measured_=_measured(network, code, now),
        name=row.node.name if row.node.name != code else "",
    )


def _measured(network: _Network, code: str, now: datetime) -> Measured:
    """Once the day shown is over its age is said once for the page, and not again on every line."""
    found = measured(network.newest.get(code), now=now)
    is_over = all(run.grid.ends_at <= now for run in network.runs)
    return Measured(found.age, found.at, is_stale=found.is_stale and not is_over)


def _run_line(run: DispatchRun, now: datetime) -> RunLine:
    grid = run.grid
    return RunLine(
        pk=run.pk,
        area=run.area.name or run.area.code,
        day=span_text(grid.starts_at, grid.ends_at),
        as_of=stamp(run.as_of),
        is_over=grid.ends_at <= now,
    )


def _title(node: Node) -> str:
    name = f" {node.name}" if node.name and node.name != node.code else ""
    return f"{KINDS[node.kind]} {node.code}{name}"


def _facts(network: _Network, code: str, planned: RunNode | None) -> tuple[Fact, ...]:
    counted = Fact("EVSEs", n_evse_cell(network.n_evse.get(code), is_shown=code in network.shown))
    if planned is None:
        return (counted,)
    cells = loading_cells(network.loading[code])
    at_peak = int(np.argmin(planned.limit_kw))
    local = planned.run.grid.starts()[at_peak].astimezone(LONDON)
    facts = [
        Fact("Rating", number(planned.rating_kw), "kW"),
        Fact("Forecast peak", cells.peak_kw, "kW", f"{cells.peak_at}{', ' + cells.note if cells.note else ''}"),
        Fact("Headroom then", cells.headroom_kw, "kW"),
        Fact("Background peak", number(max(planned.background_kw)), "kW"),
        Fact("Least left for EVs", number(planned.limit_kw[at_peak]), "kW", f"{local:%a %H:%M %Z}"),
        counted,
    ]
    if code in network.shown:
        facts.insert(4, Fact("EV peak planned", number(max(planned.planned_kw)), "kW"))
        facts.append(Fact("Worth of one more kW", number(max(planned.price_gbp_per_kwh) * 100), "p/kWh", "at most"))
    return tuple(facts)


def _panel(network: _Network, node: NetworkNode, planned: RunNode, *, with_readings: bool, now: datetime) -> DayPanel:
    grid, is_shown = planned.run.grid, node.code in network.shown
    background_kw, planned_kw = float_array(planned.background_kw), float_array(planned.planned_kw)
    rated_kw = np.full(grid.n_period, planned.rating_kw)
    return day_panel(
        DayPowers(
            grid=grid,
            rating_kw=rated_kw,
            background_kw=background_kw,
            reserve_kw=float_array(planned.reserve_kw),
            limit_kw=float_array(planned.limit_kw),
            planned_kw=planned_kw if is_shown else None,
            ceiling_kw=float_array(planned.ceiling_kw) if is_shown else None,
            background_was_kw=_background_was_kw(node, grid, now) if with_readings else None,
            headroom_kw=rated_kw - background_kw - planned_kw if is_shown else rated_kw - background_kw,
        )
    )


def _background_was_kw(node: NetworkNode, grid: TimeGrid, now: datetime) -> FloatArray | None:
    """(n_period,) what the node's own monitor measured, or those of all its children together; None without them."""
    monitors = meters_seen_by(node.organisation).filter(kind=Meter.Kind.FEEDER)
    own = list(monitors.filter(node=node).values_list("pk", "node"))
    children = set(node.children.values_list("pk", flat=True))
    found = own or list(monitors.filter(node__in=children).values_list("pk", "node"))
    if not found or (not own and {at for _, at in found} != children):
        return None
    energy = load_energy_kwh(
        meter_pks=np.array([pk for pk, _ in found], dtype=np.int64),
        first_day=grid.starts_at.date(),
        last_day=grid.ends_at.date(),
        as_of=now,
    )
    power_kw: FloatArray = energy.on_grid(grid).sum(axis=0) / grid.step_h
    return power_kw if np.isfinite(power_kw).any() else None


def _notices(network: _Network, code: str) -> list[str]:
    if code not in network.planned:
        return [NO_RUN.format(code=code)]
    return [] if code in network.shown else [HIDDEN.format(code=code)]


def _rating(rating: NodeRating, now: datetime) -> RatingLine:
    figures = {name: getattr(rating, name) for name in ("rating_kva", "power_factor", "cyclic_factor")}
    return RatingLine(
        starts_at=stamp(rating.valid_from),
        ends_at=None if rating.valid_to is None else stamp(rating.valid_to),
        is_in_force=rating.valid_from <= now and (rating.valid_to is None or rating.valid_to > now),
        rating_kw=number(rating_in_kw(figures)),
        rating_kva=number(rating.rating_kva),
        power_factor=number(rating.power_factor, 2),
        cyclic_factor=number(rating.cyclic_factor, 2),
        diversity=number(rating.diversity, 2),
        ramp_kw=number(rating.ramp_kw),
        source=rating.source,
    )


def rating_in_kw(figures: Mapping[str, object]) -> float | None:
    """What a rating's kVA and factors come to in kW; None where one is missing."""
    stated = [figures.get(name) for name in ("rating_kva", "power_factor", "cyclic_factor")]
    kva, factor, cyclic = (np.array([value]) if isinstance(value, int | float) else None for value in stated)
    if kva is None or factor is None or cyclic is None:
        return None
    return float(rating_kw(kva, factor, cyclic)[0])


def _request(signal: TargetSignal) -> RequestLine:
    is_down = signal.direction == TargetSignal.Direction.TURN_DOWN
    return RequestLine(
        pk=signal.pk,
        reference=signal.reference,
        starts_at=stamp(signal.starts_at),
        ends_at=stamp(signal.ends_at),
        what=f"{signal.get_direction_display()}, EV power {'at most' if is_down else 'at least'}",
        target_kw=number(signal.target_kw),
    )
