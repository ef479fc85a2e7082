from dataclasses import replace
from datetime import UTC, date, datetime, time

import numpy as np
import pytest

from aggregator.core.timegrid import LONDON
from markets.core.baseline import BaselineRule, InvalidBaselineRule
from markets.core.baseline_given import (
    ControlGroup,
    ControlGroupRule,
    FixedReferenceRule,
    InvalidControlGroup,
    InvalidNominations,
    NominationRule,
    Nominations,
)
from markets.core.baseline_methods import (
    METHODS,
    BaselineFacts,
    MissingBaselineFacts,
    UnknownBaselineMethod,
    baseline_kwh,
    history_rule,
    method_rule,
)
from markets.core.delivered import delivered_kwh
from markets.core.method_findings import method_findings
from markets.core.settle_findings import baseline_findings
from tests.markets.core.builders import ORACLES, event_grid, fleet_history

ORACLE = ORACLES["baseline_kwh"]
NAMES = (
    "bl01",
    "bl01-highest",
    "mid-8-in-10",
    "mid-8-in-10-sda",
    "rolling-10-in-10",
    "high-5-in-10",
    "caiso-10-in-10",
    "nomination",
    "zero",
    "asset-capacity",
    "fixed-reference",
    "control-group-difference",
    "control-group-ratio",
)


def history_for(rule, **changes):
    """The worked fleet, with as much of its window as the rule has."""
    n_window = rule.adjustment_periods if isinstance(rule, BaselineRule | ControlGroupRule) else 0
    worked = fleet_history(**changes)
    return replace(
        worked,
        adjustment_kwh=worked.adjustment_kwh[:, :, :n_window],
        adjustment_metered_kwh=worked.adjustment_metered_kwh[:, :n_window],
    )


def made(rule, facts=None, **changes):
    return baseline_kwh(rule, history_for(rule, **changes), facts)


def flat(value):
    return np.full((1, 4), value)


class TestMethods:
    def test_are_called_what_products_call_them(self):
        assert tuple(METHODS) == NAMES
        assert all(name == method.rule.name for name, method in METHODS.items())

    def test_say_where_they_come_from(self):
        assert all(method.label and method.source for method in METHODS.values())
        assert len({method.label for method in METHODS.values()}) == len(METHODS)

    def test_are_all_uncertain_but_the_two_that_leave_nothing_open(self):
        assert {name for name, method in METHODS.items() if not method.uncertain} == {"zero", "asset-capacity"}


class TestMethodRule:
    def test_takes_parameters_of_its_own(self):
        rule = method_rule("caiso-10-in-10", n_kept_working=5, adjustment_cap_share=0.4)

        assert (rule.name, rule.n_kept_working, rule.adjustment_cap_share) == ("caiso-10-in-10", 5, 0.4)
        assert METHODS["caiso-10-in-10"].rule.adjustment_cap_share == 0.2

    def test_refuses_an_unknown_name(self):
        with pytest.raises(UnknownBaselineMethod) as error:
            method_rule("high-4-in-5")

        assert error.value.details == {"name": "high-4-in-5"}

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("bl01", {"n_kept_working": 11}),
            ("bl01", {"n_kept_working": 0}),
            ("bl01", {"selection": "lowest"}),
            ("bl01", {"adjustment": "both"}),
            ("bl01-highest", {"n_drop_working": 1}),
            ("mid-8-in-10", {"n_kept_working": 5}),
            ("nomination", {"days_before": -1}),
            ("nomination", {"late": "forgiven"}),
            ("fixed-reference", {"reference_kw": ()}),
            ("fixed-reference", {"reference_kw": (float("nan"),)}),
            ("control-group-ratio", {"form": "product"}),
            ("control-group-ratio", {"min_adjustment_periods": 0}),
            ("control-group-ratio", {"min_adjustment_periods": 7}),
            ("control-group-ratio", {"adjustment_gap_periods": -1}),
        ],
    )
    def test_refuses_nonsense(self, name, wrong):
        with pytest.raises(InvalidBaselineRule):
            method_rule(name, **wrong)


