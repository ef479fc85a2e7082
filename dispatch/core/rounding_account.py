"""What every node still carries while setpoints are raised and moved: arrays for compiled loops, no objects.

A period's *offer* to a place is how much may be added there and what one more kWh costs beside the tariff: a request
that waits pays, one that would be broken charges, and so does a ramp.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from aggregator.core.types import BoolArray, FloatArray, IntArray
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem

EPS_KW = 1e-9


class Account(NamedTuple):
    """Loads against caps, and the soft rows on top of them.

    Attributes:
        load_kw, cap_kw: (n_node, n_period); ``load_kw`` is kept up to date in place.
        begin, node, share: who a place loads, node[begin[place] : begin[place + 1]] by that share.
        request_begin: (n_node + 1,) requests by node, the columns below in that order.
        request: (n_request, 5) start, end, direction, target in kW, price in GBP per kWh.
        ramp_kw: (n_node,) +inf where no ramp is priced; ramp_price in GBP per kWh.
        is_soft: (n_place,) loads a node with a request or a ramp.
    """

    load_kw: FloatArray
    cap_kw: FloatArray
    begin: IntArray
    node: IntArray
    share: FloatArray
    request_begin: IntArray
    request: FloatArray
    ramp_kw: FloatArray
    ramp_price: float
    is_soft: BoolArray


def account_of(problem: DispatchProblem, network: Network, place_kw: FloatArray) -> Account:
    """Open the books with (n_place, n_period) kW booked already."""
    by_place = network.tree.shares.tocsc()
    priced = problem.ramp_gbp_per_kwh > 0 and problem.n_period > 1
    ramp_kw = problem.node_ramp_kw.copy() if priced else np.full(problem.n_node, np.inf)
    of_node = np.array([request.node for request in problem.requests], dtype=np.int64)
    order = np.argsort(of_node, kind="stable")
    asked = [problem.requests[index] for index in order.tolist()]
    columns = [(row.start, row.end, row.direction, row.target_kw, row.shortfall_gbp_per_kwh) for row in asked]
    soft_node = np.isfinite(ramp_kw)
    soft_node[of_node] = True
    return Account(
        load_kw=np.ascontiguousarray(network.tree.node_kw(place_kw)),
        cap_kw=np.ascontiguousarray(network.cap_kw),
        begin=by_place.indptr.astype(np.int64),
        node=by_place.indices.astype(np.int64),
        share=by_place.data,
        request_begin=np.searchsorted(of_node[order], np.arange(problem.n_node + 1)).astype(np.int64),
        request=np.array(columns, dtype=np.float64).reshape(-1, 5),
        ramp_kw=ramp_kw,
        ramp_price=float(problem.ramp_gbp_per_kwh),
        is_soft=np.asarray(network.tree.shares.T @ soft_node.astype(np.float64)) > 0,
    )


@njit(cache=True, nogil=True)
def book(account: Account, place: int, period: int, kw: float) -> None:
    """Add power of a place, or take it off, at every node it loads."""
    add_load(account.load_kw, account.begin, account.node, account.share, place, period, kw)


@njit(cache=True, nogil=True)
def add_load(
    load_kw: FloatArray, begin: IntArray, node: IntArray, share: FloatArray, place: int, period: int, kw: float
) -> None:
    """``book`` for a loop that is too hot to hand a whole account over at each call."""
    for at in range(begin[place], begin[place + 1]):
        load_kw[node[at], period] += share[at] * kw


@njit(cache=True, nogil=True)
def room_kw(account: Account, place: int, period: int) -> float:
    """kW of the place that every hard cap still lets in."""
    return free_kw(account.cap_kw, account.load_kw, account.begin, account.node, account.share, place, period)


@njit(cache=True, nogil=True)
def free_kw(
    cap_kw: FloatArray,
    load_kw: FloatArray,
    begin: IntArray,
    node: IntArray,
    share: FloatArray,
    place: int,
    period: int,
) -> float:
    """``room_kw`` for a loop that is too hot to hand a whole account over at each call."""
    room = np.inf
    for at in range(begin[place], begin[place + 1]):
        room = min(room, (cap_kw[node[at], period] - load_kw[node[at], period]) / share[at])
    return room


@njit(cache=True, nogil=True)
def soft_offer(account: Account, place: int, period: int, quantum_kw: float, least_kw: float) -> tuple[float, float]:
    """(GBP per kWh beside the tariff for more power, kW for which that price holds).

    A turn-down is kept only if ``quantum_kw``, the smallest step, fits under it; a turn-up may be overshot by
    ``least_kw``, the smallest amount that can be added to nothing.
    """
    price, stop_kw = 0.0, np.inf
    for at in range(account.begin[place], account.begin[place + 1]):
        node, share = account.node[at], account.share[at]
        for index in range(account.request_begin[node], account.request_begin[node + 1]):
            start, end, direction, target_kw, shortfall_price = account.request[index]
            if not start <= period < end:
                continue
            under_kw = (target_kw - account.load_kw[node, period]) / share
            if direction == TURN_DOWN:
                if under_kw > max(quantum_kw - EPS_KW, EPS_KW):
                    stop_kw = min(stop_kw, under_kw)
                else:
                    price += share * shortfall_price
            elif under_kw > EPS_KW:
                stop_kw = min(stop_kw, max(under_kw + quantum_kw, least_kw))
                price -= share * shortfall_price
        if account.ramp_kw[node] < np.inf:
            price += share * account.ramp_price * _ramp_step(account, node, period, 1.0)
    return price, stop_kw


@njit(cache=True, nogil=True)
def _ramp_step(account: Account, node: int, period: int, sign: float) -> float:
    """Change of a node's ramp excess, in kW, for one more (``sign`` 1) or one less (-1) kW in the period."""
    step, load, free_kw = 0.0, account.load_kw[node], account.ramp_kw[node]
    for other in (period - 1, period + 1):
        if 0 <= other < len(load):
            away_kw = sign * (load[period] - load[other])
            step += (1.0 if away_kw >= free_kw - EPS_KW else 0.0) - (1.0 if -away_kw > free_kw + EPS_KW else 0.0)
    return step


