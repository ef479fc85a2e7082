"""Diversity: how many of N EVSEs draw at once, what a home adds after diversity, what to hold back for overrides."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import bdtrc

from aggregator.core.diversity_kernels import (
    count_claims,
    largest_together,
    raise_to_minimum,
    share_out,
    sum_by_place,
)
from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray

NO_NODE = -1


class InvalidDiversityInput(FlexError):
    code = "diversity.invalid_input"


@dataclass(frozen=True, slots=True)
class NodeLinks:
    """Which nodes EVSEs load, their own and every one above. EVSEs of one *place* load the same by the same shares.

    Attributes:
        node: (n_place, n_link) index, ``NO_NODE`` where a place has fewer links.
        share: (n_place, n_link) of its EVSEs' power: 1, or 1/3 on each phase of a three-phase EVSE.
        n_node: number of nodes.
        place: (n_evse,) row of ``node`` and ``share``; without it every EVSE is a place of its own.

    Raises:
        InvalidDiversityInput: shapes differ, an index out of range, a share outside 0 to 1, or a node linked twice.
    """

    node: IntArray
    share: FloatArray
    n_node: int
    place: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if self.node.ndim != 2 or self.node.shape != self.share.shape:
            raise InvalidDiversityInput(f"node {self.node.shape} and share {self.share.shape} must be one 2-D shape")
        if not len(self.place):
            object.__setattr__(self, "place", np.arange(len(self.node)))
        if (self.place < 0).any() or (self.place >= self.n_place).any():
            raise InvalidDiversityInput(f"an EVSE is at a place outside 0 to {self.n_place - 1}")
        if (self.node < NO_NODE).any() or (self.node >= self.n_node).any():
            raise InvalidDiversityInput(f"a link names a node outside 0 to {self.n_node - 1}")
        if not ((self.share > 0) & (self.share <= 1))[self.loads].all():
            raise InvalidDiversityInput("a share lies outside 0 to 1")
        ordered = np.sort(self.node, axis=1)
        if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_NODE)).any():
            raise InvalidDiversityInput("an EVSE loads one node by two links")

    @property
    def n_place(self) -> int:
        return len(self.node)

    @property
    def n_evse(self) -> int:
        return len(self.place)

    @property
    def loads(self) -> BoolArray:
        """(n_place, n_link) where there is a link."""
        linked: BoolArray = self.node != NO_NODE
        return linked

    def sum_up(self, values: FloatArray) -> FloatArray:
        """(n_node, n_period) sum of (n_evse, n_period) values over the EVSEs below each node, each times its share."""
        return self.sum_places(sum_by_place(self.n_place, self.place, values))

    def sum_places(self, values: FloatArray) -> FloatArray:
        """(n_node, n_period) sum of (n_place, n_period) values over the places below each node, times their share."""
        total = np.zeros((self.n_node, values.shape[1]))
        for link in range(self.node.shape[1]):
            at = self.loads[:, link]
            np.add.at(total, self.node[at, link], values[at] * self.share[at, link][:, np.newaxis])
        return total


def coincidence_count(n: IntArray, p: FloatArray, alpha: float) -> IntArray:
    """Smallest k with P(X > k) <= alpha for X ~ Bin(n, p): how many of n draw at once, but for a risk of alpha.

    Args:
        n, p: broadcast together; n >= 0, p in 0 to 1.
        alpha: risk, above 0 and below 1.

    Returns:
        k in the common shape. The draws are taken as independent, which a shared tariff boundary breaks.

    Raises:
        InvalidDiversityInput: an argument out of its range.

    Source: docs/methods/availability.md
    """
    counts, chances = np.broadcast_arrays(np.asarray(n, dtype=np.int64), np.asarray(p, dtype=np.float64))
    if not (0 < alpha < 1) or (counts < 0).any() or not ((chances >= 0) & (chances <= 1)).all():
        raise InvalidDiversityInput(f"n >= 0, p in 0 to 1 and alpha in 0 to 1 are needed, alpha is {alpha}")
    low, high = np.zeros(counts.shape, dtype=np.int64), counts.copy()
    while (low < high).any():
        middle = (low + high) // 2
        # P(X > n) is 0, which bdtrc does not say of k = n.
        tail = np.where(middle >= counts, 0.0, bdtrc(np.minimum(middle, counts - 1), np.maximum(counts, 1), chances))
        fits = tail <= alpha
        high = np.where(fits, middle, high)
        low = np.where(fits, low, np.minimum(middle + 1, high))
    return high


def admd_kw(demand_kw: FloatArray, *, min_present: float = 0.8) -> float:
    """After-diversity maximum demand: the highest mean demand per customer over the periods.

    Args:
        demand_kw: (n_customer, n_period) mean kW, NaN where missing.
        min_present: share of customers that must be present for a period to count.

    Raises:
        InvalidDiversityInput: no period has enough customers present.
    """
    present = np.isfinite(demand_kw)
    enough = (present.sum(axis=0) >= min_present * len(demand_kw)) & present.any(axis=0)
    if not enough.any():
        raise InvalidDiversityInput(
            f"no period has {min_present:.0%} of {len(demand_kw)} customers present", n_customer=len(demand_kw)
        )
    total_kw = np.where(present, demand_kw, 0.0).sum(axis=0)[enough]
    return float((total_kw / present.sum(axis=0)[enough]).max())


def override_reserve_kw(
    *, rated_kw: FloatArray, override_probability: FloatArray, links: NodeLinks, alpha: float = 0.01
) -> FloatArray:
    """Headroom to hold back at each node for consumers who override, but for a risk of alpha per node and period.

    The number that override at once is taken as binomial with the mean probability below the node; that is never
    too few in the upper tail when probabilities differ. They are taken to be those with the largest ratings.

    Args:
        rated_kw: (n_evse,).
        override_probability: (n_evse, n_period) that the EVSE is charging after an override in that period.

    Returns:
        (n_node, n_period) kW.

    Raises:
        InvalidDiversityInput: shapes differ, or a value out of range.

    Source: docs/methods/availability.md
    """
    n_evse = len(override_probability)
    if rated_kw.shape != (n_evse,) or links.n_evse != n_evse:
        raise InvalidDiversityInput(f"rated_kw {rated_kw.shape} and links of {links.n_evse} must hold {n_evse} EVSEs")
    node, loads_kw = _loads_by_node(rated_kw, links)
    first = np.searchsorted(node, np.arange(links.n_node + 1))
    n_below = np.diff(first)[:, np.newaxis]
    chances = _equal_shares(links).sum_up(np.ascontiguousarray(override_probability))
    mean = np.clip(chances / np.maximum(n_below, 1), 0.0, 1.0)
    return largest_together(loads_kw, first, coincidence_count(n_below, mean, alpha))


def _loads_by_node(rated_kw: FloatArray, links: NodeLinks) -> tuple[IntArray, FloatArray]:
    """(n_load,) the node and the power of every EVSE below it, node by node and the largest first."""
    largest_first = np.argsort(-rated_kw, kind="stable")
    row = links.place[largest_first]
    linked = links.loads[row].T
    node, share = links.node[row].T[linked], links.share[row].T[linked]
    power_kw = np.broadcast_to(rated_kw[largest_first], linked.shape)[linked] * share
    order = np.lexsort((-power_kw, node))
    return node[order], power_kw[order]


def _equal_shares(links: NodeLinks) -> NodeLinks:
    """The same links where whoever loads a node counts as one, whatever the share."""
    return NodeLinks(links.node, np.ones_like(links.share), links.n_node, links.place)


def spare_ceilings_kw(
    *,
    setpoint_kw: FloatArray,
    rated_kw: FloatArray,
    min_kw: FloatArray,
    links: NodeLinks,
    limit_kw: FloatArray,
    order: IntArray,
    is_open: BoolArray | None = None,
) -> FloatArray:
    """Raise setpoints into headroom that no plan uses, so that a vehicle nobody expected can still charge.

    Setpoints are ceilings. First each EVSE below its minimum is raised to it, in ``order``, where every node above
    has room; what is left under every node is then shared equally among the EVSEs that may charge. Summed at any
    node the ceilings stay within its limit, so the limit holds even if all charge at once.

    Args:
        setpoint_kw: (n_evse, n_period) planned ceilings.
        rated_kw, min_kw: (n_evse,) a ceiling raised is at least ``min_kw`` and at most ``rated_kw``.
        limit_kw: (n_node, n_period), after background and override reserve. Where the plan is already above it,
            nothing below is raised.
        order: (n_evse,) EVSEs, first served first; turn it from day to day so that no one is always last.
        is_open: (n_evse, n_period) where ceilings may be raised (outside the windows of requests, say).

    Returns:
        (n_evse, n_period) ceilings, nowhere below ``setpoint_kw``.

    Raises:
        InvalidDiversityInput: shapes differ, or ``order`` is no permutation.

    Source: docs/methods/availability.md
    """
    n_evse, n_period = setpoint_kw.shape
    if rated_kw.shape != (n_evse,) or min_kw.shape != (n_evse,) or limit_kw.shape != (links.n_node, n_period):
        raise InvalidDiversityInput(
            f"setpoint_kw {setpoint_kw.shape} with rated_kw {rated_kw.shape}, min_kw {min_kw.shape}, limit_kw "
            f"{limit_kw.shape} for {links.n_node} nodes"
        )
    if links.n_evse != n_evse or not np.array_equal(np.sort(order), np.arange(n_evse)):
        raise InvalidDiversityInput(f"order and links must hold each of {n_evse} EVSEs once")
    is_open = np.ones(setpoint_kw.shape, dtype=np.bool_) if is_open is None else is_open
    raised_kw = setpoint_kw.astype(np.float64, order="C")  # one copy, raised where it lies
    spare_kw = _spare_kw(raised_kw, links, limit_kw)
    raise_to_minimum(raised_kw, spare_kw, min_kw, links.place, links.node, links.share, order, is_open)
    claims = links.sum_places(count_claims(links.n_place, raised_kw, rated_kw, min_kw, links.place, is_open))
    per_claim_kw = np.divide(
        _spare_kw(raised_kw, links, limit_kw), claims, out=np.zeros(claims.shape), where=claims > 0
    )
    share_out(raised_kw, _least_at_place(per_claim_kw, links), rated_kw, min_kw, links.place, is_open)
    return raised_kw


def _spare_kw(ceiling_kw: FloatArray, links: NodeLinks, limit_kw: FloatArray) -> FloatArray:
    spare_kw: FloatArray = np.maximum(limit_kw - links.sum_up(ceiling_kw), 0.0)
    return spare_kw


def _least_at_place(node_kw: FloatArray, links: NodeLinks) -> FloatArray:
    """(n_place, n_period) the least of (n_node, n_period) values at the nodes each place loads; +inf where none."""
    least_kw = np.full((links.n_place, node_kw.shape[1]), np.inf)
    for link in range(links.node.shape[1]):
        at = links.loads[:, link]
        least_kw[at] = np.minimum(least_kw[at], node_kw[links.node[at, link]])
    return least_kw