class TestHistoricalMethods:
    """Every worked figure of the ten days, their window and their ratio."""

    @pytest.mark.parametrize(
        ("name", "changes", "expected"),
        [
            ("bl01", {}, ORACLE["plain_adjusted"]),
            ("bl01", {"adjustment": "monitored"}, ORACLE["plain"]),
            ("bl01", {"adjustment_periods": 0, "min_adjustment_periods": 0}, ORACLE["plain"]),
            ("bl01-highest", {}, ORACLE["plain_adjusted"]),
            ("rolling-10-in-10", {}, ORACLE["plain"]),
            ("mid-8-in-10", {}, ORACLE["mid8"]),
            ("mid-8-in-10-sda", {}, ORACLE["mid8_adjusted"]),
            ("high-5-in-10", {"adjustment": "monitored"}, ORACLE["high5"]),
            ("high-5-in-10", {}, ORACLE["high5_ratio"]),
            ("caiso-10-in-10", {}, ORACLE["caiso20"]),
        ],
    )
    def test_give_the_worked_figures(self, name, changes, expected):
        found = made(method_rule(name, **changes))

        np.testing.assert_array_equal(found.baseline_kwh, flat(expected))
        np.testing.assert_array_equal(found.n_days, np.full((1, 4), 10))

    @pytest.mark.parametrize(
        ("share", "window", "expected"),
        [
            (0.2, 45.0, ORACLE["caiso_at_ratio_1_5"]["cap_0.2"]),
            (0.4, 45.0, ORACLE["caiso_at_ratio_1_5"]["cap_0.4"]),
            (None, 45.0, 63.0),
            (0.2, 6.0, ORACLE["caiso_floor_0_8"]),
            (1.5, 6.0, 8.4),
        ],
    )
    def test_cap_a_ratio_both_ways(self, share, window, expected):
        rule = method_rule("caiso-10-in-10", adjustment_cap_share=share)

        found = made(rule, adjustment_metered_kwh=np.full((1, 6), window))

        np.testing.assert_array_equal(found.baseline_kwh, flat(expected))
        assert found.is_capped.tolist() == [share in (0.2, 0.4)]

    def test_never_turn_a_baseline_round_by_a_ratio(self):
        """An exporting window would make a negative factor; a bound of 150 % would let it through."""
        rule = method_rule("caiso-10-in-10", adjustment_cap_share=1.5)

        found = made(rule, adjustment_metered_kwh=np.full((1, 6), -30.0))

        np.testing.assert_array_equal(found.adjustment_ratio, [0.0])
        np.testing.assert_array_equal(found.baseline_kwh, flat(0.0))

    @pytest.mark.parametrize(("name", "expected"), [("bl01", 24.0), ("mid-8-in-10", 23.0), ("bl01-highest", 24.0)])
    def test_give_the_worked_weekend(self, name, expected):
        days = tuple(date(2026, 1, day) for day in (3, 4, 10, 11))
        energy_kwh = np.repeat(np.array(ORACLE["non_working"]["history"], dtype=float)[None, :, None], 4, axis=2)

        found = made(
            method_rule(name, adjustment_periods=0, min_adjustment_periods=0),
            grid=event_grid(datetime(2026, 1, 17, 17, tzinfo=UTC), 4),
            days=days,
            is_event_day=np.zeros((1, 4), dtype=bool),
            event_kwh=energy_kwh,
            adjustment_kwh=np.zeros((1, 4, 6)),
        )

        np.testing.assert_array_equal(found.baseline_kwh, flat(expected))
        np.testing.assert_array_equal(found.n_days, np.full((1, 4), 4))

    def test_report_the_adjustment_they_only_monitor(self):
        found = made(method_rule("bl01", adjustment="monitored"))

        np.testing.assert_array_equal(found.measured_adjustment_kwh, [3.0])
        np.testing.assert_array_equal(found.adjustment_kwh, [0.0])
        assert found.is_adjusted.all()

    def test_pick_the_highest_of_all_days_only_where_the_rule_says_so(self):
        """Twelve days: the two oldest are high, so recency leaves them out and rank takes them in."""
        days = tuple(date(2026, 1, day) for day in (1, 2, 5, 6, 7, 8, 9, 12, 13, 14))
        rule = method_rule("bl01", n_working_days=8, adjustment_periods=0, min_adjustment_periods=0)
        energy_kwh = np.array([90.0, 80.0, 1, 2, 3, 4, 5, 6, 7, 8]).reshape(1, 10, 1).repeat(4, axis=2)
        changes = {"days": days, "event_kwh": energy_kwh, "holidays": frozenset()}

        recent = made(rule, **changes)
        highest = made(replace(rule, selection="highest"), **changes)

        np.testing.assert_array_equal(recent.baseline_kwh, flat(4.5))
        np.testing.assert_array_equal(highest.baseline_kwh, flat((90 + 80 + 3 + 4 + 5 + 6 + 7 + 8) / 8))
        np.testing.assert_array_equal(highest.n_days, np.full((1, 4), 8))

    def test_take_the_newer_of_equal_days_among_the_highest(self):
        energy_kwh = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0], [0.0, 0.0]] + [[0.0, 0.0]] * 6).reshape(1, 10, 2)
        rule = method_rule(
            "high-5-in-10", n_kept_working=1, adjustment_periods=0, min_adjustment_periods=0, n_kept_non_working=1
        )
        grid = event_grid(datetime(2026, 1, 15, 17, tzinfo=UTC), 2)

        found = made(rule, grid=grid, event_kwh=energy_kwh)

        np.testing.assert_array_equal(found.baseline_kwh, [[2.0, 2.0]])

    @pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].is_historical])
    def test_expect_nothing_of_a_meter_that_never_moved(self, name):
        nothing = {
            "event_kwh": np.zeros((1, 10, 4)),
            "adjustment_kwh": np.zeros((1, 10, 6)),
            "adjustment_metered_kwh": np.zeros((1, 6)),
        }

        found = made(method_rule(name), **nothing)

        np.testing.assert_array_equal(found.baseline_kwh, flat(0.0))
        np.testing.assert_array_equal(found.adjustment_ratio, [1.0])

    def test_do_not_divide_by_a_window_that_was_always_zero(self):
        rule = method_rule("caiso-10-in-10")
        history = history_for(rule, adjustment_kwh=np.zeros((1, 10, 6)))

        found = baseline_kwh(rule, history)

        np.testing.assert_array_equal(found.baseline_kwh, flat(ORACLE["plain"]))
        assert found.is_adjusted.tolist() == [False]
        assert [note.code for note in baseline_findings(history, rule, found)] == ["baseline.not_adjusted"]

    def test_name_the_factor_a_ratio_was_cut_to(self):
        rule = method_rule("caiso-10-in-10")
        history = history_for(rule, adjustment_metered_kwh=np.full((1, 6), 45.0))

        (note,) = baseline_findings(history, rule, baseline_kwh(rule, history))

        assert (note.code, note.details) == ("baseline.adjustment_capped", {"ratio": 1.2})

    def test_say_nothing_of_a_window_they_only_monitor(self):
        rule = method_rule("bl01", adjustment="monitored")
        history = history_for(rule, adjustment_metered_kwh=np.full((1, 6), np.nan))

        assert list(baseline_findings(history, rule, baseline_kwh(rule, history))) == []


