from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.core.behaviour import Behaviour, BehaviourDraws, draw_behaviour, randomised_delay_s
from aggregator.core.timegrid import TimeGrid, charging_day
from aggregator.core.virtual_evse import (
    InvalidDelivery,
    SessionOutsideGrid,
    deliver,
    plugged_in_at_start,
    uncontrolled_energy_kwh,
    uncontrolled_power_kw,
)
from tests.sessions import at_utc, during, histories, history, permuted

DAY = charging_day(date(2026, 1, 15))
GRIDS = st.sampled_from([charging_day(date(2026, 3, 28)), charging_day(date(2026, 10, 24)), DAY])


def at(text: str, grid: TimeGrid = DAY) -> int:
    """Period of the grid that starts at a London time."""
    return int(np.searchsorted(grid.period_starts(), at_utc(text), side="right")) - 1


def open_kw(grid: TimeGrid = DAY, n_evse: int = 1, power_kw: float = 7.0) -> np.ndarray:
    return np.full((n_evse, grid.n_period), power_kw)


def overridden(text: str) -> BehaviourDraws:
    return BehaviourDraws(np.array([False]), np.array([at_utc(text)]))


@st.composite
def deliveries(draw: st.DrawFn):
    """A grid, the sessions of its day, their ratings, setpoints and draws."""
    grid = draw(GRIDS)
    sessions = during(draw(histories(from_=grid.starts_at, days=1, n_evse=3, max_sessions=12)), grid)
    rated_kw = np.array([2.3, 7.36, 11.0])[sessions.evse]
    levels = st.sampled_from([0.0, 1.38, 3.7, 7.36, 22.0])
    blocks = draw(st.lists(st.lists(levels, min_size=6, max_size=6), min_size=3, max_size=3))
    setpoint_kw = np.repeat(np.array(blocks), 9, axis=1)[:, : grid.n_period]
    behaviour = Behaviour(never_share=0.3, rarely_share=0.0, often_rate=0.5, no_show_rate=0.2)
    draws = draw_behaviour(sessions, behaviour=behaviour, seed=draw(st.integers(0, 9)))
    return grid, sessions, rated_kw, setpoint_kw, draws


class TestUncontrolledEnergy:
    def test_gives_a_late_plug_in_its_part_of_the_half_hour(self):
        sessions = history([("a", "2026-01-15 17:10", "2026-01-16 07:00", 7.0)])

        energy_kwh = uncontrolled_energy_kwh(sessions, rated_kw=np.array([7.0]), grid=DAY)

        first = at("2026-01-15 17:00")
        np.testing.assert_allclose(energy_kwh[0, first : first + 4], [7 / 3, 3.5, 7 / 6, 0])
        assert energy_kwh.sum() == pytest.approx(7.0)

    def test_stops_at_plug_out(self):
        sessions = history([("a", "2026-01-15 17:10", "2026-01-15 17:40", 30.0)])

        energy_kwh = uncontrolled_energy_kwh(sessions, rated_kw=np.array([6.0]), grid=DAY)

        assert energy_kwh[0, at("2026-01-15 17:00")] == pytest.approx(2.0)
        assert energy_kwh[0, at("2026-01-15 17:30")] == pytest.approx(1.0)

    def test_charges_on_through_the_repeated_hour(self):
        grid = charging_day(date(2026, 10, 24))
        sessions = history([("a", "2026-10-25 00:30", "2026-10-25 09:00", 7.0)])

        power_kw = uncontrolled_power_kw(sessions, rated_kw=np.array([3.5]), grid=grid)

        assert np.flatnonzero(power_kw[0]).tolist() == [25, 26, 27, 28]
        np.testing.assert_allclose(power_kw[0, 25:29], 3.5)

    def test_charges_on_across_the_skipped_hour(self):
        grid = charging_day(date(2026, 3, 28))
        sessions = history([("a", "2026-03-29 00:30", "2026-03-29 09:00", 3.5)])

        power_kw = uncontrolled_power_kw(sessions, rated_kw=np.array([3.5]), grid=grid)

        assert np.flatnonzero(power_kw[0]).tolist() == [at("2026-03-29 00:30", grid), at("2026-03-29 02:00", grid)]

    @given(case=deliveries())
    def test_adds_up_to_what_the_sessions_could_take_on_the_grid(self, case):
        grid, sessions, rated_kw, setpoint_kw, _ = case
        asked_kwh = deliver(sessions, setpoint_kw=setpoint_kw, rated_kw=rated_kw, grid=grid).asked_kwh

        energy_kwh = uncontrolled_energy_kwh(sessions, rated_kw=rated_kw, grid=grid)

        assert energy_kwh.sum() == pytest.approx(asked_kwh.sum(), abs=1e-9)


