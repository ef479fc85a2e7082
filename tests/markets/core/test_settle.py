from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.core.findings import count_by_code
from aggregator.core.timegrid import settlement_day
from markets.core.baseline import BaselineHistory, BaselineRule
from markets.core.inputs_digest import inputs_sha256
from markets.core.payment import PerformanceRule
from markets.core.settle import InvalidSettlementInputs, SettlementInputs, settle
from tests.markets.core.builders import PLAIN_RULE, event_grid, fleet_history, fleet_inputs, read_history

MISSING_THIRD = (12.0, 9.0, np.nan, 14.0)


def paid(inputs):
    (unit,) = settle(inputs).units
    return unit.payment_gbp


def codes(inputs):
    return count_by_code(settle(inputs).findings)


class TestSettle:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (PerformanceRule(), "39.30"),
            (PerformanceRule(cap="interval"), "38.40"),
            (PerformanceRule(step="whole-percent-floored"), "38.22"),
            (PerformanceRule(pays_on="delivered", grace=Decimal(1)), "39.00"),
            (PerformanceRule(penalty_gbp_per_mwh=Decimal(1000)), "36.30"),
            (PerformanceRule(cap_gbp_per_event=Decimal(20)), "20.00"),
        ],
        ids=["event", "interval", "whole percent", "plain delivered", "penalty", "cap"],
    )
    def test_pays_the_worked_fleet_by_every_rule(self, rule, expected):
        assert paid(fleet_inputs(rule=rule)) == Decimal(expected)

    def test_explains_the_worked_fleet(self):
        result = settle(fleet_inputs())

        (unit,) = result.units
        np.testing.assert_array_equal(result.volume.baseline_kwh, np.full((1, 4), 45.0))
        np.testing.assert_array_equal(result.volume.delivered_kwh, [[33.0, 36.0, 30.0, 31.0]])
        assert (unit.ordered_kwh, unit.delivered_kwh) == (Decimal(140), Decimal(130))
        assert unit.delivered_share == Fraction(13, 14)
        assert unit.performance_factor == Fraction(131, 140)
        assert (unit.full_value_gbp, unit.n_days, unit.is_void) == (Decimal("42.00"), 10, False)
        assert result.payment_gbp == unit.payment_gbp
        assert result.findings == ()

    def test_pays_less_on_the_middle_days(self):
        """A quarter of a kWh less baseline a half-hour: 129 of 140 kWh."""
        assert paid(fleet_inputs(baseline_rule=BaselineRule())) == Decimal("38.40")

    def test_never_pays_over_delivery(self):
        inputs = fleet_inputs(metered_kwh=(5.0, 5.0, 5.0, 5.0))

        (unit,) = settle(inputs).units

        assert (unit.delivered_kwh, unit.counted_delivered_kwh) == (Decimal(160), Decimal(140))
        assert unit.payment_gbp == Decimal("42.00")
        for cap in ("event", "interval"):
            assert paid(replace(inputs, performance_rule=PerformanceRule(pays_on="delivered", cap=cap))) == 42

    @pytest.mark.parametrize(
        ("missing", "share", "expected"),
        [("strict", "0.75", "12.30"), ("exclude", "0.75", "31.50"), ("exclude", "0.8", "12.30")],
    )
    def test_treats_a_missing_read_as_the_rule_says(self, missing, share, expected):
        rule = PerformanceRule(missing=missing, min_present_share=Decimal(share))

        assert paid(fleet_inputs(metered_kwh=MISSING_THIRD, rule=rule)) == Decimal(expected)

    def test_names_missing_reads_and_a_refused_exclusion(self):
        refused = fleet_inputs(metered_kwh=MISSING_THIRD, rule=PerformanceRule(missing="exclude"))

        assert codes(fleet_inputs(metered_kwh=MISSING_THIRD)) == {"delivered.missing_read": 1}
        assert codes(refused) == {"delivered.exclusion_refused": 1, "delivered.missing_read": 1}

    def test_counts_a_negative_half_hour_against_the_others_and_pays_nothing_below_zero(self):
        one_bad = settle(fleet_inputs(metered_kwh=(12.0, 9.0, 15.0, 55.0))).units[0]
        all_bad = settle(fleet_inputs(metered_kwh=(60.0,) * 4)).units[0]

        assert one_bad.counted_delivered_kwh == Decimal(89)
        assert (all_bad.counted_delivered_kwh, all_bad.payment_gbp) == (Decimal(-60), 0)

    def test_counts_a_negative_half_hour_in_full_under_an_interval_cap(self):
        metered_kwh = (5.0, 5.0, 5.0, 55.0)  # 40, 40 and 40 capped at 35, then 10 the wrong way

        (unit,) = settle(fleet_inputs(metered_kwh=metered_kwh, rule=PerformanceRule(cap="interval"))).units

        assert unit.counted_delivered_kwh == Decimal(95)

    def test_voids_a_line_without_instruction(self):
        result = settle(fleet_inputs(instructed_kw=np.zeros((1, 4))))

        (unit,) = result.units
        assert (unit.is_void, unit.delivered_share, unit.payment_gbp) == (True, None, 0)
        assert count_by_code(result.findings) == {"settle.void": 1}

    def test_pays_only_for_what_a_stop_left_of_the_instruction(self):
        instructed_kw = np.array([[70.0, 70.0, 35.0, 0.0]])  # stopped at 18:15

        (unit,) = settle(fleet_inputs(instructed_kw=instructed_kw, rule=PerformanceRule(cap="interval"))).units

        assert unit.ordered_kwh == Decimal("87.5")
        assert unit.counted_delivered_kwh == Decimal("85.5")
        assert unit.payment_gbp == Decimal("26.25")

    def test_delivers_nothing_where_the_window_took_the_baseline_down(self):
        """Forum case: 1.0 kW expected, 0.5 kW in window and event."""
        history = fleet_history(
            event_kwh=np.full((1, 10, 4), 0.5),
            adjustment_kwh=np.full((1, 10, 6), 0.5),
            adjustment_metered_kwh=np.full((1, 6), 0.25),
        )
        (unit,) = settle(fleet_inputs(history=history, metered_kwh=(0.25,) * 4)).units

        assert (unit.delivered_kwh, unit.payment_gbp) == (0, 0)

    def test_delivers_the_worked_night_over_midnight(self):
        days = tuple(date(2026, 1, day) for day in range(2, 16))
        weekend = np.array([day.weekday() >= 5 for day in days])
        event_kwh = np.where(weekend[:, np.newaxis], [0.0, 0.0, 26.0, 24.0], [20.0, 18.0, 0.0, 0.0])
        history = BaselineHistory(
            row_ids=("fleet-f",),
            grid=event_grid(datetime(2026, 1, 16, 23, tzinfo=UTC), 4),
            days=days,
            holidays=frozenset(),
            is_event_day=np.zeros((1, 14), dtype=bool),
            event_kwh=event_kwh[np.newaxis],
            adjustment_kwh=np.full((1, 14, 6), 10.0),
            adjustment_metered_kwh=np.full((1, 6), 11.5),
        )

        (unit,) = settle(fleet_inputs(history=history, metered_kwh=(5.0,) * 4)).units

        assert unit.delivered_kwh == Decimal("74.0")
        assert unit.n_days == 4

    def test_delivers_nothing_and_says_so_without_enough_days(self):
        event_kwh = np.full((1, 10, 4), np.nan)
        event_kwh[0, 8:] = 42.0

        result = settle(fleet_inputs(history=fleet_history(event_kwh=event_kwh), baseline_rule=BaselineRule()))

        (unit,) = result.units
        assert (unit.delivered_kwh, unit.payment_gbp, unit.n_days) == (0, 0, 2)
        assert np.isnan(result.volume.baseline_kwh).all()
        assert set(result.volume.reasons().ravel().tolist()) == {"no-baseline"}
        assert count_by_code(result.findings) == {"baseline.too_few_eligible_days": 1}

    def test_says_when_it_found_fewer_days_than_the_rule_wants(self):
        event_kwh = fleet_history().event_kwh.copy()
        event_kwh[0, 0] = np.nan

        (finding,) = settle(fleet_inputs(history=fleet_history(event_kwh=event_kwh))).findings

        assert (finding.code, finding.severity) == ("baseline.fewer_eligible_days", "info")
        assert finding.details == {"settlement_date": "2026-01-15", "n_found": 9, "n_wanted": 10}

    def test_names_a_baseline_that_is_zero_floored_capped_or_unadjusted(self):
        low = fleet_history(event_kwh=np.full((1, 10, 4), 2.0), adjustment_metered_kwh=np.full((1, 6), 25.0))
        unread = fleet_history(adjustment_metered_kwh=np.full((1, 6), np.nan))
        partly = fleet_history(adjustment_metered_kwh=np.array([[33.0, 33.0, 33.0, 33.0, 33.0, np.nan]]))
        capped = replace(PLAIN_RULE, adjustment_cap_share=0.01)

        assert codes(fleet_inputs(history=low)) == {"baseline.floored_at_zero": 1, "baseline.zero": 1}
        assert codes(fleet_inputs(history=unread)) == {"baseline.not_adjusted": 1}
        assert codes(fleet_inputs(history=partly)) == {"baseline.adjustment_window_incomplete": 1}
        assert codes(fleet_inputs(baseline_rule=capped)) == {"baseline.adjustment_capped": 1}

    def test_pays_a_turn_up(self):
        inputs = fleet_inputs(direction="turn_up", metered_kwh=(78.0, 81.0, 75.0, 76.0))

        assert settle(inputs).units[0].delivered_kwh == Decimal(130)
        assert paid(inputs) == Decimal("39.30")

    def test_pays_each_unit_its_own_price(self):
        inputs = tile(fleet_inputs(), ("a", "b"))

        result = settle(replace(inputs, price_gbp_per_mwh=(Decimal(300), Decimal(150))))

        assert [unit.payment_gbp for unit in result.units] == [Decimal("39.30"), Decimal("19.65")]
        assert result.payment_gbp == Decimal("58.95")

    def test_sums_assets_net_into_their_unit(self):
        """Three EVs of 3.5 kWh baseline draw 0, 0 and 3.6 kWh: 6.9 kWh, not 7.0."""
        rule = replace(PLAIN_RULE, level="asset", adjustment_periods=0)
        history = BaselineHistory(
            row_ids=("ev-1", "ev-2", "ev-3"),
            grid=event_grid(datetime(2026, 1, 15, 17, tzinfo=UTC), 1),
            days=(date(2026, 1, 14),),
            holidays=frozenset(),
            is_event_day=np.zeros((3, 1), dtype=bool),
            event_kwh=np.full((3, 1, 1), 3.5),
            adjustment_kwh=np.zeros((3, 1, 0)),
            adjustment_metered_kwh=np.zeros((3, 0)),
        )
        inputs = SettlementInputs(
            unit_ids=("fleet-f",),
            direction="turn_down",
            instructed_kw=np.array([[14.0]]),
            price_gbp_per_mwh=(Decimal(300),),
            history=history,
            metered_kwh=np.array([[0.0], [0.0], [3.6]]),
            baseline_rule=rule,
            performance_rule=PerformanceRule(),
            row_units=("fleet-f",) * 3,
        )

        (unit,) = settle(inputs).units

        assert unit.delivered_kwh == Decimal("6.9")
        assert unit.delivered_share == Fraction(69, 70)

    @pytest.mark.parametrize(("day", "n_period"), [(date(2026, 3, 29), 46), (date(2026, 10, 25), 50)])
    def test_conserves_energy_over_a_whole_clock_change_day(self, day, n_period):
        grid = settlement_day(day)
        rule = replace(PLAIN_RULE, adjustment_periods=0)
        back = [grid.ends_at - timedelta(minutes=30 * index) for index in range(48 * 70)]
        meter = dict.fromkeys(back, 2.0)
        history = read_history({"fleet-f": meter}, grid, rule)

        (unit,) = settle(
            fleet_inputs(
                history=history,
                baseline_rule=rule,
                metered_kwh=(1.25,) * n_period,
                instructed_kw=np.full((1, n_period), 1.5),
            )
        ).units

        assert unit.ordered_kwh == unit.delivered_kwh == Decimal("0.75") * n_period
        assert unit.payment_gbp == unit.full_value_gbp


