"""What a charging session is on its own, before any network: its window, its need, its slack."""

import numpy as np

from aggregator.core.types import BoolArray, FloatArray, IntArray
from dispatch.core.problem import DispatchProblem


def connected(problem: DispatchProblem) -> BoolArray:
    """(n_session, n_period) marks the periods in which the session's EV is plugged in."""
    period = np.arange(problem.n_period)
    mask: BoolArray = (period >= problem.session_start[:, np.newaxis]) & (period < problem.session_end[:, np.newaxis])
    return mask


def serveable_kwh(problem: DispatchProblem) -> FloatArray:
    """(n_session,) what the session could take on its own: its need, or its rating over its window if that is less."""
    window_h = problem.step_h * (problem.session_end - problem.session_start)
    energy_kwh: FloatArray = np.minimum(problem.session_energy_kwh, window_h * problem.session_max_kw)
    return energy_kwh


def slack_h(problem: DispatchProblem) -> FloatArray:
    """(n_session,) hours the session could wait and still get its energy: time to departure less time needed."""
    window_h = problem.step_h * (problem.session_end - problem.session_start)
    max_kw = problem.session_max_kw
    needed_h = np.divide(serveable_kwh(problem), max_kw, out=np.zeros_like(max_kw), where=max_kw > 0)
    slack: FloatArray = np.asarray(window_h - needed_h, dtype=np.float64)
    return slack


def by_need(problem: DispatchProblem, among: IntArray | None = None) -> IntArray:
    """Indices, dearest unserved energy first and least slack first among equals; ties keep their order.

    Args:
        among: ascending indices to put in order; all (n_session,) if not given.
    """
    slack, unserved = slack_h(problem), problem.session_unserved_gbp_per_kwh
    if among is None:
        return np.lexsort((slack, -unserved)).astype(np.int64)
    order: IntArray = among[np.lexsort((slack[among], -unserved[among]))].astype(np.int64)
    return order
