from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aggregator.core.behaviour import BehaviourDraws
from aggregator.core.fleet_state import (
    AWAITED,
    LEFT,
    PLUGGED_IN,
    FleetState,
    InvalidFleetState,
    declared,
    nobody_yet,
    observe,
)
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid

GRID = TimeGrid(datetime(2026, 1, 15, 12, tzinfo=UTC), 6)
NOON = np.datetime64("2026-01-15T12:00:00", "s")


def sessions(*rows: tuple[int, float, float, float]) -> SessionHistory:
    """(EVSE, plug-in, plug-out in hours past noon, kWh) each."""
    evse, plug_in, plug_out, energy_kwh = (np.array(column) for column in zip(*rows, strict=True))

    def at(hours: np.ndarray) -> np.ndarray:
        return NOON + (hours * 3600).astype("timedelta64[s]")

    ids = np.array([f"s{row}" for row in range(len(rows))])
    return SessionHistory(
        np.array(["a", "b", "c"]), ids, evse, at(plug_in), at(plug_out), energy_kwh.astype(float), at(plug_out)
    )


def seen(history: SessionHistory, now: int, *, kw: float = 4.0, **draws: object) -> FleetState:
    n = len(history)
    undisturbed = BehaviourDraws(np.zeros(n, dtype=bool), np.full(n, np.datetime64("NaT", "s")))
    return observe(
        history,
        draws=replace(undisturbed, **draws),
        setpoint_kw=np.full((3, 6), kw),
        rated_kw=np.full(n, 7.0),
        grid=GRID,
        now=now,
    )


class TestObserve:
    HISTORY = sessions((0, 0.25, 2.0, 3.0), (1, 0.5, 0.75, 1.0), (0, 2.5, 3.0, 1.0))

    def test_sees_who_is_there_who_left_and_who_is_still_to_come(self):
        state = seen(self.HISTORY, 2)
        assert state.presence.tolist() == [PLUGGED_IN, LEFT, AWAITED]
        assert state.since[0] == 0.5

    def test_counts_what_was_drawn_until_now_and_no_more(self):
        assert seen(self.HISTORY, 1).delivered_kwh.tolist() == [pytest.approx(1.0), 0.0, 0.0]
        assert seen(self.HISTORY, 2).delivered_kwh.tolist() == [pytest.approx(3.0), 0.0, 0.0]

    def test_sees_a_full_ev_once_it_stops(self):
        assert not seen(self.HISTORY, 1).is_full.any()
        assert seen(self.HISTORY, 2).is_full.tolist() == [True, False, False]

    def test_looks_at_no_setpoint_from_now_on(self):
        one, other = seen(self.HISTORY, 1), seen(self.HISTORY, 1)
        np.testing.assert_array_equal(one.delivered_kwh, other.delivered_kwh)
        again = observe(
            self.HISTORY,
            draws=BehaviourDraws(np.zeros(3, dtype=bool), np.full(3, np.datetime64("NaT", "s"))),
            setpoint_kw=np.array([[4.0, 0, 0, 0, 0, 0]] * 3),
            rated_kw=np.full(3, 7.0),
            grid=GRID,
            now=1,
        )
        np.testing.assert_array_equal(again.delivered_kwh, one.delivered_kwh)

    def test_starts_anew_with_the_next_ev(self):
        state = seen(self.HISTORY, 5)
        assert state.presence[0] == PLUGGED_IN
        assert (state.since[0], state.delivered_kwh[0]) == (5.0, 0.0)

    def test_never_sees_one_that_does_not_come(self):
        state = seen(self.HISTORY, 2, is_absent=np.array([True, False, False]))
        assert state.presence[0] == AWAITED

    def test_sees_an_override_from_when_it_happens(self):
        at = np.array([NOON + np.timedelta64(1800, "s"), "NaT", "NaT"], dtype="datetime64[s]")
        assert not seen(self.HISTORY, 0, override_at=at).is_overridden.any()
        state = seen(self.HISTORY, 1, override_at=at, kw=0.0)
        assert state.is_overridden.tolist() == [True, False, False]

    def test_sees_nobody_before_anybody_came(self):
        assert seen(self.HISTORY, 0).presence.tolist() == [AWAITED] * 3


class TestDeclared:
    def state(self, minutes: int, metered_kwh: float = 0.5) -> FleetState:
        history = sessions((0, 0.25, 2.0, 3.0), (1, 0.5, 0.75, 1.0))
        return declared(
            history, metered_kwh=np.full((3, 6), metered_kwh), grid=GRID, at=GRID.starts_at + timedelta(minutes=minutes)
        )

    def test_takes_an_open_session_at_its_word(self):
        state = self.state(60)
        assert state.presence.tolist() == [PLUGGED_IN, LEFT, AWAITED]
        assert (state.now, state.delivered_kwh[0], state.declared_kwh[0], state.declared_end[0]) == (2, 1.5, 1.5, 4.0)
        assert np.isnan(state.declared_kwh[1:]).all()

    def test_knows_one_that_came_within_the_period(self):
        state = self.state(40)
        assert state.presence.tolist() == [PLUGGED_IN, PLUGGED_IN, AWAITED]
        assert state.since.tolist()[:2] == [0.5, 1.0]

    def test_knows_a_full_one_by_its_meter(self):
        assert self.state(60, metered_kwh=1.0).is_full.tolist() == [True, False, False]

    @pytest.mark.parametrize("minutes", [-1, 180])
    def test_refuses_an_instant_outside_the_day(self, minutes):
        with pytest.raises(InvalidFleetState, match="outside the day"):
            self.state(minutes)


class TestFleetState:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("presence", np.array([7])),
            ("delivered_kwh", np.array([-1.0])),
            ("is_overridden", np.array([True])),
            ("declared_kwh", np.array([-0.1])),
            ("declared_end", np.array([np.inf])),
            ("is_full", np.array([True, False])),
        ],
    )
    def test_refuses_what_cannot_be(self, field, value):
        with pytest.raises(InvalidFleetState) as refused:
            replace(nobody_yet(np.array(["a"]), now=3), **{field: value})
        assert refused.value.details["field"] == field

    def test_refuses_an_ev_that_plugs_in_later(self):
        none = nobody_yet(np.array(["a"]), now=3)
        with pytest.raises(InvalidFleetState, match="since"):
            replace(none, presence=np.array([PLUGGED_IN]), since=np.array([3.5]))