def tile(inputs, unit_ids):
    """Give each of ``unit_ids`` the one unit's history and readings."""
    n_unit = len(unit_ids)
    history = inputs.history
    return replace(
        inputs,
        unit_ids=unit_ids,
        instructed_kw=np.repeat(inputs.instructed_kw, n_unit, axis=0),
        price_gbp_per_mwh=inputs.price_gbp_per_mwh * n_unit,
        metered_kwh=np.repeat(inputs.metered_kwh, n_unit, axis=0),
        history=replace(
            history,
            row_ids=unit_ids,
            is_event_day=np.repeat(history.is_event_day, n_unit, axis=0),
            event_kwh=np.repeat(history.event_kwh, n_unit, axis=0),
            adjustment_kwh=np.repeat(history.adjustment_kwh, n_unit, axis=0),
            adjustment_metered_kwh=np.repeat(history.adjustment_metered_kwh, n_unit, axis=0),
        ),
    )


def random_inputs(seed, *, n_unit=4, level="portfolio", rule=None):
    """Assets of a few units on a Thursday evening, in whole watt-hours, with gaps and event days."""
    rng = np.random.default_rng(seed)
    n_row = n_unit if level == "portfolio" else 3 * n_unit
    unit_ids = tuple(f"unit-{index}" for index in range(n_unit))
    template = fleet_history()

    def energy_kwh(*shape):
        energy = rng.integers(0, 60_000, shape) / 1_000
        return np.where(rng.random(shape) < 0.02, np.nan, energy)

    history = BaselineHistory(
        row_ids=unit_ids if level == "portfolio" else tuple(f"asset-{index}" for index in range(n_row)),
        grid=template.grid,
        days=template.days,
        holidays=template.holidays,
        is_event_day=rng.random((n_row, 10)) < 0.1,
        event_kwh=energy_kwh(n_row, 10, 4),
        adjustment_kwh=energy_kwh(n_row, 10, 6),
        adjustment_metered_kwh=energy_kwh(n_row, 6),
    )
    return SettlementInputs(
        unit_ids=unit_ids,
        direction="turn_down",
        instructed_kw=rng.integers(0, 100, (n_unit, 4)).astype(float),
        price_gbp_per_mwh=tuple(Decimal(int(price)) for price in rng.integers(50, 600, n_unit)),
        history=history,
        metered_kwh=energy_kwh(n_row, 4),
        baseline_rule=BaselineRule(level=level),
        performance_rule=rule or PerformanceRule(cutoff=None, missing="exclude", min_present_share=Decimal("0.5")),
        row_units=None if level == "portfolio" else tuple(unit_ids[index % n_unit] for index in range(n_row)),
    )


