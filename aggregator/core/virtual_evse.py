"""What virtual EVSEs draw: on their own, and under setpoints that are ceilings."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.behaviour import BehaviourDraws, randomised_delay_s
from aggregator.core.errors import FlexError
from aggregator.core.intervals import periods_from_start, split_by_period
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray


class InvalidDelivery(FlexError):
    code = "delivery.invalid"


class SessionOutsideGrid(FlexError):
    code = "delivery.session_outside_grid"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was drawn.

    Attributes:
        energy_kwh: (n_evse, n_period) as each asset meter would read it.
        asked_kwh: (n_session,) what the session could take on its own, min(energy, rating x time plugged in on the
            grid); 0 for a vehicle that did not show up.
        delivered_kwh, unserved_kwh: (n_session,) delivered + unserved = asked.
        is_absent, is_overridden: (n_session,).
    """

    energy_kwh: FloatArray
    asked_kwh: FloatArray
    delivered_kwh: FloatArray
    unserved_kwh: FloatArray
    is_absent: BoolArray
    is_overridden: BoolArray


def uncontrolled_energy_kwh(sessions: SessionHistory, *, rated_kw: FloatArray, grid: TimeGrid) -> FloatArray:
    """Energy drawn per EVSE and period when each session charges at its rating from plug-in until it is full.

    Sessions that overlap at one EVSE add up, so the fleet's energy is the sum of what its sessions could take.

    Args:
        rated_kw: (n_session,) above 0.

    Returns:
        (n_evse, n_period) kWh; what falls outside the grid is left out.

    Raises:
        InvalidDelivery: ``rated_kw`` of another shape, or not positive and finite.
    """
    _check_rating(sessions, rated_kw)
    plug_in = periods_from_start(sessions.plug_in_at, grid)
    plug_out = periods_from_start(sessions.plug_out_at, grid)
    full = plug_in + sessions.energy_kwh / rated_kw / grid.step_h
    pieces = split_by_period(plug_in, np.minimum(full, plug_out), grid.n_period)
    energy_kwh = np.zeros((len(sessions.evse_ids), grid.n_period))
    piece_kwh = pieces.share * rated_kw[pieces.row] * grid.step_h
    np.add.at(energy_kwh, (sessions.evse[pieces.row], pieces.period), piece_kwh)
    return energy_kwh


def uncontrolled_power_kw(sessions: SessionHistory, *, rated_kw: FloatArray, grid: TimeGrid) -> FloatArray:
    """Mean power per EVSE and period of ``uncontrolled_energy_kwh``: (n_evse, n_period) kW."""
    power_kw: FloatArray = uncontrolled_energy_kwh(sessions, rated_kw=rated_kw, grid=grid) / grid.step_h
    return power_kw


def deliver(
    sessions: SessionHistory,
    *,
    setpoint_kw: FloatArray,
    rated_kw: FloatArray,
    grid: TimeGrid,
    draws: BehaviourDraws | None = None,
    delay_max_s: IntArray | int = 0,
) -> Delivery:
    """Let real sessions charge under setpoints, each a ceiling, until they have their energy or leave.

    A vehicle takes its rating or the ceiling, whichever is lower, from plug-in to plug-out, part periods pro rata.
    From the moment of an override it charges at its rating. A session still plugged in when the next one starts at
    the same EVSE has left: one EVSE charges one EV.

    Args:
        setpoint_kw: (n_evse, n_period) in the order of ``sessions.evse_ids``, finite, not negative.
        rated_kw: (n_session,) above 0.
        draws: overrides and no-shows; none when absent.
        delay_max_s: largest randomised delay of a change that starts with each period, whole seconds, broadcast to
            (n_evse, n_period). 0 for response DSR and where an equivalent delay was already applied. It also delays
            a session that plugs in under a ceiling above 0. While a decrease is delayed the ceiling before it
            stands, so a network limit can be exceeded for that long: randomise routine setpoints beforehand and
            pass 0, or leave room.

    Raises:
        InvalidDelivery: a shape, rating, setpoint or delay that cannot be.
        SessionOutsideGrid: a session that plugs in before the grid starts or after it ends.
    """
    _check_rating(sessions, rated_kw)
    _check_setpoints(sessions, setpoint_kw, grid)
    draws = draws or _undisturbed(len(sessions))
    delay_s = _delays_s(sessions, setpoint_kw, grid, np.broadcast_to(np.asarray(delay_max_s), setpoint_kw.shape))
    plug_in, plug_out = _window(sessions, grid)
    asked_kwh = np.minimum(sessions.energy_kwh, rated_kw * (plug_out - plug_in) * grid.step_h)
    asked_kwh = np.where(draws.is_absent, 0.0, asked_kwh)
    # A vehicle that did not come does not push out the one before.
    leaves = np.minimum(plug_out, _next_plug_in(sessions, np.where(draws.is_absent, np.inf, plug_in)))
    is_overridden = ~np.isnat(draws.override_at) & ~draws.is_absent
    override = np.where(is_overridden, periods_from_start(draws.override_at, grid), np.inf)
    starts = _first_draw(sessions, setpoint_kw, delay_s, np.asarray(delay_max_s), plug_in, grid)
    ceilings = _Ceilings(setpoint_kw, delay_s / (grid.step_h * 3600))
    available_kwh = grid.step_h * (
        ceilings.energy(sessions.evse, starts, np.minimum(leaves, override), rated_kw)
        + _overlap(np.maximum(plug_in, override), leaves, grid.n_period) * rated_kw[:, np.newaxis]
    )
    # Charging is greedy, so what is in by each boundary is the running sum, capped by the need.
    taken_kwh = np.minimum(np.cumsum(available_kwh, axis=1), asked_kwh[:, np.newaxis])
    session_kwh = np.diff(taken_kwh, axis=1, prepend=0.0)
    energy_kwh = np.zeros_like(setpoint_kw)
    np.add.at(energy_kwh, sessions.evse, session_kwh)
    delivered_kwh = taken_kwh[:, -1]
    return Delivery(
        energy_kwh, asked_kwh, delivered_kwh, asked_kwh - delivered_kwh, draws.is_absent.copy(), is_overridden
    )


