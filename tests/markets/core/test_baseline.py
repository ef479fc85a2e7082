from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aggregator.core.timegrid import LONDON
from markets.core.baseline import (
    BaselineRule,
    InvalidBaselineRule,
    InvalidHistory,
    event_baseline,
)
from markets.core.baseline_means import TooFewEligibleDays, middle_days_kwh, same_day_adjustment_kwh
from tests.markets.core.builders import (
    NO_HOLIDAYS,
    ORACLES,
    PLAIN_RULE,
    event_grid,
    fleet_history,
    read_history,
)
from tests.markets.core.plain_baseline import PlainBaseline, half_hours

ORACLE = ORACLES["baseline_kwh"]


@st.composite
def histories_kwh(draw, *, min_days=3):
    shape = draw(st.tuples(st.integers(1, 4), st.integers(min_days, 12), st.integers(1, 6)))
    return draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 100)))


class TestMiddleDaysKwh:
    def test_gives_the_worked_mid_8_in_10(self):
        history = np.array(ORACLE["history"], dtype=float).reshape(1, 10, 1)

        assert middle_days_kwh(history)[0, 0] == ORACLE["mid8"]
        assert middle_days_kwh(history, n_drop=0)[0, 0] == ORACLE["plain"]

    def test_gives_the_worked_mid_2_in_4(self):
        history = np.array([20.0, 24.0, 22.0, 30.0]).reshape(1, 4, 1)

        assert middle_days_kwh(history)[0, 0] == 23.0
        assert middle_days_kwh(history, n_drop=0)[0, 0] == 24.0

    def test_ranks_by_the_whole_window_not_period_by_period(self):
        history = np.array([[[0.0, 9.0], [5.0, 5.0], [1.0, 1.0]]])

        np.testing.assert_array_equal(middle_days_kwh(history), [[0.0, 9.0]])

    def test_drops_the_older_of_equal_low_days_and_the_newer_of_equal_high_days(self):
        history = np.array([[[1.0, 3.0], [3.0, 1.0], [2.0, 2.0]]])

        np.testing.assert_array_equal(middle_days_kwh(history), [[3.0, 1.0]])

    def test_ranks_on_the_first_periods_and_lets_the_others_follow(self):
        history = np.array([[[1.0, 70.0], [2.0, 90.0], [3.0, 80.0]]])

        np.testing.assert_array_equal(middle_days_kwh(history, n_ranked=1), [[2.0, 90.0]])

    @pytest.mark.parametrize(("n_day", "n_drop"), [(2, 1), (0, 0), (4, 2)])
    def test_needs_more_days_than_it_drops(self, n_day, n_drop):
        with pytest.raises(TooFewEligibleDays) as error:
            middle_days_kwh(np.zeros((1, n_day, 1)), n_drop=n_drop)

        assert error.value.details == {"n_day": n_day}

    @given(history_kwh=histories_kwh(), extra_kwh=st.floats(0, 1_000))
    def test_ignores_any_rise_on_the_highest_day(self, history_kwh, extra_kwh):
        highest = history_kwh.sum(axis=2).argsort(axis=1, kind="stable")[:, -1]
        gamed_kwh = history_kwh.copy()
        gamed_kwh[np.arange(len(highest)), highest] += extra_kwh

        np.testing.assert_array_equal(middle_days_kwh(gamed_kwh), middle_days_kwh(history_kwh))

    @given(history_kwh=histories_kwh())
    def test_lies_between_the_lowest_and_the_highest_day(self, history_kwh):
        total = middle_days_kwh(history_kwh).sum(axis=1)

        assert (history_kwh.sum(axis=2).min(axis=1) - 1e-6 <= total).all()
        assert (total <= history_kwh.sum(axis=2).max(axis=1) + 1e-6).all()


class TestSameDayAdjustmentKwh:
    def test_gives_the_worked_rise(self):
        metered = np.array([ORACLE["window_metered"]], dtype=float)

        assert same_day_adjustment_kwh(metered, np.full((1, 6), 30.0))[0] == 3.0

    def test_averages_the_half_hours_that_were_read(self):
        metered = np.array([[33.0, np.nan, 31.0], [np.nan, np.nan, 40.0]])

        found = same_day_adjustment_kwh(metered, np.full((2, 3), 30.0), min_periods=2)

        assert found[0] == 2.0
        assert np.isnan(found[1])

    def test_is_unknown_without_a_window(self):
        assert np.isnan(same_day_adjustment_kwh(np.zeros((1, 0)), np.zeros((1, 0)))).all()