@njit(cache=True, nogil=True)
def soft_relief(account: Account, place: int, period: int) -> float:
    """GBP per kWh, beside the tariff, saved by a little less power: the other side of ``soft_offer``."""
    saved = 0.0
    for at in range(account.begin[place], account.begin[place + 1]):
        node, share = account.node[at], account.share[at]
        for index in range(account.request_begin[node], account.request_begin[node + 1]):
            start, end, direction, target_kw, shortfall_price = account.request[index]
            if not start <= period < end:
                continue
            over_kw = account.load_kw[node, period] - target_kw
            if direction == TURN_DOWN:
                saved += share * shortfall_price if over_kw > EPS_KW else 0.0
            elif over_kw <= EPS_KW:
                saved -= share * shortfall_price
        if account.ramp_kw[node] < np.inf:
            saved -= share * account.ramp_price * _ramp_step(account, node, period, -1.0)
    return saved


@njit(cache=True, nogil=True)
def soft_cost(account: Account, place: int, period: int) -> float:
    """GBP an hour of all request shortfall and ramp excess that the place's power in the period has a hand in."""
    cost = 0.0
    for at in range(account.begin[place], account.begin[place + 1]):
        node = account.node[at]
        load = account.load_kw[node]
        for index in range(account.request_begin[node], account.request_begin[node + 1]):
            start, end, direction, target_kw, shortfall_price = account.request[index]
            if start <= period < end:
                cost += shortfall_price * max(direction * (target_kw - load[period]), 0.0)
        if account.ramp_kw[node] < np.inf:
            for later in range(max(period, 1), min(period + 2, len(load))):
                excess_kw = abs(load[later] - load[later - 1]) - account.ramp_kw[node]
                cost += account.ramp_price * max(excess_kw, 0.0)
    return cost