def reorder(inputs, units, rows):
    history = inputs.history
    return replace(
        inputs,
        unit_ids=tuple(inputs.unit_ids[unit] for unit in units),
        instructed_kw=inputs.instructed_kw[units],
        price_gbp_per_mwh=tuple(inputs.price_gbp_per_mwh[unit] for unit in units),
        metered_kwh=inputs.metered_kwh[rows],
        row_units=inputs.row_units and tuple(inputs.row_units[row] for row in rows),
        history=replace(
            history,
            row_ids=tuple(history.row_ids[row] for row in rows),
            is_event_day=history.is_event_day[rows],
            event_kwh=history.event_kwh[rows],
            adjustment_kwh=history.adjustment_kwh[rows],
            adjustment_metered_kwh=history.adjustment_metered_kwh[rows],
        ),
    )


class TestSettleForEveryFleet:
    @settings(deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), data=st.data())
    def test_pays_the_same_in_any_order_of_units_and_assets(self, seed, data):
        inputs = random_inputs(seed, level="asset")
        units = data.draw(st.permutations(range(4)))
        rows = data.draw(st.permutations(range(12)))

        one, other = settle(inputs), settle(reorder(inputs, units, rows))

        assert sorted(one.units, key=lambda unit: unit.unit_id) == sorted(other.units, key=lambda unit: unit.unit_id)
        assert one.findings == other.findings

    @settings(deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), cap=st.sampled_from(["interval", "event"]))
    def test_pays_from_nothing_to_full_value_and_the_lines_are_the_total(self, seed, cap):
        rule = PerformanceRule(cutoff=None, cap=cap)

        result = settle(random_inputs(seed, rule=rule))

        assert all(0 <= unit.payment_gbp <= unit.full_value_gbp for unit in result.units)
        assert result.payment_gbp == sum(unit.payment_gbp for unit in result.units)

    @settings(deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), saved_kwh=st.integers(0, 30_000).map(lambda wh: wh / 1_000))
    def test_never_pays_less_for_a_lower_meter(self, seed, saved_kwh):
        inputs = random_inputs(seed)
        lower = replace(inputs, metered_kwh=inputs.metered_kwh - saved_kwh)

        for unit, more in zip(settle(inputs).units, settle(lower).units, strict=True):
            assert unit.payment_gbp <= more.payment_gbp

    @settings(deadline=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_shows_delivered_as_baseline_less_metered_to_the_last_digit(self, seed):
        volume = settle(random_inputs(seed)).volume
        known = ~np.isnan(volume.baseline_kwh) & ~np.isnan(volume.metered_kwh)

        difference = volume.baseline_kwh - volume.metered_kwh
        np.testing.assert_allclose(volume.delivered_kwh[known], difference[known], rtol=0, atol=1e-9)
        assert (volume.delivered_kwh[~known] == 0).all()


class TestSettlementInputs:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"unit_ids": ("someone-else",)},
            {"instructed_kw": np.full((1, 3), 70.0)},
            {"instructed_kw": np.full((1, 4), -70.0)},
            {"instructed_kw": np.full((1, 4), np.nan)},
            {"metered_kwh": (1.0, 1.0, np.inf, 1.0)},
            {"metered_kwh": (1.0, 1.0, 1.0)},
            {"price_gbp_per_mwh": ()},
            {"direction": "sideways"},
            {"row_units": ("fleet-f",)},
            {"baseline_rule": replace(PLAIN_RULE, level="asset")},
            {"baseline_rule": replace(PLAIN_RULE, level="asset"), "row_units": ("stranger",)},
        ],
    )
    def test_refuses_what_does_not_fit(self, wrong):
        with pytest.raises(InvalidSettlementInputs):
            fleet_inputs(**wrong)


