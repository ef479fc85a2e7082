"""What must hold of every historical method: which data it may not see, and the days that are unlike others."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.core.timegrid import LONDON
from markets.core.baseline import BaselineHistory
from markets.core.baseline_methods import METHODS, baseline_kwh, method_rule
from markets.core.delivered import delivered_kwh
from markets.core.history import local_dates
from tests.markets.core.builders import ORACLES, event_grid, fleet_history, read_history
from tests.markets.core.plain_baseline import PlainBaseline, half_hours

HISTORICAL = [name for name, method in METHODS.items() if method.is_historical]
STARTS = [
    datetime(2026, 1, 15, 17, tzinfo=LONDON),
    datetime(2026, 1, 16, 23, tzinfo=LONDON),
    datetime(2026, 3, 29, 17, tzinfo=LONDON),
    datetime(2026, 10, 25, 0, 30, tzinfo=LONDON),
    datetime(2026, 11, 2, 17, tzinfo=LONDON),
]
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
MIDNIGHT = ORACLES["baseline_kwh"]["midnight"]


@st.composite
def called_meters(draw):
    """An event, a rule, two rows of readings with gaps, and the days each was called on before."""
    grid = event_grid(draw(st.sampled_from(STARTS)), draw(st.integers(1, 5)))
    rule = method_rule(draw(st.sampled_from(HISTORICAL)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    instants = half_hours(grid.ends_at.date(), n_days=66)
    meters = {
        row: {
            at: int(quanta) / 10_000
            for at, quanta, is_read in zip(
                instants, rng.integers(0, 70_000, len(instants)), rng.random(len(instants)) > 0.01, strict=True
            )
            if is_read
        }
        for row in "abc"
    }
    days = [(grid.starts_at - timedelta(days=back)).date() for back in range(1, 61)]
    event_days = {row: draw(st.sets(st.sampled_from(days), max_size=20)) for row in "ab"}
    return grid, rule, meters, event_days


def same(found, expected):
    for field in ("baseline_kwh", "unadjusted_kwh", "adjustment_kwh", "adjustment_ratio", "n_days", "is_adjusted"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


class TestEveryHistoricalMethod:
    @settings(max_examples=40, deadline=None)
    @given(case=called_meters(), wild_kwh=st.sampled_from([0.0, 1e4, -1e4]))
    def test_is_not_moved_by_what_is_read_on_event_days(self, case, wild_kwh):
        """Neither from the event itself, from gate closure on, nor from any day the row was called on before."""
        grid, rule, meters, event_days = case
        gate_closure_at = grid.starts_at - timedelta(hours=1)
        # The adjustment looks at the window of its own day: that day is not one the row was called on before.
        window_day = (gate_closure_at - timedelta(minutes=1)).astimezone(LONDON).date()
        called = {row: days - {window_day} for row, days in event_days.items()}
        moved = {
            row: {
                at: wild_kwh if at >= gate_closure_at or at.astimezone(LONDON).date() in called.get(row, ()) else kwh
                for at, kwh in meter.items()
            }
            for row, meter in meters.items()
        }

        honest = baseline_kwh(rule, read_history(meters, grid, rule, event_days=called))
        found = baseline_kwh(rule, read_history(moved, grid, rule, event_days=called))

        same(found, honest)

    @settings(max_examples=25, deadline=None)
    @given(case=called_meters(), order=st.permutations([0, 1, 2]))
    def test_is_not_moved_by_the_order_of_rows(self, case, order):
        grid, rule, meters, event_days = case
        history = read_history(meters, grid, rule, event_days=event_days)
        turned = replace(
            history,
            row_ids=tuple(history.row_ids[row] for row in order),
            **{
                name: getattr(history, name)[order]
                for name in ("is_event_day", "event_kwh", "adjustment_kwh", "adjustment_metered_kwh")
            },
        )

        straight, found = baseline_kwh(rule, history), baseline_kwh(rule, turned)

        np.testing.assert_array_equal(found.baseline_kwh, straight.baseline_kwh[order])
        np.testing.assert_array_equal(found.n_days, straight.n_days[order])

    @settings(max_examples=60, deadline=None)
    @given(case=called_meters())
    def test_agrees_with_the_slow_way(self, case):
        grid, rule, meters, event_days = case

        found = baseline_kwh(rule, read_history(meters, grid, rule, event_days=event_days))

        for index, row in enumerate(meters):
            plain = PlainBaseline(meters[row], grid, rule, frozenset(), event_days.get(row, set()))
            expected = [np.nan if value is None else value for value in plain.baseline_kwh()]
            np.testing.assert_array_equal(found.baseline_kwh[index], expected)
            assert found.n_days[index].tolist() == plain.n_days()

    @pytest.mark.parametrize("name", HISTORICAL)
    @pytest.mark.parametrize("change_day", [SPRING, AUTUMN])
    def test_never_looks_at_a_clock_change_day(self, name, change_day):
        """Even where a caller puts one into the history, and whatever was read on it."""
        rule = method_rule(name)
        starts_at = datetime.combine(change_day + timedelta(days=7), datetime.min.time(), tzinfo=LONDON)
        grid = event_grid(starts_at + timedelta(hours=17), 2)
        days = tuple(change_day + timedelta(days=back) for back in (-14, -8, -7, -1, 0, 6))
        energy_kwh = np.array([3.0, 3.0, 3.0, 3.0, 900.0, 3.0])[np.newaxis, :, np.newaxis]
        window = rule.adjustment_periods
        history = BaselineHistory(
            row_ids=("u",),
            grid=grid,
            days=days,
            holidays=frozenset(),
            is_event_day=np.zeros((1, 6), dtype=bool),
            event_kwh=energy_kwh.repeat(2, axis=2),
            adjustment_kwh=energy_kwh.repeat(window, axis=2),
            adjustment_metered_kwh=np.full((1, window), 3.0),
        )

        found = baseline_kwh(rule, history)

        np.testing.assert_array_equal(found.baseline_kwh, [[3.0, 3.0]])
        assert set(local_dates(grid.period_starts())) == {change_day + timedelta(days=7)}
        assert (found.n_days == min(5, rule.n_non_working_days)).all()

    @pytest.mark.parametrize("name", HISTORICAL)
    @pytest.mark.parametrize(("day", "n_period"), [(AUTUMN, 50), (SPRING, 46)])
    def test_settles_the_whole_of_a_clock_change_day(self, name, day, n_period):
        """Energy follows the clock: 13:30 is 13.5 kWh; October has 01:00 and 01:30 twice, March not at all."""
        rule = method_rule(name, adjustment_periods=0, min_adjustment_periods=0)
        grid = event_grid(datetime(day.year, day.month, day.day, tzinfo=LONDON), n_period)
        meter = {
            at: at.astimezone(LONDON).hour + at.astimezone(LONDON).minute / 60 for at in half_hours(day, n_days=66)
        }

        found = baseline_kwh(rule, read_history({"u": meter}, grid, rule)).baseline_kwh

        of_a_normal_day = sum(half / 2 for half in range(48))
        assert found.sum() == of_a_normal_day + (2.5 if n_period == 50 else -2.5)

    @pytest.mark.parametrize("name", HISTORICAL)
    def test_has_no_baseline_without_an_eligible_day(self, name):
        rule = method_rule(name)
        history = fleet_history(is_event_day=np.ones((1, 10), dtype=bool))
        window = rule.adjustment_periods

        found = baseline_kwh(
            rule,
            replace(
                history,
                adjustment_kwh=history.adjustment_kwh[:, :, :window],
                adjustment_metered_kwh=history.adjustment_metered_kwh[:, :window],
            ),
        )

        assert np.isnan(found.baseline_kwh).all()
        np.testing.assert_array_equal(found.n_days, np.zeros((1, 4)))

    @pytest.mark.parametrize("name", HISTORICAL)
    def test_uses_the_few_days_a_young_meter_has(self, name):
        """Three days of reads are enough for every method, and are named."""
        rule = method_rule(name, adjustment_periods=0, min_adjustment_periods=0)
        event_kwh = fleet_history().event_kwh.copy()
        event_kwh[0, :7] = np.nan
        history = fleet_history(
            event_kwh=event_kwh, adjustment_kwh=np.zeros((1, 10, 0)), adjustment_metered_kwh=np.zeros((1, 0))
        )

        found = baseline_kwh(rule, history)

        expected = 41.0 if name.startswith("mid") else (41 + 39 + 45) / 3
        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), round(expected, 4)))
        np.testing.assert_array_equal(found.n_days, np.full((1, 4), 3))


class TestTheNight:
    """Friday 23:00 to Saturday 01:00: two day types, one adjustment, frozen when the event starts."""

    @staticmethod
    def meter(*, day_two_kwh=5.0):
        grid = event_grid(datetime(2026, 1, 16, 23, tzinfo=UTC), 4)
        meter = {}
        for at in half_hours(date(2026, 1, 17)):
            by_clock = {(23, 0): 20.0, (23, 30): 18.0} if at.weekday() < 5 else {(0, 0): 26.0, (0, 30): 24.0}
            meter[at] = by_clock.get((at.hour, at.minute), 10.0)
            if at.date() == date(2026, 1, 16) and at.hour in (19, 20, 21):
                meter[at] = 11.5
            if at >= grid.starts_at:
                meter[at] = day_two_kwh
        return grid, meter

    @pytest.mark.parametrize("name", ["bl01", "mid-8-in-10-sda"])
    def test_gives_the_worked_baseline_and_volume(self, name):
        grid, meter = self.meter()
        rule = method_rule(name)

        found = baseline_kwh(rule, read_history({"f": meter}, grid, rule)).baseline_kwh

        np.testing.assert_array_equal(found, [MIDNIGHT["baseline"]])
        assert found.sum() == MIDNIGHT["total"]
        saved_kwh = delivered_kwh(found, np.full((1, 4), float(MIDNIGHT["metered"])), "turn_down")
        assert saved_kwh.sum() == MIDNIGHT["delivered"]

    def test_does_not_let_the_first_half_colour_the_second(self):
        """Nothing metered once the event has begun moves its baseline, on either date."""
        rule = method_rule("bl01")
        grid, quiet = self.meter(day_two_kwh=0.0)
        _, loud = self.meter(day_two_kwh=500.0)

        found = [baseline_kwh(rule, read_history({"f": meter}, grid, rule)) for meter in (quiet, loud)]

        same(found[0], found[1])


class TestTheForumCase:
    """1.0 kW expected all day, 0.5 kW in the window and in the event: B is 0.5 kW, and nothing was delivered."""

    @pytest.mark.parametrize("name", ["bl01", "bl01-highest", "mid-8-in-10-sda"])
    def test_delivers_nothing(self, name):
        history = fleet_history(
            event_kwh=np.full((1, 10, 4), 0.5),
            adjustment_kwh=np.full((1, 10, 6), 0.5),
            adjustment_metered_kwh=np.full((1, 6), 0.25),
        )

        found = baseline_kwh(method_rule(name), history).baseline_kwh

        np.testing.assert_array_equal(found * 2, np.full((1, 4), 0.5))  # kW; not 0.75, not 1.0
        np.testing.assert_array_equal(delivered_kwh(found, np.full((1, 4), 0.25), "turn_down"), np.zeros((1, 4)))


class TestTies:
    @pytest.mark.parametrize("name", ["mid-8-in-10", "high-5-in-10", "bl01-highest"])
    def test_of_equal_days_recency_decides_and_not_the_order_of_rows_or_their_neighbours(self, name):
        """Ten days of one total and different shapes: only the rank by recency tells them apart."""
        shapes = np.array([[index, 9 - index] for index in range(10)], dtype=float)
        rule = method_rule(
            name,
            n_working_days=10,
            n_kept_working=None if name.startswith("mid") else 5,
            adjustment_periods=0,
            min_adjustment_periods=0,
        )
        no_window = {"adjustment_kwh": np.zeros((2, 10, 0)), "adjustment_metered_kwh": np.zeros((2, 0))}
        history = fleet_history(
            row_ids=("tied", "other"),
            grid=event_grid(datetime(2026, 1, 15, 17, tzinfo=UTC), 2),
            is_event_day=np.zeros((2, 10), dtype=bool),
            event_kwh=np.stack([shapes, shapes[::-1] * 3]),
            **no_window,
        )

        found = baseline_kwh(rule, history)

        kept = shapes[1:9] if name.startswith("mid") else shapes[5:]
        np.testing.assert_array_equal(found.baseline_kwh[0], kept.mean(axis=0))


class TestMissingReads:
    @pytest.mark.parametrize("name", ["bl01", "mid-8-in-10-sda", "caiso-10-in-10"])
    def test_a_day_with_one_gap_is_replaced_by_an_older_one(self, name):
        rule = method_rule(name)
        grid = event_grid(datetime(2026, 1, 15, 17, tzinfo=UTC), 4)
        meter = dict.fromkeys(half_hours(date(2026, 1, 15)), 2.0)
        for clock in (datetime(2026, 1, 14, 18, tzinfo=UTC), datetime(2026, 1, 13, 13, tzinfo=UTC)):
            del meter[clock]  # one in the event's half-hours, one in the window's

        found = baseline_kwh(rule, read_history({"u": meter}, grid, rule))

        np.testing.assert_array_equal(found.n_days, np.full((1, 4), 10))
        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), 2.0))
