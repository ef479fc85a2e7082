"""The certificate: a lower bound on the cost of any plan, computed here from prices alone.

Prices may come from anywhere (a solver's duals, yesterday's plan, zero): for non-negative prices the value below is a
bound whatever they are, so a wrong price makes a weak certificate and never a false one.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import njit

from aggregator.core.types import FloatArray, IntArray
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem

# Some 1e4 float64 additions lose at most about 1e-12 of the sum of magnitudes; the bound gives that away.
ROUNDING_MARGIN = 1e-12
# Periods up to which keeping the cheapest sorted beats selecting them.
FEW = 16


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Prices of the rows that tie sessions together, in GBP per kW in one period.

    Attributes:
        cap: (n_node, n_period) of the hard cap (limit and diversity together).
        request: (n_request, n_period).
        ramp_up, ramp_down: (n_node, n_period - 1), of the change into the next period.
    """

    cap: FloatArray
    request: FloatArray
    ramp_up: FloatArray
    ramp_down: FloatArray

    @classmethod
    def zero(cls, problem: DispatchProblem) -> Self:
        change = (problem.n_node, problem.n_period - 1)
        return cls(
            cap=np.zeros((problem.n_node, problem.n_period)),
            request=np.zeros((problem.n_request, problem.n_period)),
            ramp_up=np.zeros(change),
            ramp_down=np.zeros(change),
        )


def lower_bound_gbp(problem: DispatchProblem, network: Network, prices: Prices) -> float:
    """Value the Lagrangian at ``prices``, each session solved exactly by filling its cheapest periods.

    Returns:
        GBP no plan of this problem can cost less than, a margin for float64 rounding already taken off.
    """
    prices = legal_prices(problem, network, prices)
    least_gbp, size_gbp = _sessions_gbp(problem, network, node_charge(problem, prices))
    terms = [
        problem.session_unserved_gbp_per_kwh * network.serveable_kwh,
        least_gbp,
        -_product(prices.cap, network.cap_kw).ravel(),
        *_request_terms(problem, prices.request),
        -_product(prices.ramp_up + prices.ramp_down, problem.node_ramp_kw[:, np.newaxis]).ravel(),
    ]
    value = sum(float(term.sum()) for term in terms)
    magnitude = sum(float(np.abs(term).sum()) for term in terms) + float(size_gbp.sum())
    return value - ROUNDING_MARGIN * magnitude


def legal_prices(problem: DispatchProblem, network: Network, prices: Prices) -> Prices:
    """Clip prices to where the Lagrangian is finite.

    Not negative, none on a row that has no limit, a request's not above its shortfall price, a ramp's two
    not above the ramp price together.
    """
    step_h, finite_ramp = problem.step_h, np.isfinite(problem.node_ramp_kw)[:, np.newaxis]
    cap = np.where(np.isfinite(network.cap_kw), np.maximum(prices.cap, 0.0), 0.0)
    request = np.zeros_like(prices.request)
    for index, asked in enumerate(problem.requests):
        window = slice(asked.start, asked.end)
        request[index, window] = np.clip(prices.request[index, window], 0.0, step_h * asked.shortfall_gbp_per_kwh)
    up, down = (np.where(finite_ramp, np.maximum(ramp, 0.0), 0.0) for ramp in (prices.ramp_up, prices.ramp_down))
    both = up + down
    most = step_h * problem.ramp_gbp_per_kwh
    scale = np.divide(most, both, out=np.ones_like(both), where=both > most)
    return Prices(cap=cap, request=request, ramp_up=up * scale, ramp_down=down * scale)


def node_charge(problem: DispatchProblem, prices: Prices) -> FloatArray:
    """(n_node, n_period) what one kW at a node costs in a period, all its rows together."""
    charge = prices.cap.copy()
    for index, asked in enumerate(problem.requests):
        sign = 1.0 if asked.direction == TURN_DOWN else -1.0
        charge[asked.node] += sign * prices.request[index]
    rise = prices.ramp_up - prices.ramp_down
    charge[:, 1:] += rise
    charge[:, :-1] -= rise
    return charge


