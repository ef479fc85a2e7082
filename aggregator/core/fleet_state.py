"""The fleet as it is now: who is plugged in, what each EV has drawn, who no longer listens."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from aggregator.core.behaviour import BehaviourDraws
from aggregator.core.errors import FlexError
from aggregator.core.intervals import periods_from_start
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray
from aggregator.core.virtual_evse import deliver

AWAITED, PLUGGED_IN, LEFT = 0, 1, 2
_FULL_KWH = 1e-6


class InvalidFleetState(FlexError):
    code = "fleet_state.invalid"


@dataclass(frozen=True, slots=True)
class FleetState:
    """What is known of every EVSE when a period starts.

    Attributes:
        evse_ids: (n_evse,) pseudonyms.
        now: index of the period that starts, on the charging day's grid.
        presence: (n_evse,) ``AWAITED`` (no EV came yet this charging day), ``PLUGGED_IN`` or ``LEFT``.
        since: (n_evse,) position on the grid at which the EV there plugged in, in periods; NaN without an EV.
        delivered_kwh: (n_evse,) drawn by the EV there since then; 0 without an EV.
        is_full: (n_evse,) the EV there stopped drawing under a ceiling it could have drawn.
        is_overridden: (n_evse,) its consumer took over: it draws what it wants.
        is_offline: (n_evse,) it doesn't hear setpoints, so what is known of it is old.
        declared_kwh, declared_end: (n_evse,) what the EV said it still needs, and the period it leaves by; NaN where
            it said nothing.

    Raises:
        InvalidFleetState: shapes differ, or a value that can't be.
    """

    evse_ids: StrArray
    now: int
    presence: IntArray
    since: FloatArray
    delivered_kwh: FloatArray
    is_full: BoolArray
    is_overridden: BoolArray
    is_offline: BoolArray
    declared_kwh: FloatArray
    declared_end: FloatArray

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if name != "now" and value.shape != (self.n_evse,):
                raise InvalidFleetState(f"{name} has shape {value.shape}, expected ({self.n_evse},)", field=name)
        if self.now < 0:
            raise InvalidFleetState(f"now is {self.now}, expected a period of at least 0", field="now")
        self._refuse("presence", ~np.isin(self.presence, (AWAITED, PLUGGED_IN, LEFT)))
        self._refuse("since", (self.presence == PLUGGED_IN) & ~(self.since <= self.now))
        self._refuse("delivered_kwh", ~(np.isfinite(self.delivered_kwh) & (self.delivered_kwh >= 0)))
        self._refuse("is_overridden", self.is_overridden & (self.presence != PLUGGED_IN))
        self._refuse("declared_kwh", (self.declared_kwh < 0) | np.isinf(self.declared_kwh))
        self._refuse("declared_end", np.isinf(self.declared_end))

    @property
    def n_evse(self) -> int:
        return len(self.evse_ids)

    @property
    def is_present(self) -> BoolArray:
        """(n_evse,) with an EV, as far as is known."""
        present: BoolArray = self.presence == PLUGGED_IN
        return present

    def _refuse(self, name: str, is_bad: BoolArray) -> None:
        if is_bad.any():
            row = int(np.argmax(is_bad))
            raise InvalidFleetState(
                f"EVSE {self.evse_ids[row]} has an impossible {name} at period {self.now}: {getattr(self, name)[row]}",
                field=name,
                evse_id=str(self.evse_ids[row]),
            )


def nobody_yet(evse_ids: StrArray, *, now: int) -> FleetState:
    """A fleet whose EVs are all still awaited."""
    n_evse = len(evse_ids)
    none, unknown = np.zeros(n_evse, dtype=np.bool_), np.full(n_evse, np.nan)
    return FleetState(
        evse_ids, now, np.full(n_evse, AWAITED), unknown, np.zeros(n_evse), none, none, none, unknown, unknown
    )


def observe(
    sessions: SessionHistory,
    *,
    draws: BehaviourDraws,
    setpoint_kw: FloatArray,
    rated_kw: FloatArray,
    grid: TimeGrid,
    now: int,
) -> FleetState:
    """What can be known of simulated EVs when period ``now`` starts; their need and departure can't.

    Args:
        sessions: of the charging day, as they really happen.
        setpoint_kw: (n_evse, n_period) ceilings told so far; from ``now`` on they're not looked at.
        rated_kw: (n_session,).
    """
    plug_in, plug_out = periods_from_start(sessions.plug_in_at, grid), periods_from_start(sessions.plug_out_at, grid)
    came = (plug_in <= now) & ~draws.is_absent & (plug_in < grid.n_period)
    row = _last_of_each(sessions.evse, plug_in, came)
    there = row[plug_out[row] > now]
    drawn_kwh = np.zeros(len(sessions))
    drawn_kwh[came] = _drawn_kwh(sessions, draws, setpoint_kw, rated_kw, grid, now, came)
    evse, override = sessions.evse[there], periods_from_start(draws.override_at[there], grid)
    n_evse = len(sessions.evse_ids)
    presence, since = np.full(n_evse, AWAITED), np.full(n_evse, np.nan)
    presence[sessions.evse[row]], presence[evse], since[evse] = LEFT, PLUGGED_IN, plug_in[there]
    delivered_kwh, is_full, is_overridden = np.zeros(n_evse), np.zeros(n_evse, np.bool_), np.zeros(n_evse, np.bool_)
    delivered_kwh[evse] = drawn_kwh[there]
    is_full[evse] = drawn_kwh[there] >= sessions.energy_kwh[there] - _FULL_KWH
    is_overridden[evse] = ~np.isnat(draws.override_at[there]) & (override <= now)
    unknown = np.full(n_evse, np.nan)
    return FleetState(
        sessions.evse_ids,
        now,
        presence,
        since,
        delivered_kwh,
        is_full,
        is_overridden,
        np.zeros(n_evse, dtype=np.bool_),
        unknown,
        unknown,
    )


def declared(sessions: SessionHistory, *, metered_kwh: FloatArray, grid: TimeGrid, at: datetime) -> FleetState:
    """The state at an instant from sessions that were announced with their energy and departure.

    Args:
        sessions: known by then.
        metered_kwh: (n_evse, n_period) known to have been drawn; 0 where nothing is known.

    Raises:
        InvalidFleetState: an instant outside the grid.
    """
    now = int((at - grid.starts_at) // timedelta(minutes=grid.period_minutes))
    if not 0 <= now < grid.n_period:
        raise InvalidFleetState(
            f"{at.isoformat()} lies outside the day from {grid.starts_at.isoformat()} to {grid.ends_at.isoformat()}"
        )
    plug_in, plug_out = periods_from_start(sessions.plug_in_at, grid), periods_from_start(sessions.plug_out_at, grid)
    exactly = (at - grid.starts_at) / timedelta(minutes=grid.period_minutes)
    row = _last_of_each(sessions.evse, plug_in, (plug_in >= 0) & (plug_in <= exactly))
    there = row[plug_out[row] > exactly]
    state, evse = nobody_yet(sessions.evse_ids, now=now), sessions.evse[there]
    since, begun = np.minimum(plug_in[there], now), np.floor(plug_in[there]).astype(np.int64)
    period = np.arange(grid.n_period)
    drawn_kwh = np.where((period >= begun[:, np.newaxis]) & (period <= now), metered_kwh[evse], 0.0).sum(axis=1)
    presence, is_full = state.presence.copy(), state.is_full.copy()
    presence[sessions.evse[row]], presence[evse] = LEFT, PLUGGED_IN
    is_full[evse] = drawn_kwh >= sessions.energy_kwh[there] - _FULL_KWH
    return replace(
        state,
        presence=presence,
        is_full=is_full,
        since=_placed(state.since, evse, since),
        delivered_kwh=_placed(state.delivered_kwh, evse, drawn_kwh),
        declared_kwh=_placed(state.declared_kwh, evse, np.maximum(sessions.energy_kwh[there] - drawn_kwh, 0.0)),
        declared_end=_placed(state.declared_end, evse, np.floor(plug_out[there])),
    )


def _placed(values: FloatArray, at: IntArray, found: FloatArray) -> FloatArray:
    placed = values.copy()
    placed[at] = found
    return placed


def _last_of_each(evse: IntArray, plug_in: FloatArray, chosen: BoolArray) -> IntArray:
    """Rows of the latest chosen session at each EVSE: when the next one starts, the one before has left."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((plug_in[rows], evse[rows]))]
    is_last = np.append(evse[rows][1:] != evse[rows][:-1], True) if len(rows) else np.zeros(0, dtype=np.bool_)
    last: IntArray = rows[is_last]
    return last


def _drawn_kwh(
    sessions: SessionHistory,
    draws: BehaviourDraws,
    setpoint_kw: FloatArray,
    rated_kw: FloatArray,
    grid: TimeGrid,
    now: int,
    came: BoolArray,
) -> FloatArray:
    """(n_came,) energy drawn before ``now`` by sessions that came; nothing by one that comes this instant."""
    drawn_kwh = np.zeros(int(came.sum()))
    earlier = periods_from_start(sessions.plug_in_at[came], grid) < now
    if now == 0 or not earlier.any():
        return drawn_kwh
    chosen = np.flatnonzero(came)[earlier]
    mask = np.zeros(len(sessions), dtype=np.bool_)
    mask[chosen] = True
    so_far = deliver(
        sessions.select(mask),
        setpoint_kw=setpoint_kw[:, :now],
        rated_kw=rated_kw[mask],
        grid=TimeGrid(grid.starts_at, now, grid.period_minutes),
        draws=BehaviourDraws(draws.is_absent[mask], draws.override_at[mask]),
    )
    drawn_kwh[earlier] = so_far.delivered_kwh
    return drawn_kwh
