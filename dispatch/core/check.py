"""The independent check: add every node up again, by walking the tree, and hold it against the problem.

Nothing of the solver's is used here, nor of ``network.py``: two ways of adding that agree are worth more than one.
A plan that fails is an error, never a warning.
"""

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray, Int16Array
from dispatch.core.problem import DispatchProblem

TOLERANCE_KW = 1e-6
_PHASE_KV = 0.23


class CheckFailed(FlexError):
    """A plan breaks a hard limit; what, where, when and by how much are in ``details``."""

    code = "dispatch.check_failed"


def check_power(problem: DispatchProblem, power_kw: FloatArray, unserved_kwh: FloatArray) -> float:
    """Check a continuous plan: power box, energy, network, diversity.

    Args:
        power_kw: (n_session, n_period) as stored.
        unserved_kwh: (n_session,) as reported; served and unserved must make the serveable energy.

    Returns:
        The worst violation in kW, 0 if none.

    Raises:
        CheckFailed: one is above 1e-6 kW (for energy: as power over one period).
    """
    power = _as_table(problem, power_kw)
    served_kwh = problem.step_h * power.sum(axis=1)
    serveable_kwh = _serveable_kwh(problem)
    over_kw = (served_kwh - serveable_kwh) / problem.step_h
    account_kw = np.abs(served_kwh + unserved_kwh - serveable_kwh) / problem.step_h
    return max(
        _check_box(problem, power),
        _refuse_session(problem, over_kw, "draws more energy than it could take"),
        _refuse_session(problem, account_kw, "has served and unserved energy that do not make its need"),
        _refuse_session(problem, -np.asarray(unserved_kwh) / problem.step_h, "has negative unserved energy"),
        check_nodes(problem, power),
    )


def check_setpoints(problem: DispatchProblem, setpoint_a: Int16Array) -> float:
    """Check a rounding as if every EV drew its ceiling: floor, box, network, diversity, one period rounded up at most.

    Returns:
        The worst violation in kW, 0 if none.

    Raises:
        CheckFailed: one is above 1e-6 kW, or a current lies between 0 and the device's minimum.
    """
    amperes = np.asarray(setpoint_a).astype(np.int64)
    unit_kw = _PHASE_KV * problem.session_phases
    least_a = np.maximum(6, np.ceil(problem.session_min_kw / unit_kw - 1e-6))
    under = (amperes != 0) & (amperes < least_a[:, np.newaxis])
    gap_kw = np.where(under, (least_a[:, np.newaxis] - amperes) * unit_kw[:, np.newaxis], 0.0)
    _refuse_session(problem, gap_kw.max(axis=1, initial=0.0), "has a current under its minimum that is not 0")
    ceiling = _as_table(problem, amperes * unit_kw[:, np.newaxis])
    last = problem.n_period - 1 - np.argmax(amperes[:, ::-1] > 0, axis=1) if ceiling.size else np.zeros(0, dtype=int)
    before_kw = ceiling.sum(axis=1) - ceiling[np.arange(problem.n_session), last]
    beyond_kw = before_kw - _serveable_kwh(problem) / problem.step_h
    return max(
        _check_box(problem, ceiling),
        _refuse_session(problem, beyond_kw, "is offered more than its energy before its last period"),
        check_nodes(problem, ceiling),
    )


def check_nodes(problem: DispatchProblem, power_kw: FloatArray) -> float:
    """Check limit and diversity of every node and period; the worst violation in kW."""
    load_kw = add_up(problem, power_kw)
    limit_kw = np.where(problem.node_limit_kw > 0, problem.node_limit_kw, 0.0)
    worst = _refuse_node(problem, load_kw - limit_kw, "limit")
    diverse = np.flatnonzero(problem.node_diversity < 1)
    if len(diverse):
        rated = np.zeros((problem.n_session, problem.n_period))
        for i in range(problem.n_session):
            rated[i, problem.session_start[i] : problem.session_end[i]] = problem.session_max_kw[i]
        allowed_kw = np.full_like(load_kw, np.inf)
        allowed_kw[diverse] = problem.node_diversity[diverse, np.newaxis] * add_up(problem, rated)[diverse]
        worst = max(worst, _refuse_node(problem, load_kw - allowed_kw, "diversity limit"))
    return worst


def add_up(problem: DispatchProblem, power_kw: FloatArray) -> FloatArray:
    """(n_node, n_period) load of each node, by handing every node's own sessions up to its parent."""
    power = np.asarray(power_kw, dtype=np.float64)
    single = np.zeros((problem.n_node, problem.n_period))
    triple = np.zeros_like(single)
    one_phase = problem.session_phases == 1
    np.add.at(single, problem.session_node[one_phase], power[one_phase])
    np.add.at(triple, problem.session_node[~one_phase], power[~one_phase])
    load = single + triple
    for v in range(problem.n_node - 1, -1, -1):
        parent = problem.node_parent[v]
        if parent >= 0:
            load[parent] += load[v]
    for v in range(problem.n_node):
        parent = problem.node_parent[v]
        if parent >= 0 and problem.node_is_phase[v]:
            load[v] += single[parent] + triple[parent] / 3.0
    return load


def _check_box(problem: DispatchProblem, power: FloatArray) -> float:
    period = np.arange(problem.n_period)
    start, end = problem.session_start[:, np.newaxis], problem.session_end[:, np.newaxis]
    most_kw = np.where((period >= start) & (period < end), problem.session_max_kw[:, np.newaxis], 0.0)
    over_kw = np.maximum(power - most_kw, -power).max(axis=1, initial=0.0)
    return _refuse_session(problem, over_kw, "leaves the range from 0 to its rating while connected")


def _serveable_kwh(problem: DispatchProblem) -> FloatArray:
    most_kwh = problem.step_h * problem.session_max_kw * (problem.session_end - problem.session_start)
    energy: FloatArray = np.where(problem.session_energy_kwh < most_kwh, problem.session_energy_kwh, most_kwh)
    return energy


def _as_table(problem: DispatchProblem, power_kw: FloatArray) -> FloatArray:
    power = np.asarray(power_kw, dtype=np.float64)
    if power.shape != (problem.n_session, problem.n_period) or not np.isfinite(power).all():
        raise CheckFailed(
            f"power has shape {power.shape} or is not finite; expected finite {(problem.n_session, problem.n_period)}"
        )
    return power


def _refuse_session(problem: DispatchProblem, excess_kw: FloatArray, what: str) -> float:
    """The worst of (n_session,) excesses, not under 0; above the tolerance, or NaN, is refused."""
    if not len(excess_kw):
        return 0.0
    at = int(np.argmax(excess_kw))  # argmax stops at a NaN
    worst = float(excess_kw[at])
    if not worst <= TOLERANCE_KW:
        who = str(problem.session_ids[at])
        raise CheckFailed(f"session {who!r} {what}, by {worst:.6g} kW", session=who, excess_kw=worst)
    return worst if worst > 0 else 0.0


def _refuse_node(problem: DispatchProblem, excess_kw: FloatArray, what: str) -> float:
    """The worst of (n_node, n_period) excesses, not under 0; above the tolerance, or NaN, is refused."""
    if not excess_kw.size:
        return 0.0
    node, period = (int(at) for at in np.unravel_index(np.argmax(excess_kw), excess_kw.shape))
    worst = float(excess_kw[node, period])
    if not worst <= TOLERANCE_KW:
        who = str(problem.node_ids[node])
        raise CheckFailed(
            f"node {who!r} is over its {what} in period {period} by {worst:.6g} kW",
            node=who,
            period=period,
            excess_kw=worst,
        )
    return worst if worst > 0 else 0.0
