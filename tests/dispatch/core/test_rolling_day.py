from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from aggregator.core.behaviour import BehaviourDraws
from aggregator.core.belief import UsualVisits
from aggregator.core.fleet_state import PLUGGED_IN, nobody_yet
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid
from aggregator.core.virtual_evse import deliver
from dispatch.core.redispatch import Day, InvalidRollingRule, RollingRule, Told, redispatch
from dispatch.core.rolling_day import RolledDay, roll_day
from tests.dispatch.core.problems import Ev, make_problem

GRID = TimeGrid(datetime(2026, 1, 15, 12, tzinfo=UTC), 16)
N_EVSE, LIMIT_KW, RATED_KW, AMPERE_KW = 12, 16.0, 7.36, 0.23
IDS = np.array([f"ev-{index}" for index in range(N_EVSE)])
GREEDY = RollingRule(method="greedy", root_peak_level=100.0, spare_peak_level=100.0)


def day_of(*, limit_kw: float = LIMIT_KW) -> Day:
    """Twelve EVSEs on one feeder that carries two of them; cheap from the sixth half-hour on, all usually stay."""
    prices = (0.3,) * 6 + (0.1,) * 4 + (0.12, 0.14, 0.16, 0.18, 0.2, 0.22)
    problem = make_problem(
        *[Ev(6.0, max_kw=RATED_KW) for _ in range(N_EVSE)], prices=prices, limit_kw=limit_kw, step_h=0.5
    )
    problem = replace(problem, session_ids=IDS)
    everyone = replace(problem, session_energy_kwh=np.zeros(N_EVSE))

    def alike(*values: float) -> np.ndarray:
        return np.tile(np.array(values), (N_EVSE, 1))

    visits = UsualVisits(
        IDS,
        np.array([0.1, 0.25, 0.5, 0.75, 0.9]),
        alike(0.5, 1.0, 2.0, 3.0, 4.0),
        alike(8.0, 10.0, 13.0, 14.0, 16.0),
        alike(2.0, 3.0, 4.0, 6.0, 8.0),
        np.full(N_EVSE, 0.6),
    )
    return Day(
        problem=problem,
        everyone=everyone,
        background_kw=np.full((1, 16), 1.0),
        visits=visits,
        unserved_gbp_per_kwh=np.full(N_EVSE, 2.0),
        tariff=np.zeros(N_EVSE, dtype=int),
        fallback_kw=np.zeros(N_EVSE),
        order=np.arange(N_EVSE),
    )


def sessions_of(seed: int) -> tuple[SessionHistory, BehaviourDraws]:
    """Every EVSE has a session some time in the day; one in four consumers takes over."""
    rng = np.random.default_rng(seed)
    plug_in_s = rng.integers(0, 4 * 1800, N_EVSE)
    plug_in = np.datetime64("2026-01-15T12:00:00", "s") + plug_in_s
    plug_out = plug_in + rng.integers(2 * 1800, 13 * 1800, N_EVSE)
    history = SessionHistory(
        IDS, np.array([f"s{index}" for index in range(N_EVSE)]), np.arange(N_EVSE), plug_in, plug_out,
        rng.uniform(1, 9, N_EVSE), plug_out,
    )  # fmt: skip
    takes_over = rng.random(N_EVSE) < 0.25
    override = np.where(takes_over, plug_in + 900, np.datetime64("NaT", "s"))
    return history, BehaviourDraws(rng.random(N_EVSE) < 0.1, override)


def rolled(seed: int, rule: RollingRule, day: Day | None = None) -> tuple[RolledDay, SessionHistory, BehaviourDraws]:
    history, draws = sessions_of(seed)
    told_a = np.full((N_EVSE, 16), 0, dtype=np.int16)
    day = day or day_of()
    found = roll_day(day, history, draws=draws, rated_kw=np.full(N_EVSE, RATED_KW), grid=GRID, told_a=told_a, rule=rule)
    return found, history, draws


