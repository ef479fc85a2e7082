"""What a plan costs, taken from its stored power and nothing else."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from aggregator.core.types import Float32Array, FloatArray, IntArray
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.tree import readable


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """The four terms of the objective in GBP, and the quantities they price.

    Attributes:
        unserved_kwh: (n_session,) serveable energy left out.
        shortfall_kw: (n_request, n_period).
        node_power_kw: (n_node, n_period).
    """

    energy_gbp: float
    unserved_gbp: float
    shortfall_gbp: float
    ramp_gbp: float
    unserved_kwh: FloatArray
    shortfall_kw: FloatArray
    node_power_kw: FloatArray

    @property
    def total_gbp(self) -> float:
        return self.energy_gbp + self.unserved_gbp + self.shortfall_gbp + self.ramp_gbp


def price_plan(problem: DispatchProblem, network: Network, power_kw: FloatArray | Float32Array) -> Costs:
    """Price (n_session, n_period) power under the problem's objective, in float64.

    Each session's window is read once; outside it the check lets nothing but zero pass.
    """
    served_kw, price_kw = np.zeros(problem.n_session), np.zeros(problem.n_session)
    place_kw = np.zeros((network.tree.n_place, problem.n_period))
    windows = problem.session_start, problem.session_end
    tariffs = problem.session_tariff, problem.price_gbp_per_kwh
    _add_sessions(readable(power_kw), *windows, *tariffs, network.tree.session_place, served_kw, price_kw, place_kw)
    node_kw = network.tree.node_kw(place_kw)
    unserved_kwh = np.maximum(network.serveable_kwh - problem.step_h * served_kw, 0.0)
    shortfall = shortfall_kw(problem, node_kw)
    request_price = np.array([request.shortfall_gbp_per_kwh for request in problem.requests])
    return Costs(
        energy_gbp=float(problem.step_h * price_kw.sum()),
        unserved_gbp=float(problem.session_unserved_gbp_per_kwh @ unserved_kwh),
        shortfall_gbp=float(problem.step_h * (request_price @ shortfall.sum(axis=1))),
        ramp_gbp=float(problem.step_h * problem.ramp_gbp_per_kwh * ramp_excess_kw(problem, node_kw).sum()),
        unserved_kwh=unserved_kwh,
        shortfall_kw=shortfall,
        node_power_kw=node_kw,
    )


def shortfall_kw(problem: DispatchProblem, node_kw: FloatArray) -> FloatArray:
    """(n_request, n_period) what each request misses in each period of its window, zero outside."""
    missing = np.zeros((problem.n_request, problem.n_period))
    for index, request in enumerate(problem.requests):
        window = slice(request.start, request.end)
        over_kw = node_kw[request.node, window] - request.target_kw
        missing[index, window] = np.maximum(over_kw if request.direction == TURN_DOWN else -over_kw, 0.0)
    return missing


def ramp_excess_kw(problem: DispatchProblem, node_kw: FloatArray) -> FloatArray:
    """(n_node, n_period - 1) change between neighbouring periods beyond the node's free ramp."""
    change_kw = np.abs(np.diff(node_kw, axis=1))
    excess: FloatArray = np.maximum(change_kw - problem.node_ramp_kw[:, np.newaxis], 0.0)
    return excess


@njit(cache=True, nogil=True)
def _add_sessions(
    power_kw: FloatArray | Float32Array,
    start: IntArray,
    end: IntArray,
    tariff: IntArray,
    price: FloatArray,
    place: IntArray,
    served_kw: FloatArray,
    price_kw: FloatArray,
    place_kw: FloatArray,
) -> None:
    """Sum each session's power, its power times price (kW GBP/kWh), and each place's power; all over periods."""
    for i in range(power_kw.shape[0]):
        row, session_price, total = power_kw[i], price[tariff[i]], place_kw[place[i]]
        served = cost = 0.0
        for t in range(start[i], end[i]):
            kw = np.float64(row[t])
            served += kw
            cost += session_price[t] * kw
            total[t] += kw
        served_kw[i], price_kw[i] = served, cost
