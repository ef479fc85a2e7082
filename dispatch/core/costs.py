"""What a plan costs, taken from its stored power and nothing else."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.types import Float32Array, FloatArray
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem


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
    """Price (n_session, n_period) power under the problem's objective, in float64."""
    power = np.asarray(power_kw, dtype=np.float64)
    node_kw = network.node_power_kw(power)
    unserved_kwh = np.maximum(network.serveable_kwh - problem.step_h * power.sum(axis=1), 0.0)
    shortfall = shortfall_kw(problem, node_kw)
    request_price = np.array([request.shortfall_gbp_per_kwh for request in problem.requests])
    price = problem.price_gbp_per_kwh[problem.session_tariff]
    return Costs(
        energy_gbp=float(problem.step_h * np.einsum("it,it->", price, power)),
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
