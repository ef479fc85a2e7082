"""The network's equations: who loads which node by how much, and how much a node may carry.

Facts (who hangs on what, ratings) are rows elsewhere; here they are indices and kW.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.types import Float32Array, FloatArray
from dispatch.core.problem import DispatchProblem
from dispatch.core.sessions import serveable_kwh
from dispatch.core.tree import Tree
from dispatch.core.validate import IdArray


class InvalidRating(FlexError):
    code = "dispatch.rating_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A problem's equations, worked out once.

    Attributes:
        tree: which nodes each session loads.
        cap_kw: (n_node, n_period) the hard cap: the smaller of headroom (not under zero) and the diversity row.
        rated_kw: (n_node, n_period) what the sessions connected could draw together; a cap above it never binds.
        serveable_kwh: (n_session,).
    """

    tree: Tree
    cap_kw: FloatArray
    rated_kw: FloatArray
    serveable_kwh: FloatArray

    @classmethod
    def of(cls, problem: DispatchProblem) -> "Network":
        tree = Tree.of(problem)
        rated_kw = tree.node_kw(tree.connected_kw(problem, problem.session_max_kw))
        limit_kw = np.maximum(problem.node_limit_kw, 0.0)
        cap_kw = np.minimum(limit_kw, diversity_rows_kw(problem, rated_kw))
        return cls(tree=tree, cap_kw=cap_kw, rated_kw=rated_kw, serveable_kwh=serveable_kwh(problem))

    def node_power_kw(self, power_kw: FloatArray | Float32Array) -> FloatArray:
        """(n_node, n_period) EV power at each node for (n_session, n_period) ``power_kw``, in float64."""
        return self.tree.node_kw(self.tree.place_power_kw(power_kw))


def share_matrix(problem: DispatchProblem) -> sparse.csr_matrix:
    """(n_node, n_session) share of each session's power that each node carries: the tree's, spelled out by session."""
    tree = Tree.of(problem)
    return sparse.csr_matrix(tree.shares[:, tree.session_place])


def diversity_rows_kw(problem: DispatchProblem, rated_kw: FloatArray) -> FloatArray:
    """(n_node, n_period) diversity factor times the ratings of the sessions connected; +inf where the factor is 1."""
    factor = problem.node_diversity[:, np.newaxis]
    rows: FloatArray = np.where(factor < 1, factor * rated_kw, np.inf)
    return rows


def rating_kw(rating_kva: FloatArray, power_factor: FloatArray, cyclic_factor: FloatArray) -> FloatArray:
    """(n_node,) real power a node may carry: kVA × power factor × cyclic factor.

    Raises:
        InvalidRating: NaN or negative anywhere, or a power factor above 1.
    """
    bad = ~((rating_kva >= 0) & (cyclic_factor >= 0) & (power_factor >= 0) & (power_factor <= 1))
    if np.any(bad):
        at = int(np.flatnonzero(np.atleast_1d(bad))[0])
        raise InvalidRating(f"rating {at} is NaN, negative or has a power factor above 1", index=at)
    rating: FloatArray = np.asarray(rating_kva * power_factor * cyclic_factor, dtype=np.float64)
    return rating


def headroom_kw(
    rating_kw: FloatArray, background_kw: FloatArray, *, node_ids: IdArray
) -> tuple[FloatArray, list[FindingNote]]:
    """Rating less background demand, not under zero, and an alarm for each node that is over its rating already.

    Args:
        rating_kw: (n_node,), +inf where unknown.
        background_kw: (n_node, n_period) upper quantile of the demand that is not EVs.

    Returns:
        (n_node, n_period) ``node_limit_kw`` of a problem, and the findings.

    Raises:
        InvalidRating: NaN in either, or an infinite background.
    """
    if np.isnan(rating_kw).any() or not np.isfinite(background_kw).all():
        raise InvalidRating("headroom needs a rating that is not NaN and a finite background at every node")
    left_kw = rating_kw[:, np.newaxis] - background_kw
    limit: FloatArray = np.maximum(left_kw, 0.0)
    return limit, limit_findings(node_ids, left_kw)


def limit_findings(node_ids: IdArray, limit_kw: FloatArray) -> list[FindingNote]:
    """One alarm per node whose (n_node, n_period) limit is below zero in some period; the engine counts it as zero."""
    below = limit_kw < 0
    return [_no_headroom(str(node_ids[node]), limit_kw[node]) for node in np.flatnonzero(below.any(axis=1))]


def _no_headroom(node_id: str, limit_kw: FloatArray) -> FindingNote:
    n_below, worst = int((limit_kw < 0).sum()), int(limit_kw.argmin())
    over_kw = float(-limit_kw[worst])
    return FindingNote(
        code="network.no_headroom",
        subject=node_id,
        message=f"{node_id} is over its rating before any EV, by up to {over_kw:.1f} kW (period {worst})",
        severity="alarm",
        details={"n_period": n_below, "worst_period": worst, "over_kw": over_kw},
    )
