"""The independent check: add every node up again, by walking the tree, and hold it against the problem.

Nothing of the solver's is used here, nor of ``network.py`` or ``tree.py``: two ways of adding that agree are worth
more than one. Every sum is float64, whatever the plan is stored in. A plan that fails is an error, never a warning.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core.problem import DispatchProblem

# Power as planned (kW), or whole amperes.
Table: TypeAlias = FloatArray | Float32Array | Int16Array

TOLERANCE_KW = 1e-6
_PHASE_KV = 0.23


class CheckFailed(FlexError):
    """A plan breaks a hard limit; what, where, when and by how much are in ``details``."""

    code = "dispatch.check_failed"


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What one reading of a table yields, all in kW.

    Attributes:
        over_kw: (n_session,) the worst of what leaves the range from 0 to the rating while connected.
        served_kw: (n_session,) power added up over periods.
        load_kw: (n_node, n_period).
    """

    over_kw: FloatArray
    served_kw: FloatArray
    load_kw: FloatArray
    is_finite: bool


def check_power(problem: DispatchProblem, power_kw: FloatArray | Float32Array, unserved_kwh: FloatArray) -> float:
    """Check a continuous plan: power box, energy, network, diversity.

    Args:
        power_kw: (n_session, n_period) as stored.
        unserved_kwh: (n_session,) as reported; served and unserved must make the serveable energy.

    Returns:
        The worst violation in kW, 0 if none.

    Raises:
        CheckFailed: one is above 1e-6 kW (for energy: as power over one period).
    """
    sums = _finite_sums(problem, power_kw, np.ones(problem.n_session))
    serveable_kw = _serveable_kwh(problem) / problem.step_h
    unserved_kw = np.asarray(unserved_kwh) / problem.step_h
    account_kw = np.abs(sums.served_kw + unserved_kw - serveable_kw)
    return max(
        _refuse_session(problem, sums.over_kw, "leaves the range from 0 to its rating while connected"),
        _refuse_session(problem, sums.served_kw - serveable_kw, "draws more energy than it could take"),
        _refuse_session(problem, account_kw, "has served and unserved energy that do not make its need"),
        _refuse_session(problem, -unserved_kw, "has negative unserved energy"),
        _check_load(problem, sums.load_kw),
    )


def check_setpoints(problem: DispatchProblem, setpoint_a: Int16Array) -> float:
    """Check a rounding as if every EV drew its ceiling: floor, box, network, diversity, one period rounded up at most.

    Args:
        setpoint_a: (n_session, n_period) int16.

    Returns:
        The worst violation in kW, 0 if none.

    Raises:
        CheckFailed: one is above 1e-6 kW, or a current lies between 0 and the device's minimum.
    """
    if np.asarray(setpoint_a).dtype != np.int16:
        raise CheckFailed(f"setpoints have dtype {np.asarray(setpoint_a).dtype}; expected int16")
    ampere_kw: FloatArray = _PHASE_KV * problem.session_phases.astype(np.float64)
    least_a = np.maximum(6, np.ceil(problem.session_min_kw / ampere_kw - 1e-6))
    sums = _finite_sums(problem, setpoint_a, ampere_kw)
    missing_a, last_a = np.zeros(problem.n_session), np.zeros(problem.n_session)
    _read_currents(_readable(setpoint_a), least_a, missing_a, last_a)
    beyond_kw = sums.served_kw - last_a * ampere_kw - _serveable_kwh(problem) / problem.step_h
    return max(
        _refuse_session(problem, missing_a * ampere_kw, "has a current under its minimum that is not 0"),
        _refuse_session(problem, sums.over_kw, "leaves the range from 0 to its rating while connected"),
        _refuse_session(problem, beyond_kw, "is offered more than its energy before its last period"),
        _check_load(problem, sums.load_kw),
    )


def check_nodes(problem: DispatchProblem, power_kw: FloatArray | Float32Array) -> float:
    """Check limit and diversity of every node and period; the worst violation in kW."""
    return _check_load(problem, _finite_sums(problem, power_kw, np.ones(problem.n_session)).load_kw)


def add_up(problem: DispatchProblem, power_kw: FloatArray | Float32Array) -> FloatArray:
    """(n_node, n_period) load of each node, by handing every node's own sessions up to its parent."""
    return _sums(problem, _readable(power_kw), np.ones(problem.n_session)).load_kw


def _check_load(problem: DispatchProblem, load_kw: FloatArray) -> float:
    none = np.ones(problem.n_node)
    worst = _refuse_node(problem, _worst_node(load_kw, problem.node_limit_kw, none), "limit")
    if (problem.node_diversity < 1).any():
        own_kw, phase_kw = np.zeros_like(load_kw), np.zeros_like(load_kw)
        windows = problem.session_start, problem.session_end
        _add_ratings(problem.session_node, problem.session_phases, *windows, problem.session_max_kw, own_kw, phase_kw)
        _hand_up(problem.node_parent, problem.node_is_phase, own_kw, phase_kw)
        factor = np.where(problem.node_diversity < 1, problem.node_diversity, np.inf)
        worst = max(worst, _refuse_node(problem, _worst_node(load_kw, own_kw, factor), "diversity limit"))
    return worst


def _finite_sums(problem: DispatchProblem, table: Table, unit_kw: FloatArray) -> _Sums:
    found, expected = np.shape(table), (problem.n_session, problem.n_period)
    if found != expected:
        raise CheckFailed(f"the plan has shape {found}; expected {expected}")
    sums = _sums(problem, _readable(table), unit_kw)
    if not sums.is_finite:
        raise CheckFailed("the plan holds power that is not finite")
    return sums