def plugged_in_at_start(sessions: SessionHistory, *, draws: BehaviourDraws, grid: TimeGrid) -> BoolArray:
    """(n_evse, n_period) EVSEs with a car when the period starts: all that a setpoint given then can know."""
    plug_in, plug_out = periods_from_start(sessions.plug_in_at, grid), periods_from_start(sessions.plug_out_at, grid)
    starts = np.arange(grid.n_period)
    is_there = (plug_in[:, np.newaxis] <= starts) & (starts < plug_out[:, np.newaxis]) & ~draws.is_absent[:, np.newaxis]
    n_car = np.zeros((len(sessions.evse_ids), grid.n_period), dtype=np.int64)
    np.add.at(n_car, sessions.evse, is_there.astype(np.int64))
    present: BoolArray = n_car > 0
    return present


@dataclass(frozen=True, slots=True)
class _Ceilings:
    """Setpoints that each take effect ``late`` (a part of a period) after their period starts."""

    setpoint_kw: FloatArray
    late: FloatArray

    def energy(self, evse: IntArray, starts: FloatArray, ends: FloatArray, rated_kw: FloatArray) -> FloatArray:
        """(n_session, n_period) kW x periods available to each session between ``starts`` and ``ends``."""
        n_period = self.setpoint_kw.shape[1]
        before = np.concatenate([self.setpoint_kw[:, :1], self.setpoint_kw[:, :-1]], axis=1)
        boundary = np.arange(n_period)
        change = boundary + self.late[evse]
        from_, to = starts[:, np.newaxis], ends[:, np.newaxis]
        early = np.clip(np.minimum(to, change) - np.maximum(from_, boundary), 0, None)
        after = np.clip(np.minimum(to, boundary + 1) - np.maximum(from_, change), 0, None)
        rating = rated_kw[:, np.newaxis]
        energy: FloatArray = early * np.minimum(before[evse], rating) + after * np.minimum(
            self.setpoint_kw[evse], rating
        )
        return energy


def _overlap(starts: FloatArray, ends: FloatArray, n_period: int) -> FloatArray:
    """(n, n_period) part of each period covered by each interval."""
    boundary = np.arange(n_period)
    upper = np.minimum(ends[:, np.newaxis], boundary + 1)
    overlap: FloatArray = np.clip(upper - np.maximum(starts[:, np.newaxis], boundary), 0, None)
    return overlap


def _window(sessions: SessionHistory, grid: TimeGrid) -> tuple[FloatArray, FloatArray]:
    plug_in = periods_from_start(sessions.plug_in_at, grid)
    outside = (plug_in < 0) | (plug_in >= grid.n_period)
    if outside.any():
        row = int(np.argmax(outside))
        raise SessionOutsideGrid(
            f"session {sessions.session_ids[row]} plugs in at {sessions.plug_in_at[row]}Z, outside the grid "
            f"{grid.starts_at.isoformat()} to {grid.ends_at.isoformat()}",
            session_id=str(sessions.session_ids[row]),
        )
    return plug_in, np.minimum(periods_from_start(sessions.plug_out_at, grid), grid.n_period)


