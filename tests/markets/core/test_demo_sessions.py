"""The sessions against what the Department for Transport published for 2017 (3.2 million home sessions)."""

from dataclasses import dataclass

import numpy as np
import pytest

from aggregator.core.sessions import SessionHistory, classify_sessions
from aggregator.core.timegrid import charging_day
from markets.core.demo_calendar import CHARGING_DAY, DEMO_SEED, FIRST_DAY
from markets.core.demo_fleet import OFF_STREET, demo_fleet
from markets.core.demo_network import demo_network
from markets.core.demo_sessions import demo_habits, demo_sessions

HOUR = np.timedelta64(3600, "s")
N_DAY = 71
FLEET = demo_fleet(demo_network(DEMO_SEED), DEMO_SEED)
SESSIONS = demo_sessions(FLEET, DEMO_SEED)


@dataclass(frozen=True, slots=True)
class HomeStatistics:
    """What is published, worked out for the off-street EVSEs (winter: UTC is London's clock)."""

    energy_kwh: np.ndarray
    stay_h: np.ndarray
    in_h: np.ndarray
    out_h: np.ndarray
    weekday: np.ndarray
    sessions_a_week: float

    @classmethod
    def of(cls, sessions: SessionHistory, is_home: np.ndarray) -> "HomeStatistics":
        home = sessions.select(is_home[sessions.evse])
        days = home.plug_in_at.astype("datetime64[D]")
        return cls(
            energy_kwh=home.energy_kwh,
            stay_h=(home.plug_out_at - home.plug_in_at) / HOUR,
            in_h=(home.plug_in_at - days) / HOUR,
            out_h=(home.plug_out_at - home.plug_out_at.astype("datetime64[D]")) / HOUR,
            weekday=(days.astype(np.int64) + 3) % 7,  # 1 January 1970 was a Thursday; Monday is 0
            sessions_a_week=len(home) / is_home.sum() / N_DAY * 7,
        )


HOME = HomeStatistics.of(SESSIONS, FLEET.scenarios == OFF_STREET)


class TestPublishedEnergy:
    def test_has_the_median_and_the_mean(self):
        assert np.median(HOME.energy_kwh) == pytest.approx(7.5, abs=0.4)
        assert HOME.energy_kwh.mean() == pytest.approx(9.1, abs=0.5)

    def test_has_seven_in_ten_under_10_kwh_and_few_over_25(self):
        assert (HOME.energy_kwh < 10).mean() == pytest.approx(0.70, abs=0.03)
        assert (HOME.energy_kwh > 25).mean() == pytest.approx(0.04, abs=0.015)

    def test_leaves_out_what_the_published_figures_leave_out(self):
        assert SESSIONS.energy_kwh.min() > 0
        assert SESSIONS.energy_kwh.max() <= 100
        assert (SESSIONS.plug_out_at - SESSIONS.plug_in_at).min() > np.timedelta64(180, "s")


class TestPublishedStay:
    def test_has_the_median_and_the_mean(self):
        assert np.median(HOME.stay_h) == pytest.approx(10.8, abs=0.6)
        assert HOME.stay_h.mean() == pytest.approx(12.68, abs=0.8)

    def test_divides_short_night_and_long_as_published(self):
        assert (HOME.stay_h < 5).mean() == pytest.approx(0.35, abs=0.03)
        assert ((HOME.stay_h >= 9) & (HOME.stay_h <= 15)).mean() == pytest.approx(0.31, abs=0.03)
        assert (HOME.stay_h > 24).mean() == pytest.approx(0.07, abs=0.015)


class TestPublishedClock:
    def test_has_the_share_that_starts_at_five_to_seven_and_before_midday(self):
        assert ((HOME.in_h >= 17) & (HOME.in_h < 19)).mean() == pytest.approx(0.22, abs=0.03)
        assert (HOME.in_h < 12).mean() == pytest.approx(0.21, abs=0.03)

    def test_ends_most_often_between_seven_and_nine(self):
        by_hour, _ = np.histogram(HOME.out_h, bins=np.arange(25))
        by_two_hours = by_hour + np.roll(by_hour, -1)
        assert by_two_hours.argmax() == 7

    def test_spreads_sessions_evenly_over_the_week(self):
        share = np.bincount(HOME.weekday, minlength=7) / len(HOME.weekday)
        assert share[:5].min() > 0.13
        assert share[:5].max() < 0.16
        np.testing.assert_allclose(share[5:], 0.13, atol=0.01)

    def test_charges_about_three_times_a_week(self):
        # Electric Nation: about three sessions a week.
        assert HOME.sessions_a_week == pytest.approx(3.0, abs=0.3)


class TestOtherSeeds:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_match_as_well_so_the_fit_is_of_the_model_and_not_of_the_seed(self, seed):
        fleet = demo_fleet(demo_network(seed), seed)
        home = HomeStatistics.of(demo_sessions(fleet, seed), fleet.scenarios == OFF_STREET)
        assert np.median(home.energy_kwh) == pytest.approx(7.5, abs=0.6)
        assert np.median(home.stay_h) == pytest.approx(10.8, abs=1.0)
        assert (home.stay_h < 5).mean() == pytest.approx(0.35, abs=0.04)
        assert home.sessions_a_week == pytest.approx(3.0, abs=0.5)


class TestDemoSessions:
    def test_have_nothing_odd_about_them(self):
        classified = classify_sessions(
            evse=SESSIONS.evse,
            connector=np.ones(len(SESSIONS), dtype=np.int64),
            plug_in_at=SESSIONS.plug_in_at,
            plug_out_at=SESSIONS.plug_out_at,
            energy_kwh=SESSIONS.energy_kwh,
            rated_kw=FLEET.rated_kw[SESSIONS.evse],
        )
        assert not any(classified.counts().values())

    def test_are_known_when_they_end(self):
        np.testing.assert_array_equal(SESSIONS.known_at, SESSIONS.plug_out_at)

    def test_plug_in_on_every_charging_day_and_on_no_other(self):
        first = np.datetime64(charging_day(FIRST_DAY).starts_at.replace(tzinfo=None), "s")
        end = np.datetime64(charging_day(CHARGING_DAY).ends_at.replace(tzinfo=None), "s")
        day = (SESSIONS.plug_in_at - first) // np.timedelta64(86_400, "s")
        assert SESSIONS.plug_in_at.min() >= first
        assert SESSIONS.plug_in_at.max() < end
        assert np.bincount(day, minlength=N_DAY).min() > 50

    def test_follow_each_users_habits_so_that_there_is_something_to_learn(self):
        habits = demo_habits(FLEET, DEMO_SEED)
        is_home = FLEET.scenarios == OFF_STREET
        count = np.bincount(SESSIONS.evse, minlength=len(FLEET))
        assert np.corrcoef(count[is_home], habits.chance_working[is_home])[0, 1] > 0.75

        evening = HOME.in_h >= 12
        evse = SESSIONS.evse[is_home[SESSIONS.evse]][evening]
        mean_h = np.bincount(evse, HOME.in_h[evening], len(FLEET)) / np.maximum(np.bincount(evse, minlength=300), 1)
        between = np.var(mean_h[np.bincount(evse, minlength=300) >= 10])
        assert between > 0.08 * np.var(HOME.in_h[evening])