class TestDeliver:
    def test_takes_no_more_than_the_ceiling_and_stops_when_full(self):
        sessions = history([("a", "2026-01-15 17:10", "2026-01-16 07:00", 3.0)])

        done = deliver(sessions, setpoint_kw=open_kw(power_kw=3.0), rated_kw=np.array([7.0]), grid=DAY)

        first = at("2026-01-15 17:00")
        np.testing.assert_allclose(done.energy_kwh[0, first : first + 4], [1.0, 1.5, 0.5, 0.0])
        assert done.delivered_kwh.tolist() == pytest.approx([3.0])
        assert done.unserved_kwh.tolist() == pytest.approx([0.0])

    def test_leaves_unserved_what_the_ceilings_kept_from_it(self):
        sessions = history([("a", "2026-01-15 17:00", "2026-01-15 19:00", 9.0)])
        setpoint_kw = open_kw(power_kw=0.0)
        setpoint_kw[0, at("2026-01-15 18:30") :] = 4.0

        done = deliver(sessions, setpoint_kw=setpoint_kw, rated_kw=np.array([7.0]), grid=DAY)

        assert done.asked_kwh.tolist() == [9.0]
        assert done.delivered_kwh.tolist() == pytest.approx([2.0])
        assert done.unserved_kwh.tolist() == pytest.approx([7.0])

    def test_asks_no_more_than_fits_into_the_window_at_the_rating(self):
        sessions = history([("a", "2026-01-15 17:00", "2026-01-15 18:00", 50.0)])

        done = deliver(sessions, setpoint_kw=open_kw(), rated_kw=np.array([7.0]), grid=DAY)

        assert done.asked_kwh.tolist() == pytest.approx([7.0])
        assert done.unserved_kwh.tolist() == pytest.approx([0.0])

    def test_charges_at_the_rating_from_the_override_on(self):
        sessions = history([("a", "2026-01-15 17:00", "2026-01-16 07:00", 7.0)])

        done = deliver(
            sessions,
            setpoint_kw=open_kw(power_kw=0.0),
            rated_kw=np.array([7.0]),
            grid=DAY,
            draws=overridden("2026-01-15 17:20"),
        )

        first = at("2026-01-15 17:00")
        np.testing.assert_allclose(done.energy_kwh[0, first : first + 4], [7 / 6, 3.5, 7 / 3, 0.0])
        assert done.is_overridden.tolist() == [True]

    def test_draws_and_asks_nothing_for_an_absent_vehicle(self):
        sessions = history([("a", "2026-01-15 17:00", "2026-01-16 07:00", 7.0)])
        absent = BehaviourDraws(np.array([True]), np.array([np.datetime64("NaT", "s")]))

        done = deliver(sessions, setpoint_kw=open_kw(), rated_kw=np.array([7.0]), grid=DAY, draws=absent)

        assert done.energy_kwh.sum() == 0
        assert done.asked_kwh.tolist() == done.unserved_kwh.tolist() == [0.0]
        assert done.is_absent.tolist() == [True]

    def test_lets_a_session_leave_when_the_next_one_starts(self):
        sessions = history(
            [("a", "2026-01-15 17:00", "2026-01-15 21:00", 20.0), ("a", "2026-01-15 18:00", "2026-01-15 20:00", 14.0)]
        )

        done = deliver(sessions, setpoint_kw=open_kw(), rated_kw=np.array([7.0, 7.0]), grid=DAY)

        assert done.delivered_kwh.tolist() == pytest.approx([7.0, 14.0])
        assert done.energy_kwh.max() <= 3.5 + 1e-12

    def test_delays_a_decrease_and_an_increase_by_the_evses_own_draw(self):
        sessions = history([("VEVSE-0001", "2026-01-15 13:00", "2026-01-16 11:00", 300.0)])
        setpoint_kw = open_kw(power_kw=2.0)
        setpoint_kw[0, at("2026-01-15 23:30")] = 0.0

        done = deliver(sessions, setpoint_kw=setpoint_kw, rated_kw=np.array([7.0]), grid=DAY, delay_max_s=600)

        period = at("2026-01-15 23:30")
        later_s = randomised_delay_s("VEVSE-0001", np.datetime64("2026-01-16T00:00:00"), 600)
        assert done.energy_kwh[0, period] == pytest.approx(2.0 * 514 / 3600)
        assert done.energy_kwh[0, period + 1] == pytest.approx(2.0 * (1800 - later_s) / 3600)

    def test_delays_the_start_of_charging_at_plug_in(self):
        sessions = history([("VEVSE-0002", "2026-01-15 23:30", "2026-01-16 11:00", 300.0)])

        done = deliver(sessions, setpoint_kw=open_kw(), rated_kw=np.array([7.0]), grid=DAY, delay_max_s=600)

        assert done.energy_kwh[0, at("2026-01-15 23:30")] == pytest.approx(7.0 * (1800 - 248) / 3600)
        np.testing.assert_allclose(done.energy_kwh[0, at("2026-01-16 00:00") : at("2026-01-16 11:00")], 3.5)

    def test_does_not_delay_response_dsr_nor_an_override(self):
        sessions = history([("VEVSE-0001", "2026-01-15 23:30", "2026-01-16 11:00", 300.0)])
        per_evse = np.zeros((1, DAY.n_period), dtype=np.int64)

        response = deliver(sessions, setpoint_kw=open_kw(), rated_kw=np.array([7.0]), grid=DAY, delay_max_s=per_evse)
        override = deliver(
            sessions,
            setpoint_kw=open_kw(),
            rated_kw=np.array([7.0]),
            grid=DAY,
            delay_max_s=600,
            draws=overridden("2026-01-15 23:30"),
        )

        for done in (response, override):
            assert done.energy_kwh[0, at("2026-01-15 23:30")] == pytest.approx(3.5)

    @pytest.mark.parametrize(("night", "n_period"), [(date(2026, 3, 28), 46), (date(2026, 10, 24), 50)])
    def test_fills_a_whole_clock_change_day(self, night, n_period):
        grid = charging_day(night)
        sessions = history([("a", f"{night} 12:00", f"{grid.ends_at.date()} 12:00", 999.0)])

        done = deliver(sessions, setpoint_kw=open_kw(grid, power_kw=2.0), rated_kw=np.array([7.0]), grid=grid)

        assert done.energy_kwh.shape == (1, n_period)
        assert done.delivered_kwh.tolist() == pytest.approx([n_period * 1.0])

    @given(case=deliveries(), delay_max_s=st.sampled_from([0, 600, 1800]))
    @settings(deadline=None)
    def test_delivers_and_leaves_unserved_exactly_what_was_asked(self, case, delay_max_s):
        grid, sessions, rated_kw, setpoint_kw, draws = case

        done = deliver(
            sessions, setpoint_kw=setpoint_kw, rated_kw=rated_kw, grid=grid, draws=draws, delay_max_s=delay_max_s
        )

        np.testing.assert_allclose(done.delivered_kwh + done.unserved_kwh, done.asked_kwh, rtol=0, atol=1e-9)
        assert (done.delivered_kwh >= 0).all()
        assert (done.unserved_kwh >= -1e-12).all()
        per_evse = np.bincount(sessions.evse, weights=done.delivered_kwh, minlength=3)
        np.testing.assert_allclose(done.energy_kwh.sum(axis=1), per_evse, rtol=0, atol=1e-9)
        assert not done.delivered_kwh[done.is_absent].any()
        assert (done.energy_kwh <= np.array([2.3, 7.36, 11.0])[:, np.newaxis] * grid.step_h + 1e-9).all()

    @given(case=deliveries())
    @settings(deadline=None)
    def test_keeps_every_ceiling_when_nobody_overrides_and_nothing_is_late(self, case):
        grid, sessions, rated_kw, setpoint_kw, _ = case

        done = deliver(sessions, setpoint_kw=setpoint_kw, rated_kw=rated_kw, grid=grid)

        assert (done.energy_kwh <= setpoint_kw * grid.step_h + 1e-9).all()

    @given(case=deliveries(), data=st.data())
    @settings(deadline=None)
    def test_does_not_depend_on_the_order_of_sessions(self, case, data):
        grid, sessions, rated_kw, setpoint_kw, draws = case
        order = np.array(data.draw(st.permutations(range(len(sessions)))), dtype=np.int64)
        shuffled = BehaviourDraws(draws.is_absent[order], draws.override_at[order])

        one = deliver(sessions, setpoint_kw=setpoint_kw, rated_kw=rated_kw, grid=grid, draws=draws)
        two = deliver(
            permuted(sessions, order), setpoint_kw=setpoint_kw, rated_kw=rated_kw[order], grid=grid, draws=shuffled
        )

        np.testing.assert_allclose(two.energy_kwh, one.energy_kwh, rtol=0, atol=1e-9)
        np.testing.assert_allclose(two.delivered_kwh, one.delivered_kwh[order], rtol=0, atol=1e-9)

    def test_refuses_a_session_of_another_day(self):
        sessions = history([("a", "2026-01-15 11:59", "2026-01-16 07:00", 7.0)])

        with pytest.raises(SessionOutsideGrid):
            deliver(sessions, setpoint_kw=open_kw(), rated_kw=np.array([7.0]), grid=DAY)

    @pytest.mark.parametrize(
        ("setpoint_kw", "rated_kw", "delay_max_s"),
        [
            (open_kw(n_evse=2), [7.0], 0),
            (open_kw(power_kw=np.nan), [7.0], 0),
            (open_kw(power_kw=-1.0), [7.0], 0),
            (open_kw(power_kw=np.inf), [7.0], 0),
            (open_kw(), [0.0], 0),
            (open_kw(), [np.nan], 0),
            (open_kw(), [7.0, 7.0], 0),
            (open_kw(), [7.0], -1),
            (open_kw(), [7.0], 1801),
        ],
    )
    def test_refuses_what_cannot_be(self, setpoint_kw, rated_kw, delay_max_s):
        sessions = history([("a", "2026-01-15 17:10", "2026-01-16 07:00", 7.0)])

        with pytest.raises(InvalidDelivery):
            deliver(sessions, setpoint_kw=setpoint_kw, rated_kw=np.array(rated_kw), grid=DAY, delay_max_s=delay_max_s)

    def test_takes_a_day_without_sessions(self):
        done = deliver(
            history([], evse_ids=["a"]), setpoint_kw=open_kw(), rated_kw=np.array([]), grid=DAY, delay_max_s=600
        )

        assert done.energy_kwh.sum() == 0
        assert DAY.starts_at == datetime(2026, 1, 15, 12, tzinfo=UTC)


class TestPluggedInAtStart:
    def test_sees_a_car_from_the_first_period_that_starts_with_it(self):
        # 17:10 to 18:20: at 17:30 and 18:00 it is there, at 17:00 it was not yet, at 18:30 no longer.
        grid = charging_day(date(2026, 1, 15))
        sessions = history([("home", "2026-01-15 17:10", "2026-01-15 18:20", 5.0)])
        draws = draw_behaviour(sessions, behaviour=Behaviour(no_show_rate=0.0), seed=1)

        found = plugged_in_at_start(sessions, draws=draws, grid=grid)

        assert np.flatnonzero(found[0]).tolist() == [11, 12]

    def test_does_not_see_one_that_never_came(self):
        grid = charging_day(date(2026, 1, 15))
        sessions = history([("home", "2026-01-15 17:10", "2026-01-15 18:20", 5.0)])
        draws = draw_behaviour(sessions, behaviour=Behaviour(no_show_rate=1.0), seed=1)

        assert not plugged_in_at_start(sessions, draws=draws, grid=grid).any()
