"""How near its rating each node comes, and the network as a tree of rows, the worst first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode

import numpy as np

from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray

NEAR_SHARE = 0.9
OVER_TOLERANCE_KW = 1e-6  # as in a run's own check


class Node(NamedTuple):
    """One element of the network; ``parent`` is the code of the element above, None at the top."""

    code: str
    name: str
    kind: str
    parent: str | None


@dataclass(frozen=True, slots=True, eq=False)
class NodeDay:
    """A node's day as planned.

    Attributes:
        rating_kw: not finite where it is not known.
        background_kw: (n_period,) other demand, at the quantile held against the rating.
        planned_kw: (n_period,) EV power; None where it may not be shown, and then no figure below holds it.
    """

    grid: TimeGrid
    rating_kw: float
    background_kw: FloatArray
    planned_kw: FloatArray | None


@dataclass(frozen=True, slots=True)
class Loading:
    """The half-hour in which a node carries most.

    Attributes:
        share: of its rating; None where that is not known.
        word: OK, NEAR (from 90 %) or OVER; empty without a share.
        headroom_kw: what is left then; negative when over, None without a rating.
        has_evs: False where EV power is left out.
    """

    share: float | None
    word: str
    peak_kw: float
    peak_at: datetime
    headroom_kw: float | None
    has_evs: bool


@dataclass(frozen=True, slots=True)
class TreeRow:
    """A line of the tree.

    Attributes:
        depth: 0 at the top.
        n_below: nodes directly below.
        toggle: query string of the same page with this node opened, or closed.
    """

    node: Node
    depth: int
    n_below: int
    is_open: bool
    toggle: str


def loading_of(day: NodeDay) -> Loading:
    """Find a node's worst half-hour of the day."""
    load_kw = day.background_kw if day.planned_kw is None else day.background_kw + day.planned_kw
    at = int(load_kw.argmax())
    peak_kw = float(load_kw[at])
    is_rated = bool(np.isfinite(day.rating_kw)) and day.rating_kw > 0
    share = peak_kw / day.rating_kw if is_rated else None
    return Loading(
        share=share,
        word="" if share is None else _word(peak_kw, day.rating_kw),
        peak_kw=peak_kw,
        peak_at=day.grid.starts()[at],
        headroom_kw=day.rating_kw - peak_kw if is_rated else None,
        has_evs=day.planned_kw is not None,
    )


def _word(peak_kw: float, rating_kw: float) -> str:
    if peak_kw > rating_kw + OVER_TOLERANCE_KW:
        return "OVER"
    return "NEAR" if peak_kw >= NEAR_SHARE * rating_kw else "OK"


def n_evse_below(nodes: Sequence[Node], n_at: Mapping[str, int]) -> dict[str, int]:
    """EVSEs whose power each node carries: at it and below it; a phase also those its feeder does not know a phase of.

    Args:
        n_at: EVSEs that hang on the node itself, by code.
    """
    by_code = {node.code: node for node in nodes}
    total = dict.fromkeys(by_code, 0)
    for code, n_here in n_at.items():
        for above in _upwards(code, by_code):
            total[above] += n_here
    for node in nodes:
        if node.kind == "phase" and node.parent is not None:
            total[node.code] += n_at.get(node.parent, 0)
    return total


def _upwards(code: str, by_code: Mapping[str, Node]) -> Iterator[str]:
    """A node and those above it; a ring of parents is walked once."""
    seen: set[str] = set()
    at: str | None = code
    while at is not None and at in by_code and at not in seen:
        yield at
        seen.add(at)
        at = by_code[at].parent


def path_to(code: str, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Nodes above one, from the top."""
    by_code = {node.code: node for node in nodes}
    return tuple(by_code[above] for above in [*_upwards(code, by_code)][:0:-1])


def worst_first(nodes: Sequence[Node], loading: Mapping[str, Loading]) -> list[Node]:
    """Order by share of the rating, highest first; without one last, by code."""

    def key(node: Node) -> tuple[float, str]:
        found = loading.get(node.code)
        return (-found.share if found and found.share is not None else np.inf, node.code)

    return sorted(nodes, key=key)


def tree_rows(
    nodes: Sequence[Node], loading: Mapping[str, Loading], opened: frozenset[str] | None = None
) -> list[TreeRow]:
    """Lay the tree out from the top, siblings worst first, below a node only where it is open.

    Args:
        opened: codes of the open nodes; None opens the top ones.
    """
    codes = {node.code for node in nodes}
    below: dict[str | None, list[Node]] = {}
    for node in nodes:
        below.setdefault(node.parent if node.parent in codes else None, []).append(node)
    tops = below.get(None, [])
    is_open = frozenset(node.code for node in tops) if opened is None else opened & codes
    rows: list[TreeRow] = []
    to_visit = [(node, 0) for node in reversed(worst_first(tops, loading))]
    while to_visit:
        node, depth = to_visit.pop()
        children = below.get(node.code, [])
        opens = bool(children) and node.code in is_open
        rows.append(TreeRow(node, depth, len(children), opens, toggle_query(is_open, node.code)))
        if opens:
            to_visit.extend((child, depth + 1) for child in reversed(worst_first(children, loading)))
    return rows


def toggle_query(opened: frozenset[str], code: str) -> str:
    """The tree's address with one node opened if it is closed, else closed; nothing open is said as well."""
    return urlencode([("open", one) for one in sorted(opened ^ {code})] or [("open", "")])


def matching(nodes: Sequence[Node], text: str) -> list[Node]:
    """Nodes whose code, name or kind holds every word of ``text``, capitals or not."""
    words = text.casefold().split()
    return [node for node in nodes if all(word in f"{node.code} {node.name} {node.kind}".casefold() for word in words)]