class TestBaselineRule:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"n_working_days": 2},
            {"n_non_working_days": 0, "n_drop_non_working": 0},
            {"n_drop_working": -1},
            {"lookback_days": 0},
            {"adjustment_periods": -1},
            {"adjustment_gap_periods": -1},
            {"min_adjustment_periods": 0},
            {"adjustment_cap_share": -0.1},
            {"adjustment_cap_share": float("nan")},
            {"level": "street"},
        ],
    )
    def test_refuses_nonsense(self, wrong):
        with pytest.raises(InvalidBaselineRule):
            BaselineRule(**wrong)


class TestBaselineHistory:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"event_kwh": np.zeros((1, 10, 3))},
            {"adjustment_metered_kwh": np.zeros((1, 5))},
            {"event_kwh": np.full((1, 10, 4), np.inf)},
            {"days": tuple(date(2026, 1, 5) for _ in range(10))},
            {"days": tuple(date(2026, 1, day) for day in range(6, 16))},
            {"is_event_day": np.zeros((1, 9), dtype=bool)},
        ],
    )
    def test_refuses_what_does_not_fit(self, wrong):
        with pytest.raises(InvalidHistory):
            fleet_history(**wrong)


class TestEventBaseline:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (BaselineRule(), ORACLE["mid8_adjusted"]),
            (PLAIN_RULE, ORACLE["plain_adjusted"]),
        ],
    )
    def test_gives_the_worked_baselines_with_adjustment(self, rule, expected):
        found = event_baseline(fleet_history(), rule)

        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), expected))
        np.testing.assert_array_equal(found.adjustment_kwh, [3.0])
        np.testing.assert_array_equal(found.n_days, np.full((1, 4), 10))

    @pytest.mark.parametrize(("n_drop", "expected"), [(1, ORACLE["mid8"]), (0, ORACLE["plain"])])
    def test_gives_the_worked_baselines_without_adjustment(self, n_drop, expected):
        no_window = {"adjustment_kwh": np.zeros((1, 10, 0)), "adjustment_metered_kwh": np.zeros((1, 0))}

        found = event_baseline(fleet_history(**no_window), BaselineRule(n_drop_working=n_drop, adjustment_periods=0))

        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), expected))
        assert found.is_adjusted.all()

    def test_caps_the_adjustment_at_a_share_of_the_unadjusted_baseline(self):
        history = fleet_history(adjustment_metered_kwh=np.full((1, 6), 45.0))

        found = event_baseline(history, replace(PLAIN_RULE, adjustment_cap_share=0.2))

        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), ORACLE["plain_adjusted_capped_20_percent"]))
        assert found.is_capped.tolist() == [True]

    def test_caps_a_fall_and_a_negative_baseline_alike(self):
        rule = replace(PLAIN_RULE, adjustment_cap_share=0.2, floor_at_zero=False)
        falling = fleet_history(adjustment_metered_kwh=np.full((1, 6), 15.0))
        exporting = fleet_history(event_kwh=np.full((1, 10, 4), -10.0))

        np.testing.assert_array_equal(event_baseline(falling, rule).baseline_kwh, np.full((1, 4), 33.6))
        np.testing.assert_array_equal(event_baseline(exporting, rule).baseline_kwh, np.full((1, 4), -8.0))

    def test_floors_at_zero_only_where_the_rule_says_so(self):
        history = fleet_history(event_kwh=np.full((1, 10, 4), 2.0), adjustment_metered_kwh=np.full((1, 6), 25.0))

        floored = event_baseline(history, BaselineRule())
        signed = event_baseline(history, BaselineRule(floor_at_zero=False))

        np.testing.assert_array_equal(floored.baseline_kwh, np.zeros((1, 4)))
        assert floored.is_floored.all()
        np.testing.assert_array_equal(signed.baseline_kwh, np.full((1, 4), -3.0))
        assert not signed.is_floored.any()

    def test_does_not_call_a_baseline_of_exactly_zero_floored(self):
        history = fleet_history(event_kwh=np.full((1, 10, 4), 5.0), adjustment_metered_kwh=np.full((1, 6), 25.0))

        found = event_baseline(history, BaselineRule())

        np.testing.assert_array_equal(found.baseline_kwh, np.zeros((1, 4)))
        assert not found.is_floored.any()

    def test_takes_an_adjusted_window_at_its_word(self):
        """Forum case: 1.0 kW expected all day, 0.5 kW before and in the event. Nothing was delivered."""
        history = fleet_history(
            event_kwh=np.full((1, 10, 4), 0.5),
            adjustment_kwh=np.full((1, 10, 6), 0.5),
            adjustment_metered_kwh=np.full((1, 6), 0.25),
        )

        found = event_baseline(history, PLAIN_RULE)

        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), 0.25))  # not 0.375, not 0.5

    def test_leaves_the_baseline_unadjusted_when_the_window_was_hardly_read(self):
        metered = np.array([[33.0, 34.0, np.nan, np.nan, np.nan, np.nan]])

        found = event_baseline(fleet_history(adjustment_metered_kwh=metered), BaselineRule())

        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), ORACLE["mid8"]))
        assert found.is_adjusted.tolist() == [False]

    def test_uses_the_days_it_finds_and_says_how_many(self):
        event_kwh = fleet_history().event_kwh.copy()
        event_kwh[0, :7, 2] = np.nan

        found = event_baseline(fleet_history(event_kwh=event_kwh), BaselineRule(adjustment_cap_share=0))

        np.testing.assert_array_equal(found.baseline_kwh, np.full((1, 4), 41.0))  # middle of 41, 39, 45
        np.testing.assert_array_equal(found.n_days, np.full((1, 4), 3))

    def test_makes_no_baseline_of_two_days(self):
        event_kwh = fleet_history().event_kwh.copy()
        event_kwh[0, :8, 2] = np.nan

        found = event_baseline(fleet_history(event_kwh=event_kwh), BaselineRule())

        assert np.isnan(found.baseline_kwh).all()
        np.testing.assert_array_equal(found.adjustment_kwh, [0.0])

    def test_refuses_a_window_that_is_not_the_rules(self):
        with pytest.raises(InvalidHistory):
            event_baseline(fleet_history(), BaselineRule(adjustment_periods=4))

    def test_gives_each_side_of_midnight_its_own_day_type_and_one_adjustment(self):
        """Friday 23:00 to Saturday 01:00: working 20 and 18, non-working 26 and 24, adjusted by 1.5."""
        history = over_midnight()

        for rule in (BaselineRule(), PLAIN_RULE):
            found = event_baseline(history, rule)
            np.testing.assert_array_equal(found.baseline_kwh, [[21.5, 19.5, 27.5, 25.5]])
            np.testing.assert_array_equal(found.adjustment_kwh, [1.5])
            np.testing.assert_array_equal(found.n_days, [[10, 10, 4, 4]])

    def test_keeps_the_event_out_of_its_own_second_day(self):
        """A Saturday and Sunday event: Saturday is no history of Sunday."""
        history = read_history(
            {"u": steady_meter(date(2026, 1, 18))}, event_grid(datetime(2026, 1, 17, 23, tzinfo=UTC), 4), BaselineRule()
        )

        assert history.days[-1] == date(2026, 1, 16)
        np.testing.assert_array_equal(event_baseline(history, BaselineRule()).n_days, [[4, 4, 4, 4]])

    def test_reads_both_one_oclock_hours_of_october_from_the_same_history(self):
        grid = event_grid(datetime(2026, 10, 25, 0, tzinfo=LONDON), 8)
        history = read_history({"u": clock_meter(date(2026, 10, 25))}, grid, PLAIN_RULE)

        found = event_baseline(history, PLAIN_RULE)

        np.testing.assert_array_equal(found.unadjusted_kwh, [[0.0, 0.5, 1.0, 1.5, 1.0, 1.5, 2.0, 2.5]])
        np.testing.assert_array_equal(found.n_days, np.full((1, 8), 4))

    def test_knows_no_one_oclock_in_march(self):
        grid = event_grid(datetime(2026, 3, 29, 0, tzinfo=LONDON), 4)
        history = read_history({"u": clock_meter(date(2026, 3, 29))}, grid, PLAIN_RULE)

        found = event_baseline(history, PLAIN_RULE)

        np.testing.assert_array_equal(found.unadjusted_kwh, [[0.0, 0.5, 2.0, 2.5]])

    def test_settles_the_whole_of_a_long_and_of_a_short_day(self):
        for day, n_period in ((date(2026, 10, 25), 50), (date(2026, 3, 29), 46)):
            grid = event_grid(datetime(day.year, day.month, day.day, tzinfo=LONDON), n_period)
            history = read_history({"u": clock_meter(day)}, grid, PLAIN_RULE)

            total_kwh = event_baseline(history, PLAIN_RULE).unadjusted_kwh.sum()

            of_a_normal_day = sum(half / 2 for half in range(48))
            assert total_kwh == of_a_normal_day + (2.5 if n_period == 50 else -2.5)