def _sessions_gbp(problem: DispatchProblem, network: Network, charge: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each session's cheapest answer to its prices, and how large the numbers were that it was added up from.

    The session fills its cheapest periods at full power up to its energy, while a period costs less than unserved.

    Returns:
        (n_session,) GBP saved against leaving all unserved, not above zero; (n_session,) GBP, for the margin.
    """
    least_gbp, place_charge = np.zeros(problem.n_session), network.tree.place_charge(charge)
    unserved, price = problem.step_h * problem.session_unserved_gbp_per_kwh, problem.step_h * problem.price_gbp_per_kwh
    need_kw = network.serveable_kwh / problem.step_h
    tariff, place = problem.session_tariff, network.tree.session_place
    windows = problem.session_start, problem.session_end
    _fill_cheapest(*windows, problem.session_max_kw, need_kw, unserved, tariff, price, place, place_charge, least_gbp)
    largest = unserved + _largest(price)[tariff] + _largest(place_charge)[place]
    return least_gbp, need_kw * largest


def _largest(table: FloatArray) -> FloatArray:
    """(n_row,) the largest magnitude in each row."""
    largest: FloatArray = np.maximum(table.max(axis=1, initial=0.0), -table.min(axis=1, initial=0.0))
    return largest


@njit(cache=True, nogil=True)
def _fill_cheapest(
    start: IntArray,
    end: IntArray,
    max_kw: FloatArray,
    need_kw: FloatArray,
    unserved: FloatArray,
    tariff: IntArray,
    price: FloatArray,
    place: IntArray,
    charge: FloatArray,
    least_gbp: FloatArray,
) -> None:
    """Prices are GBP for one kW over one period; ``need_kw`` is the energy as power over one period."""
    saving = np.empty(price.shape[1])
    for i in range(len(start)):
        if max_kw[i] <= 0:
            continue
        session_price, session_charge = price[tariff[i]], charge[place[i]]
        n_full = int(need_kw[i] / max_kw[i])
        n = end[i] - start[i]
        for k in range(n):
            t = start[i] + k
            saving[k] = min(session_price[t] + session_charge[t] - unserved[i], 0.0)
        if n_full < n:
            _select(saving, n, n_full)
        value = 0.0
        for k in range(min(n_full, n)):
            value += saving[k]
        value *= max_kw[i]
        if n_full < n:
            value += min(max(need_kw[i] - n_full * max_kw[i], 0.0), max_kw[i]) * saving[n_full]
        least_gbp[i] = value


@njit(cache=True, nogil=True)
def _select(values: FloatArray, n: int, k: int) -> None:
    """Reorder ``values[:n]`` so that the k smallest come first and the next one stands at k."""
    if k < FEW:
        _select_few(values, n, k)
    else:
        _select_many(values, n, k)


@njit(cache=True, nogil=True)
def _select_few(values: FloatArray, n: int, k: int) -> None:
    """Keep k + 1 sorted at the front while the rest goes by: most EVs need few of their many periods."""
    for m in range(1, n):
        value, j = values[m], m
        if m > k:
            if value >= values[k]:
                continue
            values[m] = values[k]
            j = k
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@njit(cache=True, nogil=True)
def _select_many(values: FloatArray, n: int, k: int) -> None:
    """Hoare's selection: split around a pivot, go on in the part that holds k."""
    low, high = 0, n - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k < i:
            return
        if k <= j:
            high = j
        else:
            low = i


def _request_terms(problem: DispatchProblem, request_price: FloatArray) -> list[FloatArray]:
    signs = [-1.0 if asked.direction == TURN_DOWN else 1.0 for asked in problem.requests]
    return [
        sign * asked.target_kw * request_price[index]
        for index, (sign, asked) in enumerate(zip(signs, problem.requests, strict=True))
    ]


def _product(price: FloatArray, kw: FloatArray) -> FloatArray:
    """Price times kW where there is a price: nothing times an infinite limit is nothing."""
    full = np.broadcast_to(kw, price.shape)
    return np.multiply(price, full, out=np.zeros_like(price), where=price > 0)
