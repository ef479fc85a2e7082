"""The network tree of an area, as arrays."""

from datetime import datetime

import numpy as np

from aggregator.arrays.copy_out import Columns, Field, load_columns
from aggregator.core.align import NOWHERE, index_of, text_order
from aggregator.core.network_area import NetworkArea, UnknownNode
from aggregator.core.types import FloatArray, IntArray
from aggregator.models import NetworkNode

# LV networks are designed on about half of the installed load at once; used where a rating is not known.
DESIGN_DIVERSITY = 0.5
UNRATED = {
    "rating_kva": np.inf,
    "power_factor": 1.0,
    "cyclic_factor": 1.0,
    "diversity": DESIGN_DIVERSITY,
    "ramp_kw": np.inf,
}
NOT_MET = -1
# UNION leaves out what it found already, so that a ring of parents ends.
BELOW = """
FROM (
    WITH RECURSIVE below (id) AS (
        SELECT {root}::bigint
        UNION SELECT child.id FROM aggregator_networknode AS child JOIN below ON child.parent_id = below.id
    )
    SELECT node.* FROM aggregator_networknode AS node JOIN below USING (id)
) AS node
"""
NODE_FIELDS = {
    "pk": Field("node.id", "i8"),
    "parent_pk": Field("coalesce(node.parent_id, 0)", "i8"),
    "n_customers": Field("node.n_customers", "i4"),
    "admd_kw": Field("node.admd_kw", "f8"),
}
IN_FORCE = """
FROM aggregator_noderating AS rating
JOIN unnest({nodes}::bigint[]) AS wanted (id) ON wanted.id = rating.node_id
WHERE rating.valid_from < {ends_at} AND (rating.valid_to IS NULL OR rating.valid_to > {starts_at})
"""
RATING_FIELDS = {
    "node_pk": Field("rating.node_id", "i8"),
    "rating_kva": Field("rating.rating_kva", "f8"),
    "power_factor": Field("rating.power_factor", "f8"),
    "cyclic_factor": Field("rating.cyclic_factor", "f8"),
    "diversity": Field("rating.diversity", "f8"),
    "ramp_kw": Field("coalesce(rating.ramp_kw, 'infinity')", "f8"),
    "valid_from": Field("(extract(epoch FROM rating.valid_from) * 1000000)::bigint", "i8"),
}


def find_node(code: str) -> NetworkNode:
    """The node with this code.

    Raises:
        UnknownNode: there is none.
    """
    node = NetworkNode.objects.filter(code=code).first()
    if node is None:
        raise UnknownNode(f"no network node has the code {code!r}", node=code)
    return node


def with_nodes_above(node: NetworkNode) -> list[NetworkNode]:
    """The node and all above it, the root last."""
    above = [node]
    while above[-1].parent is not None and above[-1].parent not in above:
        above.append(above[-1].parent)
    return above


def load_area(*, root: NetworkNode, starts_at: datetime, ends_at: datetime) -> NetworkArea:
    """Load ``root`` and all below it, with the tightest rating of each node in ``[starts_at, ends_at)``."""
    node = _nodes(root.pk)
    binding = _tightest(_ratings(node["pk"], starts_at, ends_at), node["pk"])
    return NetworkArea(
        node_pks=node["pk"],
        codes=node["code"],
        kinds=node["kind"],
        parent=index_of(node["pk"], node["parent_pk"]),
        rating_kva=binding["rating_kva"],
        power_factor=binding["power_factor"],
        cyclic_factor=binding["cyclic_factor"],
        diversity=binding["diversity"],
        ramp_kw=binding["ramp_kw"],
        n_customers=node["n_customers"].astype(np.int64),
        admd_kw=node["admd_kw"],
    )


def _nodes(root_pk: int) -> Columns:
    """Level by level, and by code within one."""
    found = load_columns(
        source=BELOW,
        block="node.id / 2000",
        fields=NODE_FIELDS,
        texts={"code": "node.code", "kind": "node.kind"},
        values={"root": root_pk},
    )
    level = _levels(found["pk"], found["parent_pk"], root_pk)
    by_code = text_order(found["code"])
    order = by_code[np.argsort(level[by_code], kind="stable")]
    return {name: column[order] for name, column in found.items()}


def _levels(pks: IntArray, parent_pks: IntArray, root_pk: int) -> IntArray:
    """(n_node,) how far each node hangs below the root."""
    above = index_of(pks, parent_pks)
    level = np.where(pks == root_pk, 0, NOT_MET)
    depth = 0
    while (level == depth).any():
        # A node met already would be a ring of parents; it keeps its first level, so that no mistake walks for ever.
        level[(level == NOT_MET) & (above != NOWHERE) & (level[above] == depth)] = depth + 1
        depth += 1
    return level


def _ratings(node_pks: IntArray, starts_at: datetime, ends_at: datetime) -> Columns:
    """Ratings in force in some part of the window."""
    return load_columns(
        source=IN_FORCE,
        block="rating.node_id / 2000",
        fields=RATING_FIELDS,
        values={"nodes": node_pks.tolist(), "starts_at": starts_at, "ends_at": ends_at},
    )


def _tightest(rating: Columns, node_pks: IntArray) -> dict[str, FloatArray]:
    """A change within the window binds all of it, limit by limit: kW, diversity and ramp each at their smallest."""
    node, n_node = index_of(node_pks, rating["node_pk"]), len(node_pks)
    rating_kw = rating["rating_kva"] * rating["power_factor"] * rating["cyclic_factor"]
    order = np.lexsort((rating["valid_from"], rating_kw, node))
    rated, first = np.unique(node[order], return_index=True)
    least = order[first]
    binding = {name: np.full(n_node, unrated) for name, unrated in UNRATED.items()}
    for name in ("rating_kva", "power_factor", "cyclic_factor"):
        binding[name][rated] = rating[name][least]
    for name in ("diversity", "ramp_kw"):
        lowest = np.full(n_node, np.inf)
        np.minimum.at(lowest, node, rating[name])
        binding[name][rated] = lowest[rated]
    return binding
