from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.core.availability import (
    COUNT_QUANTILES,
    QUANTILES,
    AvailabilityForecast,
    InvalidAvailabilityInput,
    PlanningRule,
    forecast_availability,
)
from aggregator.core.climatology import LEVEL_ALL, LEVEL_GROUP, LEVEL_NONE, LEVEL_OWN
from aggregator.core.local_clock import DayTypes, DayTypeUnknown, NotAChargingDay
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import LONDON, charging_day, settlement_day
from tests.sessions import histories, history, joined

TARGET = date(2026, 3, 28)  # the night the clocks go forward
AS_OF = charging_day(TARGET).starts_at - timedelta(hours=18)
FIRST = date(2025, 6, 1)
# Saturdays and Sundays are non-working.
TYPES = DayTypes(FIRST, np.array([(FIRST + timedelta(index)).weekday() < 5 for index in range(700)]))


def forecast(sessions: SessionHistory, day: date = TARGET, as_of: datetime = AS_OF, **kwargs) -> AvailabilityForecast:
    groups = kwargs.pop("evse_groups", np.zeros(len(sessions.evse_ids), dtype=np.int64))
    grid = kwargs.pop("grid", charging_day(day))
    return forecast_availability(sessions, evse_groups=groups, grid=grid, day_types=TYPES, as_of=as_of, **kwargs)


def nightly(evse_id: str, until: date, n_day: int, plug_in: str = "18:00", plug_out: str = "07:00", kwh: float = 8.0):
    """One session a day on the ``n_day`` days before ``until``."""
    days = [until - timedelta(days=back) for back in range(n_day, 0, -1)]
    return [(evse_id, f"{day} {plug_in}", f"{day + timedelta(days=1)} {plug_out}", kwh) for day in days]


def values(found: AvailabilityForecast) -> list[np.ndarray]:
    return [np.asarray(getattr(found, field.name)) for field in fields(found) if field.name not in ("grid", "findings")]


