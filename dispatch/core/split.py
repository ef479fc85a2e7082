"""Cut a problem at a level of its tree, so that what hangs under each branch can be solved apart.

A branch is a node at the cut and everything under it. What is above the cut (its caps, requests and ramps) ties the
parts together and belongs to whoever coordinates them; a part sees of it one charge per kW and period. Sessions that
hang above the cut are a part for each node they hang on. A feeder is never cut from its phases, since what hangs on it
loads them too; so everywhere above the cut a session loads its own node and those above it, by 1 each.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray
from dispatch.core.bound import Prices
from dispatch.core.network import Network
from dispatch.core.problem import PROBLEM_FIELDS, DispatchProblem
from dispatch.core.tree import Tree


class InvalidCut(FlexError):
    code = "dispatch.cut_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What can be solved apart.

    Attributes:
        problem: its own tree, requests and ramps; node 0 is where it meets what is above.
        nodes: (n_part_node,) indices in the whole problem; empty for sessions that hang above the cut.
        sessions: (n_part_session,) indices in the whole problem.
        loads: (n_upper,) whether a node above the cut carries the part.
    """

    problem: DispatchProblem
    nodes: IntArray
    sessions: IntArray
    loads: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A problem cut in parts.

    Attributes:
        upper: what is above the cut, a problem without sessions whose limits are the whole problem's caps.
        network: of ``upper``, its places being the parts: (n_upper, n_part) shares.
        upper_nodes: (n_upper,) indices in the whole problem.
        parts: as they stand in the tree, then those of sessions above the cut; none without a session or request.
    """

    upper: DispatchProblem
    network: Network
    upper_nodes: IntArray
    parts: tuple[Part, ...]


def split_problem(problem: DispatchProblem, network: Network, *, level: int) -> Split:
    """Cut a problem at the nodes ``level`` steps under its roots; 0 takes every tree as a part.

    Raises:
        InvalidCut: a negative level.
    """
    if level < 0:
        raise InvalidCut(f"the level of the cut is {level}; expected 0 (the roots) or more", level=level)
    branch = branches(problem, level)
    upper_nodes = np.flatnonzero(branch < 0)
    sessions = _groups(branch[problem.session_node])
    nodes = _groups(branch)
    asked = {int(branch[request.node]) for request in problem.requests}
    roots = sorted({*sessions, *asked} - {-1})
    above = sessions.get(-1, _NONE)
    parts = (
        *(_branch_part(problem, nodes[root], sessions.get(root, _NONE), upper_nodes) for root in roots),
        *(_loose_part(problem, v, above[at], upper_nodes) for v, at in _groups(problem.session_node[above]).items()),
    )
    return Split(
        _upper_problem(problem, network, upper_nodes), _upper_network(network, upper_nodes, parts), upper_nodes, parts
    )


def branches(problem: DispatchProblem, level: int) -> IntArray:
    """(n_node,) the node at the cut that each node hangs under (itself, if it is one), -1 above the cut."""
    parent, depth = problem.node_parent, depths(problem)
    branch = np.full(problem.n_node, -1, dtype=np.int64)
    has_phases = np.zeros(problem.n_node, dtype=bool)
    has_phases[parent[problem.node_is_phase & (parent >= 0)]] = True
    for node in range(problem.n_node):
        above = parent[node]
        if above >= 0:
            branch[node] = branch[above]
        if branch[node] < 0 and (depth[node] == level or has_phases[node]):
            branch[node] = node
    return branch


def depths(problem: DispatchProblem) -> IntArray:
    """(n_node,) steps under its root."""
    depth = np.zeros(problem.n_node, dtype=np.int64)
    for node, above in enumerate(problem.node_parent.tolist()):
        if above >= 0:
            depth[node] = depth[above] + 1
    return depth


def level_for(problem: DispatchProblem, *, n_part: int = 2) -> int:
    """The highest cut that makes at least ``n_part`` parts; the one that makes most, where none makes as many."""
    most, best = 0, 0
    for level in range(int(depths(problem).max(initial=0)) + 1):
        branch = branches(problem, level)
        apart = np.where(branch < 0, problem.n_node + np.arange(problem.n_node), branch)
        found = len(np.unique(apart[problem.session_node]))
        if found > most:
            most, best = found, level
        if found >= n_part:
            break
    return best


def charged(problem: DispatchProblem, charge_gbp_per_kw: FloatArray, ceiling_kw: FloatArray) -> DispatchProblem:
    """A part's problem under (n_period,) charges on its power and (n_period,) ceilings at its node 0."""
    limit_kw = problem.node_limit_kw.copy()
    limit_kw[0] = np.minimum(limit_kw[0], ceiling_kw)
    return replace(
        problem,
        node_limit_kw=limit_kw,
        price_gbp_per_kwh=problem.price_gbp_per_kwh + charge_gbp_per_kw / problem.step_h,
    )