class TestInputsSha256:
    def test_leaves_what_was_settled_before_a_setting_came_with_its_digest(self):
        """The digest of these inputs before rules had scales, penalties and caps."""
        assert inputs_sha256(fleet_inputs()) == "c479857e746bf2051ffab27777c82b5af3bf2a343f7990798fdaa2b544a0c414"

    @settings(deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), data=st.data())
    def test_does_not_see_the_order_of_loading(self, seed, data):
        inputs = random_inputs(seed, level="asset")
        shuffled = reorder(inputs, data.draw(st.permutations(range(4))), data.draw(st.permutations(range(12))))

        assert inputs_sha256(shuffled) == inputs_sha256(inputs)

    def test_does_not_see_trailing_zeros_of_a_price_or_rule(self):
        inputs = fleet_inputs()
        same = replace(
            inputs,
            price_gbp_per_mwh=(Decimal("300.00"),),
            performance_rule=PerformanceRule(slope=Decimal("3.0000")),
        )

        assert inputs_sha256(same) == inputs_sha256(inputs)

    @pytest.mark.parametrize(
        "changed",
        [
            {"metered_kwh": np.array([[12.0, 9.0, 15.0, 14.0001]])},
            {"metered_kwh": np.array([[12.0, 9.0, 15.0, np.nan]])},
            {"instructed_kw": np.full((1, 4), 70.001)},
            {"price_gbp_per_mwh": (Decimal("300.01"),)},
            {"performance_rule": PerformanceRule(cutoff=None)},
            {"performance_rule": PerformanceRule(penalty_gbp_per_mwh=Decimal(1))},
            {"performance_rule": PerformanceRule(cap_gbp_per_event=Decimal(9))},
            {"baseline_rule": BaselineRule()},
            {"direction": "turn_up"},
            {"history": fleet_history(is_event_day=np.eye(1, 10, dtype=bool))},
            {"history": fleet_history(adjustment_metered_kwh=np.full((1, 6), 33.0))},
            {"history": fleet_history(holidays=frozenset())},
        ],
    )
    def test_sees_every_other_change(self, changed):
        assert inputs_sha256(replace(fleet_inputs(), **changed)) != inputs_sha256(fleet_inputs())