class TestGivenMethods:
    def test_multiply_a_reference_by_the_evses(self):
        worked = ORACLE["fixed_reference"]

        found = made(method_rule("fixed-reference"), BaselineFacts(n_evse=np.array([worked["n_evse"]])))

        np.testing.assert_array_equal(found.baseline_kwh, flat(worked["kwh"]))
        np.testing.assert_array_equal(found.baseline_kwh * 2, flat(worked["kw"]))

    def test_read_a_reference_by_the_london_clock(self):
        """In October both 01:00 hours have one reference."""
        grid = event_grid(datetime(2026, 10, 25, 0, tzinfo=LONDON), 8)
        rule = FixedReferenceRule(reference_kw=tuple(half / 2 for half in range(48)))
        history = fleet_history(
            grid=grid,
            days=(),
            is_event_day=np.zeros((1, 0), dtype=bool),
            event_kwh=np.zeros((1, 0, 8)),
            adjustment_kwh=np.zeros((1, 0, 6)),
        )

        found = baseline_kwh(rule, history, BaselineFacts(n_evse=np.array([2])))

        np.testing.assert_array_equal(found.baseline_kwh, [[0.0, 0.5, 1.0, 1.5, 1.0, 1.5, 2.0, 2.5]])

    def test_are_zero_and_the_rated_power(self):
        rated_kw = BaselineFacts(rated_kw=np.array([ORACLE["asset_capacity"]["rated_kw"] * 150]))

        np.testing.assert_array_equal(made(method_rule("zero")).baseline_kwh, flat(0.0))
        np.testing.assert_array_equal(made(method_rule("asset-capacity"), rated_kw).baseline_kwh, flat(552.0))

    @pytest.mark.parametrize("name", ["asset-capacity", "fixed-reference", "nomination", "control-group-ratio"])
    def test_ask_for_the_facts_they_need(self, name):
        with pytest.raises(MissingBaselineFacts):
            made(method_rule(name))

    def test_want_a_fact_of_each_row(self):
        with pytest.raises(MissingBaselineFacts) as error:
            made(method_rule("fixed-reference"), BaselineFacts(n_evse=np.array([150, 2])))

        assert error.value.details == {"field": "n_evse"}

    def test_need_one_day_of_readings_at_most(self):
        for name in NAMES:
            asked = history_rule(METHODS[name].rule)
            assert (asked.lookback_days == 60) == METHODS[name].is_historical
            assert asked.adjustment_periods == (0 if name in NAMES[7:11] else asked.adjustment_periods)
        assert history_rule(method_rule("control-group-ratio")).adjustment_periods == 6