def _next_plug_in(sessions: SessionHistory, plug_in: FloatArray) -> FloatArray:
    """(n_session,) when the next session starts at the same EVSE, infinity where none does."""
    # Ties by id: which of two sessions leaves must not depend on the order of rows.
    order = np.lexsort((sessions.session_ids, plug_in, sessions.evse))
    following = np.full(len(sessions), np.inf)
    same = sessions.evse[order[1:]] == sessions.evse[order[:-1]]
    following[order[:-1]] = np.where(same, plug_in[order[1:]], np.inf)
    return following


def _delays_s(sessions: SessionHistory, setpoint_kw: FloatArray, grid: TimeGrid, max_s: IntArray) -> FloatArray:
    """(n_evse, n_period) seconds by which each change of ceiling is late; 0 where nothing changes."""
    if (max_s < 0).any() or (max_s > grid.step_h * 3600).any():
        raise InvalidDelivery(
            f"delay_max_s runs from {max_s.min()} to {max_s.max()} s, expected 0 to one period ({grid.period_minutes} "
            "min): a longer delay would meet the next change"
        )
    changes = np.zeros(setpoint_kw.shape, dtype=np.bool_)
    changes[:, 1:] = np.diff(setpoint_kw, axis=1) != 0
    delay_s = np.zeros(setpoint_kw.shape)
    starts = grid.period_starts()
    for evse, period in np.argwhere(changes & (max_s > 0)):
        evse_id = str(sessions.evse_ids[evse])
        delay_s[evse, period] = randomised_delay_s(evse_id, starts[period], int(max_s[evse, period]))
    return delay_s


def _first_draw(
    sessions: SessionHistory,
    setpoint_kw: FloatArray,
    delay_s: FloatArray,
    delay_max_s: IntArray,
    plug_in: FloatArray,
    grid: TimeGrid,
) -> FloatArray:
    """(n_session,) position from which each session may draw: plugging in under a ceiling above 0 is a start."""
    max_s = np.broadcast_to(delay_max_s, setpoint_kw.shape)
    period = np.floor(plug_in).astype(np.int64)
    period_s = grid.step_h * 3600
    is_early = (plug_in - period) * period_s < delay_s[sessions.evse, period]
    in_force = setpoint_kw[sessions.evse, np.maximum(period - is_early, 0)]
    starts = plug_in.copy()
    for row in np.flatnonzero((in_force > 0) & (max_s[sessions.evse, period] > 0)):
        evse_id = str(sessions.evse_ids[sessions.evse[row]])
        at, longest_s = sessions.plug_in_at[row], int(max_s[sessions.evse[row], period[row]])
        starts[row] += randomised_delay_s(evse_id, at, longest_s) / period_s
    return starts


def _undisturbed(n_session: int) -> BehaviourDraws:
    never: TimeArray = np.full(n_session, np.datetime64("NaT", "s"))
    return BehaviourDraws(np.zeros(n_session, dtype=np.bool_), never)


def _check_rating(sessions: SessionHistory, rated_kw: FloatArray) -> None:
    if rated_kw.shape != (len(sessions),):
        raise InvalidDelivery(f"rated_kw has shape {rated_kw.shape}, expected ({len(sessions)},)")
    bad = ~(np.isfinite(rated_kw) & (rated_kw > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidDelivery(
            f"session {sessions.session_ids[row]} has a rating of {rated_kw[row]} kW, expected above 0",
            session_id=str(sessions.session_ids[row]),
        )


def _check_setpoints(sessions: SessionHistory, setpoint_kw: FloatArray, grid: TimeGrid) -> None:
    expected = (len(sessions.evse_ids), grid.n_period)
    if setpoint_kw.shape != expected:
        raise InvalidDelivery(f"setpoint_kw has shape {setpoint_kw.shape}, expected {expected}")
    bad = ~(np.isfinite(setpoint_kw) & (setpoint_kw >= 0))
    if bad.any():
        evse, period = (int(index) for index in np.argwhere(bad)[0])
        raise InvalidDelivery(
            f"EVSE {sessions.evse_ids[evse]} has a setpoint of {setpoint_kw[evse, period]} kW in period {period}, "
            "expected 0 or more",
            evse_id=str(sessions.evse_ids[evse]),
            period=period,
        )