def _sums(problem: DispatchProblem, table: Table, unit_kw: FloatArray) -> _Sums:
    """Read a (n_session, n_period) table of multiples of (n_session,) ``unit_kw`` once."""
    over_kw, served_kw = np.zeros(problem.n_session), np.zeros(problem.n_session)
    load_kw = np.zeros((problem.n_node, problem.n_period))
    phase_kw = np.zeros_like(load_kw)
    session = problem.session_node, problem.session_phases, problem.session_start, problem.session_end
    is_finite = _read_power(table, unit_kw, *session, problem.session_max_kw, over_kw, served_kw, load_kw, phase_kw)
    _hand_up(problem.node_parent, problem.node_is_phase, load_kw, phase_kw)
    return _Sums(over_kw, served_kw, load_kw, bool(is_finite))


@njit(cache=True, nogil=True)
def _read_power(
    table: Table,
    unit_kw: FloatArray,
    node: IntArray,
    phases: IntArray,
    start: IntArray,
    end: IntArray,
    max_kw: FloatArray,
    over_kw: FloatArray,
    served_kw: FloatArray,
    own_kw: FloatArray,
    phase_kw: FloatArray,
) -> bool:
    """Add each session to its node, and to what each phase below that node carries of it; whether all is finite.

    An unknown phase may be any, so each carries all of it; three phases share.
    """
    is_finite = True
    for i in range(table.shape[0]):
        row, unit, most_kw, own, each = table[i], unit_kw[i], max_kw[i], own_kw[node[i]], phase_kw[node[i]]
        part = 1.0 if phases[i] == 1 else 1.0 / 3.0
        over = served = 0.0
        for t in range(len(row)):
            kw = row[t] * unit
            if kw != 0.0:
                is_finite &= kw - kw == 0.0
                over = max(over, -kw, kw - most_kw if start[i] <= t < end[i] else kw)
                served += kw
                own[t] += kw
                each[t] += part * kw
        over_kw[i], served_kw[i] = over, served
    return is_finite


@njit(cache=True, nogil=True)
def _add_ratings(
    node: IntArray,
    phases: IntArray,
    start: IntArray,
    end: IntArray,
    max_kw: FloatArray,
    own_kw: FloatArray,
    phase_kw: FloatArray,
) -> None:
    """What the sessions connected could draw, at their own node and on each phase below it."""
    for i in range(len(node)):
        part = 1.0 if phases[i] == 1 else 1.0 / 3.0
        for t in range(start[i], end[i]):
            own_kw[node[i], t] += max_kw[i]
            phase_kw[node[i], t] += part * max_kw[i]


@njit(cache=True, nogil=True)
def _hand_up(parent: IntArray, is_phase: BoolArray, load_kw: FloatArray, phase_kw: FloatArray) -> None:
    """Turn what hangs on each node itself into what it carries, in place: children first, their parents after."""
    for v in range(len(parent) - 1, -1, -1):
        if parent[v] >= 0:
            load_kw[parent[v]] += load_kw[v]
    for v in range(len(parent)):
        if parent[v] >= 0 and is_phase[v]:
            load_kw[v] += phase_kw[parent[v]]


@njit(cache=True, nogil=True)
def _read_currents(amperes: Table, least_a: FloatArray, missing_a: FloatArray, last_a: FloatArray) -> None:
    """Per session: how far its worst current is under the minimum without being 0, and its last current above 0."""
    for i in range(amperes.shape[0]):
        for t in range(amperes.shape[1]):
            if amperes[i, t] != 0:
                missing_a[i] = max(missing_a[i], least_a[i] - amperes[i, t])
                if amperes[i, t] > 0:
                    last_a[i] = amperes[i, t]


@njit(cache=True, nogil=True)
def _worst_node(load_kw: FloatArray, allowed_kw: FloatArray, factor: FloatArray) -> tuple[float, int, int]:
    """The largest excess over factor times what is allowed (not under 0), its node and period; the first NaN at once.

    An infinite factor allows anything.
    """
    worst, node, period = -np.inf, 0, 0
    for v in range(load_kw.shape[0]):
        for t in range(load_kw.shape[1]):
            excess = load_kw[v, t]
            if factor[v] < np.inf:
                excess -= factor[v] * max(allowed_kw[v, t], 0.0)
            elif excess == excess:
                continue
            if not excess <= worst:
                worst, node, period = excess, v, t
                if worst != worst:
                    return worst, node, period
    return worst, node, period


def _serveable_kwh(problem: DispatchProblem) -> FloatArray:
    most_kwh = problem.step_h * problem.session_max_kw * (problem.session_end - problem.session_start)
    energy: FloatArray = np.where(problem.session_energy_kwh < most_kwh, problem.session_energy_kwh, most_kwh)
    return energy


def _readable(table: NDArray[Any]) -> Table:
    """The table as a kernel compiled once for each of three types reads it: contiguous, not to be written."""
    found = np.ascontiguousarray(table)
    if found.dtype not in (np.float32, np.float64, np.int16):
        found = found.astype(np.float64)
    found = found.view()
    found.flags.writeable = False
    return found


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


def _refuse_node(problem: DispatchProblem, found: tuple[float, int, int], what: str) -> float:
    """The worst excess of (kW, node, period), not under 0; above the tolerance, or NaN, is refused."""
    worst, node, period = found
    if not worst <= TOLERANCE_KW:
        who = str(problem.node_ids[node])
        raise CheckFailed(
            f"node {who!r} is over its {what} in period {period} by {worst:.6g} kW",
            node=who,
            period=period,
            excess_kw=worst,
        )
    return max(worst, 0.0)