NOON_BEFORE = datetime(2026, 1, 14, 12, tzinfo=UTC)


def nominations(*submitted, rows=None):
    """(hours after the deadline, kWh of each half-hour) per nomination."""
    at = [
        np.datetime64(NOON_BEFORE.replace(tzinfo=None), "us") + np.timedelta64(int(h * 3600e6), "us")
        for h, _ in submitted
    ]
    return Nominations(
        ids=tuple(f"n{index}" for index in range(len(submitted))),
        row=np.array(rows or [0] * len(submitted), dtype=np.int64),
        submitted_at=np.array(at, dtype="datetime64[us]"),
        energy_kwh=np.array([np.broadcast_to(kwh, 4) for _, kwh in submitted], dtype=float).reshape(len(submitted), 4),
    )


class TestNomination:
    @pytest.mark.parametrize(
        ("late", "submitted", "expected"),
        [
            ("previous", [(-2, 40.0)], 40.0),
            ("previous", [(-2, 40.0), (-1, 44.0)], 44.0),
            ("previous", [(-1, 44.0), (-2, 40.0)], 44.0),
            ("previous", [(-2, 40.0), (0, 50.0)], 40.0),
            ("previous", [(0, 50.0)], np.nan),
            ("previous", [], np.nan),
            ("ineligible", [(-2, 40.0)], 40.0),
            ("ineligible", [(-2, 40.0), (0, 50.0)], np.nan),
        ],
    )
    def test_takes_the_last_one_in_time(self, late, submitted, expected):
        found = made(NominationRule(late=late), BaselineFacts(nominations=nominations(*submitted)))

        np.testing.assert_array_equal(found.baseline_kwh, flat(expected))

    def test_has_its_deadline_by_the_london_clock(self):
        """In July the deadline of a Wednesday is Tuesday 11:00 UTC."""
        grid = event_grid(datetime(2026, 7, 15, 16, tzinfo=UTC), 4)
        submitted = replace(
            nominations((0, 1.0), (0, 2.0)),
            submitted_at=np.array(["2026-07-14T10:59:59", "2026-07-14T11:00:00"], dtype="datetime64[us]"),
        )

        found = made(NominationRule(), BaselineFacts(nominations=submitted), grid=grid)

        np.testing.assert_array_equal(found.baseline_kwh, flat(1.0))

    def test_gives_each_side_of_midnight_its_own_deadline(self):
        grid = event_grid(datetime(2026, 1, 15, 23, tzinfo=UTC), 4)

        found = made(NominationRule(), BaselineFacts(nominations=nominations((-1, 4.0), (1, 6.0))), grid=grid)

        np.testing.assert_array_equal(found.baseline_kwh, [[4.0, 4.0, 6.0, 6.0]])

    def test_lets_a_later_one_correct_some_half_hours(self):
        submitted = nominations((-2, 40.0), (-1, [np.nan, 44.0, np.nan, np.nan]))

        found = made(NominationRule(), BaselineFacts(nominations=submitted))

        np.testing.assert_array_equal(found.baseline_kwh, [[40.0, 44.0, 40.0, 40.0]])

    def test_breaks_a_tie_by_id_whatever_the_order(self):
        submitted = nominations((-1, 1.0), (-1, 2.0))
        turned = Nominations(
            submitted.ids[::-1], submitted.row, submitted.submitted_at[::-1], submitted.energy_kwh[::-1]
        )

        for given in (submitted, turned):
            np.testing.assert_array_equal(
                made(NominationRule(), BaselineFacts(nominations=given)).baseline_kwh, flat(2.0)
            )

    @pytest.mark.parametrize(
        ("late", "submitted", "expected"),
        [
            ("previous", [(-1, 4.0)], []),
            ("previous", [(-1, 4.0), (1, 5.0)], ["baseline.late_nomination"]),
            ("ineligible", [(-1, 4.0), (1, 5.0)], ["baseline.late_nomination", "baseline.none"]),
            ("previous", [], ["baseline.none"]),
        ],
    )
    def test_says_what_came_late_and_what_is_missing(self, late, submitted, expected):
        rule, facts = NominationRule(late=late), BaselineFacts(nominations=nominations(*submitted))
        history = history_for(rule)

        found = list(method_findings(rule, history, facts, baseline_kwh(rule, history, facts)))

        assert [note.code for note in found] == expected
        assert all(note.details == {"n_period": 4} for note in found)

    def test_may_have_another_deadline(self):
        rule = NominationRule(deadline=time(17), days_before=0)

        found = made(rule, BaselineFacts(nominations=nominations((28.9, 4.0), (29, 5.0))))

        np.testing.assert_array_equal(found.baseline_kwh, flat(4.0))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"ids": ("a", "a")},
            {"row": np.zeros(1, dtype=np.int64)},
            {"energy_kwh": np.full((2, 4), np.inf)},
        ],
    )
    def test_refuses_what_does_not_fit(self, wrong):
        with pytest.raises(InvalidNominations):
            replace(nominations((-1, 1.0), (-1, 2.0)), **wrong)


