"""Why a session draws what it draws: for each period one reason that agrees with the prices of the plan.

A session draws where its marginal cost is below what its energy is worth, and not where it is above: that is all
there is to a plan's reasons, and what each one here is held to.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from aggregator.core.types import FloatArray, IntArray
from dispatch.core.charges import Charge, Grid, SessionCosts, path_of, session_costs
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem

_NEAR_KW = 1e-4


class Reason(StrEnum):
    NOT_PLUGGED_IN = "not_plugged_in"
    NO_NEED = "no_need"
    CHEAPEST = "cheapest"
    AT_RATING = "at_rating"
    HELD_BY_LIMIT = "held_by_limit"
    HELD_BY_TURN_DOWN = "held_by_turn_down"
    HELD_BY_RAMP = "held_by_ramp"
    RAISED_BY_TURN_UP = "raised_by_turn_up"
    RAISED_BY_RAMP = "raised_by_ramp"
    KEPT_FOR_TURN_UP = "kept_for_turn_up"
    WAITS = "waits"
    HAS_ITS_ENERGY = "has_its_energy"
    AS_CHEAP_ELSEWHERE = "as_cheap_elsewhere"
    DEARER_THAN_UNSERVED = "dearer_than_unserved"
    NO_ROOM = "no_room"
    ROUNDED = "rounded"
    WITHIN_GAP = "within_gap"


_HELD = {"limit": Reason.HELD_BY_LIMIT, "turn_down": Reason.HELD_BY_TURN_DOWN, "ramp": Reason.HELD_BY_RAMP}
_RAISED = {"turn_up": Reason.RAISED_BY_TURN_UP, "ramp": Reason.RAISED_BY_RAMP}


@dataclass(frozen=True, slots=True)
class PeriodReason:
    """One period of a session.

    Attributes:
        total_gbp_per_kwh: tariff and charges together.
        because: the charge behind the reason, if there is one.
        until: the period it waits for; -1 where it waits for none.
        off_gbp_per_kwh: by how much the plan's prices fail to explain the period; 0 but where the reason says so.
    """

    period: int
    power_kw: float
    tariff_gbp_per_kwh: float
    total_gbp_per_kwh: float
    charges: tuple[Charge, ...]
    reason: Reason
    because: Charge | None = None
    until: int = -1
    off_gbp_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionReasons:
    """A session, period by period of the horizon.

    Attributes:
        worth_gbp_per_kwh: what its last kWh is worth; what a period costs is held against it.
        missing_kwh: serveable energy its power leaves out.
    """

    session: int
    worth_gbp_per_kwh: float
    missing_kwh: float
    periods: tuple[PeriodReason, ...]


@dataclass(frozen=True, slots=True)
class Coarseness:
    """How finely a plan can be read: exact by default, coarser once it was rounded.

    Attributes:
        near_gbp_per_kwh: costs this near to each other are alike.
        unit_kw: one ampere of the session: that near to its rating it is at it.
        least_kwh: the smallest current through one period; less than that may be lost to rounding.
    """

    near_gbp_per_kwh: float = 1e-6
    unit_kw: float = _NEAR_KW
    least_kwh: float = 1e-6


EXACT = Coarseness()


def explain_session(
    problem: DispatchProblem,
    network: Network,
    *,
    session: int,
    power_kw: FloatArray,
    grid: Grid,
    coarseness: Coarseness = EXACT,
) -> SessionReasons:
    """State for each period of the horizon why a session draws what it does.

    Args:
        session: index.
        power_kw: (n_period,) the session's power in the plan, rounded or not.
        grid: how the plan stands at every node of ``problem``.
    """
    power = np.asarray(power_kw, dtype=np.float64)
    costs = session_costs(problem, network, session=session, power_kw=power, grid=grid, lost_kwh=coarseness.least_kwh)
    missing_kwh = max(float(network.serveable_kwh[session]) - problem.step_h * float(power.sum()), 0.0)
    room = _room(network, grid, session)
    judge = _Judge(problem, session, power, costs, coarseness, missing_kwh, room)
    return SessionReasons(
        session, costs.worth_gbp_per_kwh, missing_kwh, tuple(judge.period(t) for t in range(problem.n_period))
    )


def _room(network: Network, grid: Grid, session: int) -> tuple[FloatArray, IntArray]:
    """(n_period,) kW the session could still add as the plan stands, and the node on its path that says so."""
    nodes, shares = path_of(network, session)
    free_kw = (network.cap_kw[nodes] - grid.node_power_kw[nodes]) / shares[:, np.newaxis]
    fullest = free_kw.argmin(axis=0)
    return free_kw[fullest, np.arange(free_kw.shape[1])], nodes[fullest]


class _Judge:
    """Finds the reason of one period after another."""

    def __init__(
        self,
        problem: DispatchProblem,
        session: int,
        power_kw: FloatArray,
        costs: SessionCosts,
        coarseness: Coarseness,
        missing_kwh: float,
        room: tuple[FloatArray, IntArray],
    ) -> None:
        self._least_kw = coarseness.least_kwh / problem.step_h
        self._room_kw, self._fullest = room
        self._power_kw, self._costs, self._coarse, self._missing_kwh = power_kw, costs, coarseness, missing_kwh
        self._start, self._end = int(problem.session_start[session]), int(problem.session_end[session])
        self._max_kw = float(problem.session_max_kw[session])
        self._needs = min(float(problem.session_energy_kwh[session]), self._max_kw) > 0
        self._unserved = float(problem.session_unserved_gbp_per_kwh[session])
        self._near = coarseness.near_gbp_per_kwh
        self._drawn = np.flatnonzero(power_kw > _NEAR_KW)

    def period(self, t: int) -> PeriodReason:
        reason, because, until, off = self._reason(t)
        return PeriodReason(
            period=t,
            power_kw=float(self._power_kw[t]),
            tariff_gbp_per_kwh=float(self._costs.tariff_gbp_per_kwh[t]),
            total_gbp_per_kwh=float(self._costs.total_gbp_per_kwh[t]),
            charges=self._costs.charges[t],
            reason=reason,
            because=because,
            until=until,
            off_gbp_per_kwh=off,
        )

    def _reason(self, t: int) -> tuple[Reason, Charge | None, int, float]:
        if not self._start <= t < self._end:
            return Reason.NOT_PLUGGED_IN, None, -1, 0.0
        if not self._needs:
            return Reason.NO_NEED, None, -1, 0.0
        over = float(self._costs.total_gbp_per_kwh[t]) - self._costs.worth_gbp_per_kwh
        power_kw = float(self._power_kw[t])
        is_idle, is_full = power_kw <= _NEAR_KW, power_kw >= self._max_kw - self._coarse.unit_kw
        if (over > self._near and not is_idle) or (over < -self._near and not is_full):
            if over < 0 and (full := self._without_room(t, is_idle=is_idle)):
                return Reason.NO_ROOM, full, -1, 0.0
            rounded = self._coarse.unit_kw > _NEAR_KW and self._missing_kwh <= self._coarse.least_kwh
            return (Reason.ROUNDED if rounded else Reason.WITHIN_GAP), None, -1, abs(over)
        if is_idle:
            return (*self._idle(t, over), 0.0)
        return (*self._drawing(t, over, is_full=is_full), -1, 0.0)

    def _drawing(self, t: int, over: float, *, is_full: bool) -> tuple[Reason, Charge | None]:
        if raiser := self._raiser(t, over):
            return _RAISED[raiser.kind], raiser
        if is_full:
            return Reason.AT_RATING, None
        if holder := self._holder(t):
            return _HELD[holder.kind], holder
        return Reason.CHEAPEST, None

    def _idle(self, t: int, over: float) -> tuple[Reason, Charge | None, int]:
        held = sum(charge.gbp_per_kwh for charge in self._costs.charges[t] if charge.gbp_per_kwh > self._near)
        if (holder := self._holder(t)) and over - held < -self._near:
            return _HELD[holder.kind], holder, -1
        if self._costs.tariff_gbp_per_kwh[t] >= self._unserved - self._near:
            return Reason.DEARER_THAN_UNSERVED, None, -1
        if kept := self._kept_for(t):
            return Reason.KEPT_FOR_TURN_UP, kept[0], kept[1]
        if over <= self._near:
            return Reason.AS_CHEAP_ELSEWHERE, None, -1
        later = self._drawn[self._drawn > t]
        if len(later):
            return Reason.WAITS, None, int(later[0])
        return Reason.HAS_ITS_ENERGY, None, -1

    def _without_room(self, t: int, *, is_idle: bool) -> Charge | None:
        """The limit that leaves less than the session's next step: its lowest current from 0, else an ampere."""
        step_kw = self._least_kw if is_idle else self._coarse.unit_kw
        is_rounded = self._coarse.unit_kw > _NEAR_KW
        return Charge("limit", int(self._fullest[t]), -1, 0.0) if is_rounded and self._room_kw[t] < step_kw else None

    def _holder(self, t: int) -> Charge | None:
        """The charge that holds the session down most in a period."""
        holding = [charge for charge in self._costs.charges[t] if charge.gbp_per_kwh > self._near]
        holding = [charge for charge in holding if charge.kind in _HELD]
        return max(holding, key=lambda charge: charge.gbp_per_kwh, default=None)

    def _raiser(self, t: int, over: float) -> Charge | None:
        """The charge without which the session would not draw here."""
        raising = [charge for charge in self._costs.charges[t] if charge.gbp_per_kwh < -self._near]
        raising = [charge for charge in raising if charge.kind in _RAISED]
        if over - sum(charge.gbp_per_kwh for charge in raising) <= self._near:
            return None
        return min(raising, key=lambda charge: charge.gbp_per_kwh, default=None)

    def _kept_for(self, t: int) -> tuple[Charge, int] | None:
        """A turn-up the session draws for, in a period that costs more than this one without it."""
        for at in self._drawn.tolist():
            over = float(self._costs.total_gbp_per_kwh[at]) - self._costs.worth_gbp_per_kwh
            raiser = self._raiser(at, over)
            if raiser is None or raiser.kind != "turn_up":
                continue
            if self._costs.total_gbp_per_kwh[at] - raiser.gbp_per_kwh > self._costs.total_gbp_per_kwh[t] + self._near:
                return raiser, at
        return None