class TestForecastAvailability:
    def test_repeats_a_steady_habit(self):
        day = date(2026, 1, 20)

        found = forecast(history(nightly("a", day, 60)), day, charging_day(day).starts_at - timedelta(hours=18))

        assert found.plug_in_h[0].tolist() == [6.0] * len(QUANTILES)
        assert found.plug_out_h[0].tolist() == [19.0] * len(QUANTILES)
        assert found.energy_kwh[0].tolist() == [8.0] * len(QUANTILES)
        assert found.level.tolist() == [LEVEL_OWN]
        assert found.is_planned.all()
        assert (found.window_start[0], found.window_end[0], found.window_energy_kwh[0]) == (12, 38, 8.0)
        assert found.plugged_in_count[0, 2, 11:13].tolist() == [0.0, 1.0]
        assert found.plugged_in_share[0, 20] == pytest.approx(1.0)
        assert found.probability[0] == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("day", "start", "end", "n_period"),
        [(TARGET, 12, 36, 46), (date(2026, 10, 24), 12, 40, 50), (date(2026, 7, 1), 12, 38, 48)],
    )
    def test_keeps_the_wall_clock_hour_over_a_clock_change(self, day, start, end, n_period):
        found = forecast(history(nightly("a", day, 60)), day, charging_day(day).starts_at - timedelta(hours=18))

        assert (found.window_start[0], found.window_end[0]) == (start, end)
        assert found.grid.starts()[end].astimezone(LONDON).hour == 7
        assert found.plug_in_period[0, 2] == start
        assert found.plug_out_period[0, 2] == end
        assert found.plugged_in_count.shape == (1, len(COUNT_QUANTILES), n_period)
        assert found.plugged_in_count[0, 2, start:end].tolist() == [1.0] * (end - start)

    def test_tells_working_days_from_others(self):
        day = date(2026, 1, 20)
        workdays = [row for row in nightly("a", day, 60) if date.fromisoformat(row[1][:10]).weekday() < 5]
        as_of = charging_day(day).starts_at - timedelta(hours=18)

        on_tuesday, on_saturday = (
            forecast(history(workdays), target, as_of, rule=PlanningRule(prior_days=1e-6))
            for target in (day, date(2026, 1, 24))
        )

        assert on_tuesday.probability[0] == pytest.approx(1.0)
        assert on_saturday.probability[0] == pytest.approx(0.0)
        assert on_saturday.level.tolist() == [LEVEL_NONE]
        assert not on_saturday.is_planned.any()

    def test_falls_back_to_the_group_and_then_to_all(self):
        day = date(2026, 1, 20)
        rows = nightly("a", day, 60) + nightly("b", day, 60, plug_in="20:00") + nightly("c", day, 3, plug_in="22:00")
        sessions = history(rows, evse_ids=["a", "b", "c", "d", "e"])

        found = forecast(sessions, day, evse_groups=np.array([0, 1, 1, 0, 2]), as_of=charging_day(day).starts_at)

        assert found.level.tolist() == [LEVEL_OWN, LEVEL_OWN, LEVEL_GROUP, LEVEL_GROUP, LEVEL_ALL]
        assert found.plug_in_h[:, 2].tolist() == [6.0, 8.0, 8.0, 6.0, 8.0]

    def test_draws_a_short_record_towards_its_group(self):
        day = date(2026, 1, 20)
        rows = nightly("a", day, 84) + nightly("b", day, 1)
        found = forecast(history(rows), day, as_of=charging_day(day).starts_at)

        # One working day seen (Monday 19th) with one visit, and ten days of the group's record, which is all visits.
        assert found.probability[1] == pytest.approx(1.0)
        unseen = forecast(history(rows, evse_ids=["a", "b", "c"]), day, as_of=charging_day(day).starts_at)
        assert unseen.probability[2] == pytest.approx(unseen.probability[:2].mean(), abs=0.02)

    def test_counts_days_from_enrolment_on(self):
        day = date(2026, 1, 20)
        sessions = history(nightly("a", day, 10))
        as_of = charging_day(day).starts_at
        rule = PlanningRule(prior_days=1e-6, history_days=20)

        from_first = forecast(sessions, day, as_of, rule=rule)
        enrolled = forecast(sessions, day, as_of, rule=rule, observed_from=np.array(["2026-01-01"], "datetime64[D]"))

        assert from_first.probability[0] == pytest.approx(1.0)
        # Working days 1, 2, 5 to 9, 12 to 16 and 19 January: 13, of which 12 to 16, 19 and none before the 10th.
        assert enrolled.probability[0] == pytest.approx(6 / 13)

    def test_plans_nothing_without_history_and_says_so(self):
        found = forecast(history([], evse_ids=["a", "b"]))

        assert not found.is_planned.any()
        assert found.level.tolist() == [LEVEL_NONE, LEVEL_NONE]
        assert found.probability.tolist() == [0.0, 0.0]
        assert not found.plugged_in_count.any()
        assert (found.plug_in_period == -1).all()
        assert [note.code for note in found.findings] == ["availability.no_history"]
        assert found.findings[0].details["n_evse"] == 2

    def test_leaves_unlikely_evses_unplanned(self):
        day = date(2026, 1, 20)
        sessions = history(nightly("a", day, 60) + nightly("b", day, 60)[::30])

        found = forecast(sessions, day, evse_groups=np.array([0, 1]), rule=PlanningRule(min_probability=0.3))

        assert found.is_planned.tolist() == [True, False]
        assert (found.window_start[1], found.window_end[1], found.window_energy_kwh[1]) == (0, 0, 0.0)

    def test_scales_counts_to_the_fleet_of_today(self):
        day = date(2026, 1, 20)
        rows = nightly("a", day, 60) + nightly("b", day, 5)

        found = forecast(history(rows, evse_ids=["a", "b", "c"]), day, as_of=charging_day(day).starts_at)

        # While a was alone every observed EVSE was plugged in, later both: all three are expected.
        assert found.plugged_in_count[0, :, 24].tolist() == [3.0] * len(COUNT_QUANTILES)

    @given(
        known=histories(from_=datetime(2026, 2, 20, 12, tzinfo=UTC), days=38),
        later=histories(from_=datetime(2026, 2, 20, 12, tzinfo=UTC), days=38, known_from=AS_OF),
        other=histories(from_=datetime(2026, 2, 20, 12, tzinfo=UTC), days=38, known_from=AS_OF),
    )
    @settings(deadline=None)
    def test_is_not_changed_by_anything_known_later(self, known, later, other):
        rule = PlanningRule(min_sessions=2, history_days=42)
        groups = np.array([0, 0, 1, 1])

        alone, with_later, with_other = (
            forecast(sessions, evse_groups=groups, rule=rule)
            for sessions in (known.known(AS_OF), joined(known, later), joined(other, known))
        )

        for expected, found, found_too in zip(values(alone), values(with_later), values(with_other), strict=True):
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(found_too, expected)
        assert alone.findings == with_later.findings == with_other.findings

    @given(
        sessions=histories(from_=datetime(2026, 2, 20, 12, tzinfo=UTC), days=38),
        day=st.sampled_from([TARGET, date(2026, 3, 27), date(2026, 3, 29)]),
    )
    @settings(deadline=None)
    def test_gives_ordered_quantiles_and_windows_on_the_grid(self, sessions, day):
        found = forecast(sessions, day, rule=PlanningRule(min_sessions=2), as_of=AS_OF)

        n_period = found.grid.n_period
        for quantiles in (found.plug_in_h, found.plug_out_h, found.energy_kwh, found.plug_in_period):
            assert not (np.diff(quantiles, axis=1) < 0).any()
        assert not (np.diff(found.plugged_in_count, axis=1) < 0).any()
        assert ((found.plugged_in_count >= 0) & (found.plugged_in_count <= 4)).all()
        assert ((found.probability >= 0) & (found.probability <= 1)).all()
        assert ((found.plugged_in_share >= 0) & (found.plugged_in_share <= 1)).all()
        planned = found.is_planned
        assert ((found.window_start >= 0) & (found.window_end <= n_period)).all()
        assert (found.window_start < found.window_end)[planned].all()
        assert (found.window_energy_kwh > 0)[planned].all()
        assert not found.window_energy_kwh[~planned].any()

    def test_refuses_a_grid_that_is_no_charging_day(self):
        with pytest.raises(NotAChargingDay):
            forecast(history([], evse_ids=["a"]), grid=settlement_day(TARGET))

    def test_refuses_days_of_unknown_type(self):
        with pytest.raises(DayTypeUnknown):
            forecast(history([], evse_ids=["a"]), date(2025, 6, 2))

    @pytest.mark.parametrize("groups", [np.array([0, 0]), np.array([-1])])
    def test_refuses_groups_that_do_not_fit(self, groups):
        with pytest.raises(InvalidAvailabilityInput):
            forecast(history([], evse_ids=["a"]), evse_groups=groups)


class TestPlanningRule:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"plug_in_quantile": 1.1},
            {"min_probability": -0.1},
            {"min_sessions": 0},
            {"prior_days": 0.0},
            {"history_days": 0},
        ],
    )
    def test_refuses_values_out_of_range(self, wrong):
        with pytest.raises(InvalidAvailabilityInput):
            PlanningRule(**wrong)
