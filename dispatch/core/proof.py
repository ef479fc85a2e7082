"""From safe power to a plan that may be sent: priced, bounded, rounded, and checked against the whole problem."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aggregator.core.types import Float32Array, FloatArray, Int16Array
from dispatch.core.check import check_power, check_setpoints
from dispatch.core.costs import price_plan
from dispatch.core.greedy import never
from dispatch.core.network import Network
from dispatch.core.problem import DispatchPlan, DispatchProblem, Rung
from dispatch.core.rounding import price_setpoints, round_plan


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Power within every limit, its certificate, and where both came from.

    Attributes:
        power_kw: (n_session, n_period).
        node_price_gbp_per_kwh: (n_node, n_period), what one more kW of cap is worth.
        rung: ``certified`` stands until the gap is known.
    """

    power_kw: Float32Array
    node_price_gbp_per_kwh: FloatArray
    lower_bound_gbp: float
    method: str
    iterations: int
    rung: Rung


def prove(
    problem: DispatchProblem,
    network: Network,
    candidate: Candidate,
    *,
    gap: float,
    elapsed_s: Callable[[], float],
    is_late: Callable[[], bool] = never,
    threads: int = 1,
    setpoint_a: Int16Array | None = None,
) -> DispatchPlan:
    """Price, round and check what is stored.

    Args:
        gap: a solver's plan with a wider one is ``time-boxed``.
        elapsed_s: asked last of all, for the plan's ``solve_s``.
        is_late: asked by the rounding, which may stop at any time.
        setpoint_a: (n_session, n_period) where it is rounded already.

    Raises:
        CheckFailed: the plan broke a limit after all; a bug, and never answered with that plan.
    """
    costs = price_plan(problem, network, candidate.power_kw)
    if setpoint_a is None:
        rounding = round_plan(problem, network, candidate.power_kw, is_late, threads=threads)
    else:
        rounding = price_setpoints(problem, network, setpoint_a)
    violation_kw = max(
        check_power(problem, candidate.power_kw, costs.unserved_kwh), check_setpoints(problem, rounding.setpoint_a)
    )
    bound_gbp = candidate.lower_bound_gbp
    found_gap = (costs.total_gbp - bound_gbp) / max(1.0, abs(bound_gbp))
    unserveable_kwh = problem.session_energy_kwh - network.serveable_kwh
    return DispatchPlan(
        power_kw=candidate.power_kw,
        unserved_kwh=costs.unserved_kwh,
        unserveable_kwh=unserveable_kwh,
        shortfall_kw=costs.shortfall_kw,
        node_power_kw=costs.node_power_kw,
        node_price_gbp_per_kwh=np.maximum(candidate.node_price_gbp_per_kwh, 0.0),
        cost_gbp=costs.total_gbp,
        cost_energy_gbp=costs.energy_gbp,
        cost_unserved_gbp=costs.unserved_gbp,
        cost_shortfall_gbp=costs.shortfall_gbp,
        cost_ramp_gbp=costs.ramp_gbp,
        unavoidable_gbp=float(problem.session_unserved_gbp_per_kwh @ unserveable_kwh),
        lower_bound_gbp=bound_gbp,
        gap=found_gap,
        setpoint_a=rounding.setpoint_a,
        rounded_unserved_kwh=rounding.unserved_kwh,
        rounding_cost_gbp=rounding.costs.total_gbp - costs.total_gbp,
        max_violation_kw=violation_kw,
        rung="time-boxed" if candidate.rung == "certified" and not found_gap <= gap else candidate.rung,
        method=candidate.method,
        iterations=candidate.iterations,
        solve_s=elapsed_s(),
    )
