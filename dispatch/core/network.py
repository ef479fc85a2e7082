"""The network's equations: who loads which node by how much, and how much a node may carry.

Facts (who hangs on what, ratings) are rows elsewhere; here they are indices and kW.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.types import BoolArray, Float32Array, FloatArray
from dispatch.core.problem import DispatchProblem
from dispatch.core.sessions import connected, serveable_kwh
from dispatch.core.validate import IdArray

THREE_PHASE_SHARE = 1 / 3


class InvalidRating(FlexError):
    code = "dispatch.rating_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A problem's equations, worked out once.

    Attributes:
        shares: (n_node, n_session) sparse, kW on the node for each kW of the session.
        connected: (n_session, n_period).
        cap_kw: (n_node, n_period) the hard cap: the smaller of headroom (not under zero) and the diversity row.
        serveable_kwh: (n_session,).
    """

    shares: sparse.csr_matrix
    connected: BoolArray
    cap_kw: FloatArray
    serveable_kwh: FloatArray

    @classmethod
    def of(cls, problem: DispatchProblem) -> "Network":
        shares, plugged_in = share_matrix(problem), connected(problem)
        limit_kw = np.maximum(problem.node_limit_kw, 0.0)
        cap_kw = np.minimum(limit_kw, diversity_rows_kw(problem, shares, plugged_in))
        return cls(shares=shares, connected=plugged_in, cap_kw=cap_kw, serveable_kwh=serveable_kwh(problem))

    def node_power_kw(self, power_kw: FloatArray | Float32Array) -> FloatArray:
        """(n_node, n_period) EV power at each node for (n_session, n_period) ``power_kw``."""
        total: FloatArray = np.asarray(self.shares @ np.asarray(power_kw, dtype=np.float64))
        return total


def share_matrix(problem: DispatchProblem) -> sparse.csr_matrix:
    """(n_node, n_session) share of each session's power that each node carries.

    A session loads its own node and all above it by 1. On a feeder with phase children a three-phase session
    loads each child by 1/3; a single-phase one, whose phase is then unknown, loads each child by 1 (worst phase).
    """
    rows, columns, at, session = [], [], problem.session_node, np.arange(problem.n_session)
    while len(at):
        rows.append(at)
        columns.append(session)
        above = problem.node_parent[at]
        at, session = above[above >= 0], session[above >= 0]
    row, column = np.concatenate([*rows, []]).astype(int), np.concatenate([*columns, []]).astype(int)
    shape = (problem.n_node, problem.n_session)
    upward = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=shape)
    return sparse.csr_matrix(upward + _phase_shares(problem))


def _phase_shares(problem: DispatchProblem) -> sparse.csr_matrix:
    """(n_node, n_session) what sessions hanging on a feeder load its phase children by."""
    child = np.flatnonzero(problem.node_is_phase & (problem.node_parent >= 0))
    hangs_under = (np.ones(len(child)), (child, problem.node_parent[child]))
    children = sparse.csc_matrix(hangs_under, shape=(problem.n_node, problem.n_node))
    share = np.where(problem.session_phases == 3, THREE_PHASE_SHARE, 1.0)
    return sparse.csr_matrix(children[:, problem.session_node] @ sparse.diags(share, shape=(problem.n_session,) * 2))


def diversity_rows_kw(problem: DispatchProblem, shares: sparse.csr_matrix, plugged_in: BoolArray) -> FloatArray:
    """(n_node, n_period) diversity factor times the ratings of the sessions connected; +inf where the factor is 1."""
    rated_kw = np.asarray(shares @ (problem.session_max_kw[:, np.newaxis] * plugged_in))
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
