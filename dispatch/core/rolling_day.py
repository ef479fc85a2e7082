"""A whole day dispatched anew every period, on virtual EVSEs that do what real sessions did."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.behaviour import BehaviourDraws
from aggregator.core.fleet_state import observe
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, Int16Array
from dispatch.core.redispatch import Day, RollingRule, Told, redispatch
from dispatch.core.rounding import ampere_kw
from dispatch.core.steady import NOTHING_TOLD


@dataclass(frozen=True, slots=True, eq=False)
class RolledDay:
    """What EVSEs were told in the end.

    Attributes:
        setpoint_a: (n_evse, n_period); 0 in periods that began without an EV, which nobody was told anything in.
        n_changed: (n_period,) EVSEs told something else than they had been sent for the same time.
    """

    setpoint_a: Int16Array
    n_changed: Int16Array


def roll_day(
    day: Day,
    sessions: SessionHistory,
    *,
    draws: BehaviourDraws,
    rated_kw: FloatArray,
    grid: TimeGrid,
    told_a: Int16Array,
    rule: RollingRule,
) -> RolledDay:
    """Dispatch anew at the start of every period; an EV that comes within it waits for the next.

    Args:
        sessions, draws, rated_kw: as for ``virtual_evse.deliver``.
        told_a: (n_evse, n_period) the plan in force when the day begins.

    Raises:
        CheckFailed: a bug; a plan or its ceilings broke a limit.
    """
    standing_a, issued_a = told_a.astype(np.int16, copy=True), np.zeros(told_a.shape, dtype=np.int16)
    unit_kw = ampere_kw(day.everyone)[:, np.newaxis]
    nothing_sent = np.full((len(told_a), 0), NOTHING_TOLD, dtype=np.int16)
    told = Told(standing_a, nothing_sent)
    n_changed = np.zeros(grid.n_period, dtype=np.int16)
    for now in range(grid.n_period):
        state = observe(sessions, draws=draws, setpoint_kw=issued_a * unit_kw, rated_kw=rated_kw, grid=grid, now=now)
        if not state.is_present.any():  # nobody to tell anything: what stands still stands
            told = Told(standing_a, nothing_sent, told.last)
            continue
        found = redispatch(day, state, told, rule)
        standing_a[:, now:] = found.setpoint_a
        is_there = state.is_present[:, np.newaxis]
        issued_a[:, now] = np.where(state.is_present, found.setpoint_a[:, 0], 0)
        sent_a = np.where(is_there, found.setpoint_a[:, 1 : rule.told_periods], NOTHING_TOLD).astype(np.int16)
        told = Told(standing_a, sent_a, (found.plan, found.remaining.problem, now))
        n_changed[now] = found.is_changed.sum()
    return RolledDay(issued_a, n_changed)