def steady_meter(last_day):
    return dict.fromkeys(half_hours(last_day), 1.0)


def clock_meter(last_day):
    """Energy equal to the London clock in hours: 13:30 is 13.5 kWh."""
    local = ((at, at.astimezone(LONDON)) for at in half_hours(last_day))
    return {at: clock.hour + clock.minute / 60 for at, clock in local}


def over_midnight():
    grid = event_grid(datetime(2026, 1, 16, 23, tzinfo=UTC), 4)
    meter = {}
    for at in half_hours(date(2026, 1, 17)):
        working = at.weekday() < 5
        by_clock = {(23, 0): 20.0, (23, 30): 18.0} if working else {(0, 0): 26.0, (0, 30): 24.0}
        meter[at] = by_clock.get((at.hour, at.minute), 10.0)
        if at.date() == date(2026, 1, 16) and at.hour in (19, 20, 21):
            meter[at] = 11.5
    return read_history({"fleet-f": meter}, grid, BaselineRule())


class TestAgainstPlainPython:
    """The same baseline worked out day by day, half-hour by half-hour, in exact fractions."""

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_agrees_to_the_last_digit(self, data):
        starts_at = data.draw(st.sampled_from(EVENT_STARTS)).astimezone(UTC)
        grid = event_grid(starts_at, data.draw(st.integers(1, 7)))
        rule = data.draw(RULES)
        seed = data.draw(st.integers(0, 2**32 - 1))
        meters = {row: random_meter(grid, np.random.default_rng([seed, index])) for index, row in enumerate("ab")}
        span = [(grid.starts_at - timedelta(days=back)).date() for back in range(1, 70)]
        event_days = {"a": data.draw(st.sets(st.sampled_from(span), max_size=30))}
        holidays = frozenset(data.draw(st.sets(st.sampled_from([*span, starts_at.date()]), max_size=5)))

        history = read_history(meters, grid, rule, holidays=holidays, event_days=event_days)
        found = event_baseline(history, rule)

        for index, row in enumerate("ab"):
            plain = PlainBaseline(meters[row], grid, rule, holidays, event_days.get(row, set()))
            expected = [np.nan if value is None else value for value in plain.baseline_kwh()]
            np.testing.assert_array_equal(found.baseline_kwh[index], expected)
            assert found.n_days[index].tolist() == plain.n_days()


