"""The network tree of an area, as arrays."""

from datetime import datetime
from typing import NamedTuple

import numpy as np
from django.db.models import Q

from aggregator.core.network_area import NetworkArea, UnknownNode
from aggregator.core.types import FloatArray
from aggregator.models import NetworkNode, NodeRating

# LV networks are designed on about half of the installed load at once; used where a rating is not known.
DESIGN_DIVERSITY = 0.5


def find_node(code: str) -> NetworkNode:
    """The node with this code.

    Raises:
        UnknownNode: there is none.
    """
    node = NetworkNode.objects.filter(code=code).first()
    if node is None:
        raise UnknownNode(f"no network node has the code {code!r}", node=code)
    return node


def load_area(*, root: NetworkNode, starts_at: datetime, ends_at: datetime) -> NetworkArea:
    """Load ``root`` and all below it, with the tightest rating of each node in ``[starts_at, ends_at)``."""
    nodes = _walk(root)
    index = {node.pk: at for at, node in enumerate(nodes)}
    in_force = _ratings(list(index), starts_at, ends_at)
    rated = [_tightest(in_force.get(node.pk, [])) for node in nodes]
    return NetworkArea(
        node_pks=np.array([node.pk for node in nodes], dtype=np.int64),
        codes=np.array([node.code for node in nodes], dtype=np.str_),
        kinds=np.array([node.kind for node in nodes], dtype=np.str_),
        parent=np.array([index.get(node.parent_id or 0, -1) for node in nodes], dtype=np.int64),
        rating_kva=_column([r.rating_kva for r in rated]),
        power_factor=_column([r.power_factor for r in rated]),
        cyclic_factor=_column([r.cyclic_factor for r in rated]),
        diversity=_column([r.diversity for r in rated]),
        ramp_kw=_column([r.ramp_kw for r in rated]),
        n_customers=np.array([node.n_customers for node in nodes], dtype=np.int64),
        admd_kw=_column([node.admd_kw for node in nodes]),
    )


def _column(values: list[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _walk(root: NetworkNode) -> list[NetworkNode]:
    """Level by level, one query each: a tree is a handful deep however many nodes it has."""
    nodes, level = {root.pk: root}, [root]
    while level:
        # A node met already would be a ring of parents; it is walked once, so that no mistake can walk for ever.
        level = [node for node in NetworkNode.objects.filter(parent__in=level) if node.pk not in nodes]
        level.sort(key=lambda node: node.code)
        nodes |= {node.pk: node for node in level}
    return list(nodes.values())


class _Binding(NamedTuple):
    """What binds a node through a window."""

    rating_kva: float
    power_factor: float
    cyclic_factor: float
    diversity: float
    ramp_kw: float


def _tightest(ratings: list[NodeRating]) -> _Binding:
    """A change within the window binds all of it, limit by limit: kW, diversity and ramp each at their smallest."""
    if not ratings:
        return _Binding(np.inf, 1.0, 1.0, DESIGN_DIVERSITY, np.inf)
    least = min(ratings, key=lambda r: (r.rating_kva * r.power_factor * r.cyclic_factor, r.valid_from))
    return _Binding(
        least.rating_kva,
        least.power_factor,
        least.cyclic_factor,
        diversity=min(r.diversity for r in ratings),
        ramp_kw=min(np.inf if r.ramp_kw is None else r.ramp_kw for r in ratings),
    )


def _ratings(node_pks: list[int], starts_at: datetime, ends_at: datetime) -> dict[int, list[NodeRating]]:
    """Ratings in force in some part of the window, by node."""
    in_force = NodeRating.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=starts_at)).filter(
        node__in=node_pks, valid_from__lt=ends_at
    )
    by_node: dict[int, list[NodeRating]] = {}
    for rating in in_force:
        by_node.setdefault(rating.node_id, []).append(rating)
    return by_node