def control_facts(n_evse=10, n_control=5, **changes):
    """The worked group: 1.90 kW an EVSE before, 2.05 in the event."""
    worked = ORACLE["control_group_kw"]
    control = ControlGroup(
        n_evse=np.array([n_control]),
        event_kwh=np.full((1, 4), worked["event_control"] / 2 * n_control),
        window_kwh=np.full((1, 6), worked["pre_control"] / 2 * n_control),
    )
    return BaselineFacts(n_evse=np.array([n_evse]), control=replace(control, **changes))


TREATED = {"adjustment_metered_kwh": np.full((1, 6), ORACLE["control_group_kw"]["pre_treated"] / 2 * 10)}


class TestControlGroup:
    @pytest.mark.parametrize("form", ["difference", "ratio"])
    def test_gives_the_worked_figures(self, form):
        worked = ORACLE["control_group_kw"]

        found = made(method_rule(f"control-group-{form}"), control_facts(), **TREATED)

        kw_an_evse = found.baseline_kwh * 2 / 10
        np.testing.assert_allclose(kw_an_evse, flat(worked[form]), atol=5e-5)
        metered_kwh = flat(worked["event_treated"] / 2 * 10)
        saved_kwh = delivered_kwh(found.baseline_kwh, metered_kwh, "turn_down")
        np.testing.assert_allclose(saved_kwh * 2 / 10, flat(worked[f"delivered_{form}"]), atol=5e-5)

    def test_compares_half_hours_that_both_have(self):
        window_kwh = control_facts().control.window_kwh.copy()
        window_kwh[0, 0] = np.nan
        treated = TREATED["adjustment_metered_kwh"].copy()
        treated[0, 1] = np.nan
        rule = method_rule("control-group-difference")

        found = made(rule, control_facts(window_kwh=window_kwh), adjustment_metered_kwh=treated)
        too_few = made(
            replace(rule, min_adjustment_periods=5),
            control_facts(window_kwh=window_kwh),
            adjustment_metered_kwh=treated,
        )

        np.testing.assert_array_equal(found.baseline_kwh, flat(10.75))
        np.testing.assert_array_equal(too_few.baseline_kwh, flat(10.25))
        assert (found.is_adjusted.all(), too_few.is_adjusted.any()) == (True, False)

    def test_has_no_baseline_without_a_group_or_its_reading(self):
        event_kwh = control_facts().control.event_kwh.copy()
        event_kwh[0, 2] = np.nan
        rule = method_rule("control-group-ratio")

        unread = made(rule, control_facts(event_kwh=event_kwh), **TREATED)
        nobody = made(rule, control_facts(n_evse=10, n_control=0), **TREATED)

        assert np.isnan(unread.baseline_kwh).tolist() == [[False, False, True, False]]
        assert np.isnan(nobody.baseline_kwh).all()

    def test_does_not_divide_by_a_group_that_drew_nothing(self):
        rule, facts = method_rule("control-group-ratio"), control_facts(window_kwh=np.zeros((1, 6)))
        history = history_for(rule, **TREATED)

        found = baseline_kwh(rule, history, facts)

        np.testing.assert_array_equal(found.baseline_kwh, flat(10.25))
        assert [note.code for note in method_findings(rule, history, facts, found)] == ["baseline.not_adjusted"]

    def test_never_expects_less_than_nothing_of_a_site_that_only_imports(self):
        rule = method_rule("control-group-difference")
        treated = np.zeros((1, 6))
        facts = control_facts(event_kwh=np.zeros((1, 4)))

        floored = made(rule, facts, adjustment_metered_kwh=treated)
        signed = made(replace(rule, floor_at_zero=False), facts, adjustment_metered_kwh=treated)

        np.testing.assert_array_equal(floored.baseline_kwh, flat(0.0))
        np.testing.assert_array_equal(signed.baseline_kwh, flat(-9.5))
        assert floored.is_floored.all()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"n_evse": np.array([-1])},
            {"n_evse": np.array([1, 2])},
            {"window_kwh": np.full((1, 6), np.inf)},
        ],
    )
    def test_refuses_what_does_not_fit(self, wrong):
        with pytest.raises(InvalidControlGroup):
            replace(control_facts().control, **wrong)
