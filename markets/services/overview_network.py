"""A cycle as the network's side sees it: limits and totals by node, no EVSE and no handful of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from aggregator.core.day_panel import DayPowers, day_panel
from aggregator.core.small_numbers import shown_nodes
from aggregator.core.types import float_array
from aggregator.models import NetworkNode, Organisation
from aggregator.queries import nodes_of
from dispatch.models import DispatchRun, RunNode
from dispatch.queries import nodes_in
from markets.core.page import CycleView, NodeGroup, NodeOption
from markets.core.tiles import cycle_tiles
from markets.models import CycleNode, CycleRun
from markets.queries import nodes_in_cycle

SUBSTATIONS = (NetworkNode.Kind.DISTRIBUTION, NetworkNode.Kind.PRIMARY)
TOO_FEW = (
    "EV-only figures of {code} are not shown: they are of fewer than five EVSEs, or would tell those of "
    "a neighbour with fewer than five."
)
TOO_FEW_IN_AREA = "The area has fewer than five EVSEs: its EV-only figures are not shown."
NOT_COUNTED = "EV-only figures are not shown before the cycle has counted the EVSEs at each node."
NOT_IN_CYCLE = "{code} is not a node of this cycle; {shown} is shown instead."


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes of a cycle, by code: EVSEs at and below each, the nearest of them above, and all facts of the network."""

    codes: tuple[str, ...]
    n_evse: Mapping[str, int]
    parents: Mapping[str, str | None]
    facts: Mapping[int, NetworkNode]


def network_view(*, cycle: CycleRun, organisation: Organisation, node_code: str) -> CycleView:
    """Show a cycle's figures and one node's day; small groups are hidden from all but the platform."""
    tree = _tree(cycle)
    if organisation.kind == Organisation.Kind.PLATFORM:
        shown = frozenset(tree.n_evse)
    else:
        shown = shown_nodes(tree.n_evse, tree.parents)
    is_area_shown = cycle.area.code in shown
    tiles = cycle_tiles(cycle.summary, are_ev_figures_shown=is_area_shown) if cycle.summary else ()
    notices = [TOO_FEW_IN_AREA] if cycle.summary and not is_area_shown else []
    if cycle.run is None or not tree.codes:
        return CycleView(tile_groups=tiles, notices=tuple(notices))
    chosen = _chosen(tree, node_code, cycle.summary.get("tightest_node"))
    if node_code and node_code != chosen:
        notices.append(NOT_IN_CYCLE.format(code=node_code[:80], shown=chosen))
    if chosen not in shown:
        notices.append(TOO_FEW.format(code=chosen) if chosen in tree.n_evse else NOT_COUNTED)
    powers = _powers(cycle, cycle.run, chosen, are_ev_figures_shown=chosen in shown)
    return CycleView(
        tile_groups=tiles,
        subject=_label(tree, chosen, shown),
        notices=tuple(notices),
        choices=_choices(tree, chosen, shown),
        panel=day_panel(powers),
        node_code=chosen,
    )


def _tree(cycle: CycleRun) -> Tree:
    """Tree of the nodes a cycle knows; the area itself belongs to it, whether limited or not."""
    facts = {node.pk: node for node in nodes_of(cycle.area.organisation)}
    counted = dict(nodes_in_cycle(cycle).values_list("node__code", "n_evse"))
    planned = [] if cycle.run is None else list(nodes_in(cycle.run).values_list("node__code", flat=True))
    by_code = {node.code: node for node in facts.values()}
    known = {*counted, cycle.area.code} if counted else set()
    parents = {code: _nearest_above(by_code[code], facts, known) for code in known}
    if counted and cycle.area.code not in counted:
        at_top = sum(n for code, n in counted.items() if parents[code] == cycle.area.code)
        counted[cycle.area.code] = max(at_top, int(cycle.summary.get("n_evse") or 0))
    return Tree(tuple(planned), counted, parents, facts)


def _nearest_above(node: NetworkNode, facts: Mapping[int, NetworkNode], known: set[str]) -> str | None:
    while node.parent_id is not None and node.parent_id in facts:
        node = facts[node.parent_id]
        if node.code in known:
            return node.code
    return None


def _chosen(tree: Tree, asked: str, tightest: object) -> str:
    return next((code for code in (asked, tightest) if isinstance(code, str) and code in tree.codes), tree.codes[0])


def _powers(cycle: CycleRun, run: DispatchRun, code: str, *, are_ev_figures_shown: bool) -> DayPowers:
    grid = run.grid
    planned: RunNode = nodes_in(run).get(node__code=code)
    delivered: CycleNode | None = nodes_in_cycle(cycle).filter(node__code=code).first()
    shown = delivered if are_ev_figures_shown else None
    return DayPowers(
        grid=grid,
        rating_kw=np.full(grid.n_period, planned.rating_kw),
        background_kw=float_array(planned.background_kw),
        reserve_kw=float_array(planned.reserve_kw),
        limit_kw=float_array(planned.limit_kw),
        uncontrolled_kw=None if shown is None else float_array(shown.uncontrolled_kw),
        planned_kw=float_array(planned.planned_kw) if are_ev_figures_shown else None,
        metered_kw=None if shown is None else float_array(shown.metered_kw),
        ceiling_kw=float_array(planned.ceiling_kw) if are_ev_figures_shown else None,
        background_was_kw=None if delivered is None else float_array(delivered.background_kw),
    )


def _label(tree: Tree, code: str, shown: Collection[str]) -> str:
    """A node by kind, code and name, with its EVSEs unless they are a handful, or would tell a handful."""
    node = next(node for node in tree.facts.values() if node.code == code)
    name = f" {node.name}" if node.name and node.name != code else ""
    counted = f", {tree.n_evse[code]} EVSEs" if code in tree.n_evse and code in shown else ""
    return f"{node.get_kind_display()} {code}{name}{counted}"


def _choices(tree: Tree, chosen: str, shown: Collection[str]) -> tuple[NodeGroup, ...]:
    by_code = {node.code: node for node in tree.facts.values()}
    groups: dict[str, list[NodeOption]] = {}
    for code in tree.codes:
        substation = _substation(by_code[code], tree.facts)
        groups.setdefault(substation, []).append(NodeOption(code, _label(tree, code, shown), code == chosen))
    return tuple(NodeGroup(name, tuple(options)) for name, options in sorted(groups.items()))


def _substation(node: NetworkNode, facts: Mapping[int, NetworkNode]) -> str:
    """The substation a node belongs to: itself or the nearest above."""
    while node.kind not in SUBSTATIONS and node.parent_id is not None and node.parent_id in facts:
        node = facts[node.parent_id]
    return f"{node.name} ({node.code})" if node.name and node.name != node.code else node.code
