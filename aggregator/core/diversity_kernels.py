"""The loops over EVSEs behind ``diversity.py``; a row of ``node`` and ``share`` is what the EVSEs of one place load."""

import numpy as np
from numba import njit

from aggregator.core.types import BoolArray, FloatArray, IntArray


@njit(cache=True, nogil=True)
def sum_by_place(n_place: int, place: IntArray, values: FloatArray) -> FloatArray:
    """(n_place, n_period) sums of (n_evse, n_period) values."""
    total = np.zeros((n_place, values.shape[1]))
    for evse in range(len(place)):
        for period in range(values.shape[1]):
            total[place[evse], period] += values[evse, period]
    return total


@njit(cache=True, nogil=True)
def raise_to_minimum(
    ceiling_kw: FloatArray,
    spare_kw: FloatArray,
    min_kw: FloatArray,
    place: IntArray,
    node: IntArray,
    share: FloatArray,
    order: IntArray,
    is_open: BoolArray,
) -> None:
    """Raise ceilings, one EVSE after the other: each takes from what those before it left under shared nodes."""
    for evse in order:
        links = node[place[evse]]
        shares = share[place[evse]]
        for period in range(ceiling_kw.shape[1]):
            need_kw = min_kw[evse] - ceiling_kw[evse, period]
            if not is_open[evse, period] or need_kw <= 0.0:
                continue
            fits = True
            for link in range(len(links)):
                if links[link] >= 0 and shares[link] * need_kw > spare_kw[links[link], period]:
                    fits = False
            if fits:
                ceiling_kw[evse, period] += need_kw
                for link in range(len(links)):
                    if links[link] >= 0:
                        spare_kw[links[link], period] -= shares[link] * need_kw


@njit(cache=True, nogil=True)
def count_claims(
    n_place: int,
    ceiling_kw: FloatArray,
    rated_kw: FloatArray,
    min_kw: FloatArray,
    place: IntArray,
    is_open: BoolArray,
) -> FloatArray:
    """(n_place, n_period) how many EVSEs of each place may charge and are not at their rating yet."""
    claims = np.zeros((n_place, ceiling_kw.shape[1]))
    for evse in range(len(place)):
        for period in range(ceiling_kw.shape[1]):
            now_kw = ceiling_kw[evse, period]
            if is_open[evse, period] and min_kw[evse] <= now_kw < rated_kw[evse]:
                claims[place[evse], period] += 1.0
    return claims


@njit(cache=True, nogil=True)
def share_out(
    ceiling_kw: FloatArray,
    per_claim_kw: FloatArray,
    rated_kw: FloatArray,
    min_kw: FloatArray,
    place: IntArray,
    is_open: BoolArray,
) -> None:
    """Raise each that claims by what (n_place, n_period) a claim is worth at its place, up to its rating."""
    for evse in range(len(place)):
        for period in range(ceiling_kw.shape[1]):
            now_kw = ceiling_kw[evse, period]
            if is_open[evse, period] and min_kw[evse] <= now_kw < rated_kw[evse]:
                ceiling_kw[evse, period] = now_kw + min(rated_kw[evse] - now_kw, per_claim_kw[place[evse], period])


@njit(cache=True, nogil=True)
def largest_together(loads_kw: FloatArray, first: IntArray, n_at_once: IntArray) -> FloatArray:
    """(n_node, n_period) sums of the ``n_at_once`` first loads of each node's, which lie from ``first`` on."""
    together_kw = np.zeros(n_at_once.shape)
    for node in range(n_at_once.shape[0]):
        sums = np.zeros(first[node + 1] - first[node] + 1)
        for at in range(first[node], first[node + 1]):
            sums[at - first[node] + 1] = sums[at - first[node]] + loads_kw[at]
        for period in range(n_at_once.shape[1]):
            together_kw[node, period] = sums[n_at_once[node, period]]
    return together_kw
