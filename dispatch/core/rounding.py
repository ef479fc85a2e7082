"""From continuous power to what an EVSE can be told: whole amperes, 0 or at least the minimum (IEC 61851: 6 A).

A setpoint is a ceiling. The EV stops by itself when it has its energy, so the period that completes a session may
offer more than is needed, where limits hold.

Source: docs/methods/dispatch.md
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aggregator.core.types import Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core.costs import Costs, price_plan
from dispatch.core.greedy import never
from dispatch.core.ledger import Ledger
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.scenario import drawn_power_kw
from dispatch.core.sessions import by_need, connected

PHASE_KV = 0.23
LEAST_A = 6
_MOST_A = int(np.iinfo(np.int16).max)
_EPS_A = 1e-6
_EPS_KW = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Rounding:
    """Setpoints and what they cost beside the continuous plan.

    Attributes:
        setpoint_a: (n_session, n_period) amperes per phase.
        unserved_kwh: (n_session,) serveable energy the ceilings leave out.
        costs: of the power EVs draw under the ceilings.
    """

    setpoint_a: Int16Array
    unserved_kwh: FloatArray
    costs: Costs


def ampere_kw(problem: DispatchProblem) -> FloatArray:
    """(n_session,) kW of one ampere per phase."""
    kw: FloatArray = PHASE_KV * problem.session_phases.astype(np.float64)
    return kw


def least_a(problem: DispatchProblem) -> IntArray:
    """(n_session,) the smallest current the device accepts, never under 6 A."""
    amperes = np.ceil(problem.session_min_kw / ampere_kw(problem) - _EPS_A)
    return np.clip(amperes, LEAST_A, _MOST_A).astype(np.int64)


def most_a(problem: DispatchProblem) -> IntArray:
    """(n_session,) whole amperes within the rating; 0 where that is under the device's minimum: it can't be used."""
    amperes = np.minimum(np.floor(problem.session_max_kw / ampere_kw(problem) + _EPS_A), _MOST_A).astype(np.int64)
    return np.where(amperes >= least_a(problem), amperes, 0)


def round_plan(
    problem: DispatchProblem, network: Network, power_kw: Float32Array, is_late: Callable[[], bool] = never
) -> Rounding:
    """Round down everywhere, then give back whole amperes where limits allow, least slack first.

    First each session gets back the energy rounding down took from it; then whatever room is left serves what is
    still missing. Rounding down alone is safe, so stopping at any time is too.
    """
    setpoint_a = _rounded_down(problem, power_kw)
    unit_kw = ampere_kw(problem)
    planned_kwh = np.minimum(problem.step_h * power_kw.sum(axis=1, dtype=np.float64), network.serveable_kwh)
    ledger = Ledger(problem, network, setpoint_a * unit_kw[:, np.newaxis])
    raiser = _Raiser(problem, ledger, setpoint_a)
    for wanted_kwh in (planned_kwh, network.serveable_kwh):
        for session in by_need(problem).tolist():
            if is_late():
                break
            raiser.give_back(session, float(wanted_kwh[session]))
    drawn_kw = drawn_power_kw(problem, setpoint_a * unit_kw[:, np.newaxis])
    costs = price_plan(problem, network, drawn_kw)
    return Rounding(setpoint_a=setpoint_a, unserved_kwh=costs.unserved_kwh, costs=costs)


def _rounded_down(problem: DispatchProblem, power_kw: Float32Array) -> Int16Array:
    """(n_session, n_period) whole amperes under the plan, 0 where that is less than the minimum."""
    amperes = np.floor(power_kw.astype(np.float64) / ampere_kw(problem)[:, np.newaxis])
    amperes = np.minimum(amperes, most_a(problem)[:, np.newaxis])
    usable = (amperes >= least_a(problem)[:, np.newaxis]) & connected(problem)
    return np.where(usable, amperes, 0).astype(np.int16)


class _Raiser:
    """Raises setpoints by whole amperes, keeping the ledger."""

    def __init__(self, problem: DispatchProblem, ledger: Ledger, setpoint_a: Int16Array) -> None:
        self._problem, self._ledger, self._setpoint_a = problem, ledger, setpoint_a
        self._unit_kw, self._least_a, self._most_a = ampere_kw(problem), least_a(problem), most_a(problem)

    def give_back(self, session: int, wanted_kwh: float) -> None:
        """Raise the session towards its energy: where a request waits, then where it charges anyway, cheapest first."""
        unit_kwh = self._problem.step_h * float(self._unit_kw[session])
        window = self._ledger.window(session)
        row = self._setpoint_a[session, window]
        need_a = wanted_kwh / unit_kwh - int(row.sum(dtype=np.int64))
        if need_a <= _EPS_KW or self._most_a[session] == 0:
            return
        unit_kw = float(self._unit_kw[session])
        room_kw, price = self._ledger.offers(session, unit_kw, unit_kw * int(self._least_a[session]))
        tariff = self._problem.price_gbp_per_kwh[self._problem.session_tariff[session], window]
        starts_anew = (row == 0) & (price >= tariff)
        for k in np.lexsort((price, starts_anew)).tolist():
            if need_a <= _EPS_KW:
                break
            if price[k] < self._problem.session_unserved_gbp_per_kwh[session]:
                need_a -= self._raise(session, window.start + k, float(room_kw[k]), need_a)

    def _raise(self, session: int, period: int, room_kw: float, need_a: float) -> int:
        """Add what fits, at least the minimum from zero; the amperes added."""
        unit_kw, now_a = float(self._unit_kw[session]), int(self._setpoint_a[session, period])
        fits_a = math.floor(min(int(self._most_a[session]) - now_a, (room_kw + _EPS_KW) / unit_kw))
        wanted_a = math.ceil(need_a - _EPS_KW)
        if now_a == 0:
            wanted_a = max(wanted_a, int(self._least_a[session]))
        added_a = min(fits_a, wanted_a)
        if added_a <= 0 or now_a + added_a < self._least_a[session]:
            return 0
        self._setpoint_a[session, period] += added_a
        self._ledger.book(session, period, added_a * unit_kw)
        return added_a
