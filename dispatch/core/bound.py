"""The certificate: a lower bound on the cost of any plan, computed here from prices alone.

Prices may come from anywhere (a solver's duals, yesterday's plan, zero): for non-negative prices the value below is a
bound whatever they are, so a wrong price makes a weak certificate and never a false one.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from aggregator.core.types import FloatArray
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.sessions import connected

# Some 1e4 float64 additions lose at most about 1e-12 of the sum of magnitudes; the bound gives that away.
ROUNDING_MARGIN = 1e-12


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
    terms = [
        *_session_terms(problem, network, _node_charge(problem, prices)),
        -_product(prices.cap, network.cap_kw).ravel(),
        *_request_terms(problem, prices.request),
        -_product(prices.ramp_up + prices.ramp_down, problem.node_ramp_kw[:, np.newaxis]).ravel(),
    ]
    value = sum(float(term.sum()) for term in terms)
    magnitude = sum(float(np.abs(term).sum()) for term in terms)
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


def _node_charge(problem: DispatchProblem, prices: Prices) -> FloatArray:
    """(n_node, n_period) what one kW at a node costs in a period, all its rows together."""
    charge = prices.cap.copy()
    for index, asked in enumerate(problem.requests):
        sign = 1.0 if asked.direction == TURN_DOWN else -1.0
        charge[asked.node] += sign * prices.request[index]
    rise = prices.ramp_up - prices.ramp_down
    charge[:, 1:] += rise
    charge[:, :-1] -= rise
    return charge


def _session_terms(problem: DispatchProblem, network: Network, charge: FloatArray) -> list[FloatArray]:
    """Each session's cheapest answer to its prices: all unserved, less what its periods are worth serving for.

    The session fills its cheapest periods at full power up to its energy, while a period costs less than unserved.
    """
    step_h, unserved = problem.step_h, problem.session_unserved_gbp_per_kwh
    cost = (
        step_h * problem.price_gbp_per_kwh[problem.session_tariff]
        + (network.tree.place_charge(charge)[network.tree.session_place])
    )
    saving = np.where(connected(problem), np.minimum(cost - step_h * unserved[:, np.newaxis], 0.0), 0.0)
    saving.sort(axis=1)
    full_kwh = step_h * problem.session_max_kw
    periods = np.divide(network.serveable_kwh, full_kwh, out=np.zeros_like(full_kwh), where=full_kwh > 0)
    filled = np.clip(periods[:, np.newaxis] - np.arange(problem.n_period), 0.0, 1.0)
    return [unserved * network.serveable_kwh, problem.session_max_kw[:, np.newaxis] * filled * saving]


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