class TestRollDay:
    @pytest.mark.parametrize("seed", range(4))
    def test_keeps_the_limit_with_those_who_took_over(self, seed):
        """What listeners are told and what the others draw, as far as those alone don't fill the feeder."""
        found, history, draws = rolled(seed, GREEDY)
        drawn = deliver(
            history,
            setpoint_kw=found.setpoint_a * AMPERE_KW,
            rated_kw=np.full(N_EVSE, RATED_KW),
            grid=GRID,
            draws=draws,
        )
        theirs_kw = drawn.energy_kwh[drawn.is_overridden].sum(axis=0) / GRID.step_h
        told_kw = found.setpoint_a[~drawn.is_overridden].sum(axis=0) * AMPERE_KW
        since = (draws.override_at - np.datetime64("2026-01-15T12:00:00", "s")).astype(float) / 1800
        settled = np.array([not ((since > at) & (since < at + 1)).any() for at in range(16)])  # seen when they began
        assert (told_kw + theirs_kw <= np.maximum(LIMIT_KW, theirs_kw) + 1e-6)[settled].all()
        assert (told_kw <= LIMIT_KW + 1e-6).all()

    def test_changes_fewer_setpoints_the_dearer_a_change(self):
        """Over four days; what remains at an infinite price is what the limit asks for."""
        changed = {
            change_gbp: sum(
                int(rolled(seed, replace(GREEDY, change_gbp=change_gbp))[0].n_changed.sum()) for seed in range(4)
            )
            for change_gbp in (0.0, 0.5, np.inf)
        }
        assert changed[0.0] > changed[0.5] > changed[np.inf]

    def test_tells_one_period_at_a_time_without_ever_contradicting_itself(self):
        assert not rolled(0, replace(GREEDY, told_periods=1))[0].n_changed.any()

    def test_tells_nobody_anything_who_has_no_car(self):
        found, history, _ = rolled(1, GREEDY)
        plug_in = (history.plug_in_at - np.datetime64("2026-01-15T12:00:00", "s")).astype(float) / 1800
        for evse, at in enumerate(plug_in.tolist()):
            assert not found.setpoint_a[evse, : int(np.ceil(at))].any()


class TestRedispatch:
    def state(self, **changed: object):
        none = nobody_yet(IDS, now=2)
        there = np.arange(N_EVSE) < 4
        presence = np.where(there, PLUGGED_IN, 0)
        return replace(none, presence=presence, since=np.where(there, 1.0, np.nan), **changed)

    def told(self, sent: int) -> Told:
        setpoint_a = np.zeros((N_EVSE, 16), dtype=np.int16)
        setpoint_a[:2] = 32
        sent_a = np.full((N_EVSE, 1), -1, dtype=np.int16)
        sent_a[:4, 0] = sent
        return Told(setpoint_a, sent_a)

    def test_holds_room_for_one_that_went_offline_and_leaves_its_ceiling(self):
        offline = self.state(is_offline=np.arange(N_EVSE) == 0)
        found = redispatch(day_of(), offline, self.told(0), GREEDY)
        assert (found.setpoint_a[0] == 32).all()
        assert (found.setpoint_a[1:].sum(axis=0) * AMPERE_KW <= LIMIT_KW - 32 * AMPERE_KW + 1e-6).all()

    def test_tells_an_overridden_one_nothing_and_counts_its_rating(self):
        taken_over = self.state(is_overridden=np.arange(N_EVSE) < 2)
        found = redispatch(day_of(), taken_over, self.told(0), GREEDY)
        assert not found.setpoint_a[:2].any()
        assert found.setpoint_a[2:, 0].sum() * AMPERE_KW <= LIMIT_KW - 2 * RATED_KW + 1e-6

    def test_reduces_what_was_sent_when_the_limit_fell_whatever_a_change_costs(self):
        rule = replace(GREEDY, change_gbp=np.inf)
        kept = redispatch(day_of(), self.state(), self.told(16), rule)
        assert (kept.setpoint_a[:4, 0] == 16).all()
        assert not kept.is_changed.any()
        fell = redispatch(day_of(limit_kw=8.0), self.state(), self.told(16), rule)
        assert fell.setpoint_a[:, 0].sum() * AMPERE_KW <= 8.0
        assert fell.is_changed.sum() >= 2

    def test_starts_from_the_last_plan(self):
        first = redispatch(day_of(), self.state(), self.told(0), GREEDY)
        told = replace(self.told(0), last=(first.plan, first.remaining.problem, 2))
        later = redispatch(day_of(), replace(self.state(), now=3), told, GREEDY)
        assert later.plan.max_violation_kw <= 1e-6

    @pytest.mark.parametrize(("field", "value"), [("told_periods", 0), ("root_peak_level", 0.9)])
    def test_refuses_a_rule_that_cannot_be_meant(self, field, value):
        with pytest.raises(InvalidRollingRule, match=field):
            RollingRule(**{field: value})
