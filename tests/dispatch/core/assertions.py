"""What must hold for any plan by any method, from its stored arrays and by the tests' own additions."""

import numpy as np

from dispatch.core.problem import DispatchPlan, DispatchProblem
from tests.dispatch.core.second_opinion import added_up_kw, caps_kw, serveable_kwh


def assert_safe_and_accounted(problem: DispatchProblem, plan: DispatchPlan) -> None:
    """Every hard limit to 1e-6 kW, every kWh served or unserved."""
    power = plan.power_kw.astype(np.float64)
    assert plan.power_kw.dtype == np.float32
    period = np.arange(problem.n_period)
    inside = (period >= problem.session_start[:, None]) & (period < problem.session_end[:, None])
    assert (power >= 0).all()
    assert (power <= np.where(inside, problem.session_max_kw[:, None], 0.0) + 1e-6).all()
    load_kw = added_up_kw(problem, power)
    assert (load_kw <= caps_kw(problem) + 1e-6).all()
    served = problem.step_h * power.sum(axis=1)
    assert (plan.unserved_kwh >= 0).all()
    np.testing.assert_allclose(served + plan.unserved_kwh, serveable_kwh(problem), atol=1e-6)
    np.testing.assert_allclose(served + plan.unserved_kwh + plan.unserveable_kwh, problem.session_energy_kwh, atol=1e-6)
    np.testing.assert_allclose(plan.node_power_kw, load_kw, atol=1e-9)
    assert 0 <= plan.max_violation_kw <= 1e-6


def assert_brackets(problem: DispatchProblem, plan: DispatchPlan, optimum_gbp: float, *, gap: float) -> None:
    """``lower_bound <= optimum <= cost`` and the gap asked, beside what float32 storage leaves of dear energy.

    Both sides of an optimum get 1e-6 of it (or of a pound): that is what its own solver's tolerances leave open.
    """
    tolerance_gbp = 1e-6 * max(1.0, abs(optimum_gbp))
    assert plan.lower_bound_gbp <= optimum_gbp + tolerance_gbp
    assert optimum_gbp <= plan.cost_gbp + tolerance_gbp
    assert plan.lower_bound_gbp <= plan.cost_gbp
    assert plan.gap == (plan.cost_gbp - plan.lower_bound_gbp) / max(1.0, abs(plan.lower_bound_gbp))
    assert plan.gap <= gap + storage_gbp(problem) / max(1.0, abs(plan.lower_bound_gbp))
    assert plan.rung == ("certified" if plan.gap <= gap else "time-boxed")


def storage_gbp(problem: DispatchProblem) -> float:
    """What a last bit of float32 in each period of each session is worth unserved.

    2e-7 kWh: nothing at a few GBP/kWh, but 0.002 GBP a session at 10,000, and the plan is told what it stores.
    """
    last_bit_kw = np.spacing(problem.session_max_kw.astype(np.float32)).astype(np.float64)
    # A session's energy is spread over its window: each period may lose a bit.
    n_bit = problem.session_end - problem.session_start
    return float(problem.step_h * problem.session_unserved_gbp_per_kwh @ (n_bit * last_bit_kw))