EVENT_STARTS = [
    datetime(2026, 1, 15, 17, tzinfo=LONDON),
    datetime(2026, 1, 16, 22, 30, tzinfo=LONDON),
    datetime(2026, 1, 17, 1, 30, tzinfo=LONDON),
    datetime(2026, 3, 28, 23, tzinfo=LONDON),
    datetime(2026, 3, 29, 3, tzinfo=LONDON),
    datetime(2026, 4, 10, 17, tzinfo=LONDON),
    datetime(2026, 10, 25, 0, 30, tzinfo=LONDON),
    datetime(2026, 11, 1, 23, tzinfo=LONDON),
]
MIDDLE_RULES = st.builds(
    BaselineRule,
    n_drop_working=st.integers(0, 2),
    n_drop_non_working=st.integers(0, 1),
    lookback_days=st.sampled_from([14, 60]),
    adjustment_periods=st.sampled_from([0, 1, 6]),
    min_adjustment_periods=st.sampled_from([1, 3]),
    floor_at_zero=st.booleans(),
)
HIGHEST_RULES = st.builds(
    BaselineRule,
    n_working_days=st.sampled_from([5, 10]),
    n_kept_working=st.sampled_from([None, 1, 5]),
    n_kept_non_working=st.sampled_from([None, 2]),
    n_drop_working=st.just(0),
    n_drop_non_working=st.just(0),
    selection=st.sampled_from(["most-recent", "highest"]),
    adjustment=st.sampled_from(["additive", "ratio", "monitored"]),
    adjustment_cap_share=st.sampled_from([None, 0.25, 0.5]),
    adjustment_periods=st.sampled_from([0, 6]),
    min_adjustment_periods=st.sampled_from([1, 3]),
    floor_at_zero=st.booleans(),
)
RULES = MIDDLE_RULES | HIGHEST_RULES


def random_meter(grid, rng):
    """Whole quanta of small energies (ties are common), a few reads missing."""
    instants = half_hours(grid.ends_at.date(), n_days=66)
    quanta = rng.integers(0, 5, len(instants)) * rng.choice([1, 1000])
    is_read = rng.random(len(instants)) > rng.choice([0.0, 0.02, 0.3])
    return {at: int(quantum) / 10_000 for at, quantum, read in zip(instants, quanta, is_read, strict=True) if read}


def test_plain_python_gives_the_worked_night():
    """The second implementation is itself held to the worked example."""
    history = over_midnight()
    assert history.holidays == NO_HOLIDAYS
    meter = dict.fromkeys(half_hours(date(2026, 1, 17)), 20.0)
    plain = PlainBaseline(meter, history.grid, BaselineRule(), NO_HOLIDAYS, set())

    assert plain.baseline_kwh() == [20.0] * 4
    assert plain.n_days() == [10, 10, 4, 4]