def of_sessions(problem: DispatchProblem, sessions: IntArray) -> DispatchProblem:
    """The same problem with these sessions only."""
    chosen = {field: getattr(problem, field)[sessions] for field in _OF_SESSIONS}
    return replace(problem, session_node=problem.session_node[sessions], **chosen)


def upper_prices(problem: DispatchProblem, split: Split, prices: Prices) -> Prices:
    """The whole problem's prices of what is above the cut, as ``Split.upper`` counts its nodes and requests."""
    nodes = split.upper_nodes
    asked = np.array([one.node for one in problem.requests], dtype=np.int64)
    return Prices(
        cap=prices.cap[nodes],
        request=prices.request[np.isin(asked, nodes)],
        ramp_up=prices.ramp_up[nodes],
        ramp_down=prices.ramp_down[nodes],
    )


def _groups(labels: IntArray) -> dict[int, IntArray]:
    """Where each label is found, by label."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True)) if len(values) else {}


def _branch_part(problem: DispatchProblem, nodes: IntArray, sessions: IntArray, upper_nodes: IntArray) -> Part:
    part = _cut_out(problem, nodes, sessions)
    return Part(part, nodes, sessions, _loads(problem, int(problem.node_parent[nodes[0]]), upper_nodes))


def _loose_part(problem: DispatchProblem, node: int, sessions: IntArray, upper_nodes: IntArray) -> Part:
    """Sessions that hang on a node above the cut, whose limits are not theirs alone: a node without any."""
    part = replace(
        _cut_out(problem, np.array([node]), sessions),
        node_limit_kw=np.full((1, problem.n_period), np.inf),
        node_diversity=np.ones(1),
        node_ramp_kw=np.full(1, np.inf),
        requests=(),
    )
    return Part(part, _NONE, sessions, _loads(problem, node, upper_nodes))


def _cut_out(problem: DispatchProblem, nodes: IntArray, sessions: IntArray) -> DispatchProblem:
    """The same problem with these nodes, those without their parent roots now, their requests and these sessions."""
    at = _positions(problem, nodes)
    parent = problem.node_parent[nodes]
    return replace(
        problem,
        node_parent=np.where(parent < 0, -1, at[parent]),
        session_node=at[problem.session_node[sessions]],
        requests=tuple(replace(one, node=int(at[one.node])) for one in problem.requests if at[one.node] >= 0),
        **{field: getattr(problem, field)[nodes] for field in _OF_NODES},
        **{field: getattr(problem, field)[sessions] for field in _OF_SESSIONS},
    )


def _upper_problem(problem: DispatchProblem, network: Network, nodes: IntArray) -> DispatchProblem:
    """What is above the cut, without a session; diversity counts sessions, so it is in the limits already."""
    bare = _cut_out(problem, nodes, _NONE)
    return replace(bare, node_limit_kw=network.cap_kw[nodes], node_diversity=np.ones(len(nodes)))


def _upper_network(network: Network, nodes: IntArray, parts: tuple[Part, ...]) -> Network:
    loads = np.array([part.loads for part in parts], dtype=np.float64).reshape(len(parts), len(nodes))
    tree = Tree(session_place=_NONE, place_node=np.full(len(parts), -1), shares=sparse.csr_matrix(loads.T))
    return Network(tree, network.cap_kw[nodes], network.rated_kw[nodes], np.zeros(0))


def _positions(problem: DispatchProblem, nodes: IntArray) -> IntArray:
    """(n_node,) each node's place among ``nodes``, -1 where it is not among them."""
    at = np.full(problem.n_node, -1, dtype=np.int64)
    at[nodes] = np.arange(len(nodes))
    return at


def _loads(problem: DispatchProblem, node: int, upper_nodes: IntArray) -> BoolArray:
    """(n_upper,) marks ``node`` (-1 for none) and every node above it."""
    carried = []
    while node >= 0:
        carried.append(node)
        node = int(problem.node_parent[node])
    marks: BoolArray = np.isin(upper_nodes, carried)
    return marks


_NONE: IntArray = np.zeros(0, dtype=np.int64)
_OF_NODES = ("node_ids", "node_is_phase", "node_limit_kw", "node_diversity", "node_ramp_kw")
_OF_SESSIONS = tuple(field for field in PROBLEM_FIELDS if field.startswith("session_") and field != "session_node")
