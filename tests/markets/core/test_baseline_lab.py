from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest

from aggregator.core.timegrid import LONDON
from markets.core.baseline_lab import TESTED, TooFewLabDays, run_lab
from markets.core.baseline_methods import METHODS
from markets.core.lab_fleet import InvalidLab, LabFleet, lab_days, lab_grid

FIRST, LAST = date(2026, 1, 12), date(2026, 1, 18)
STARTS_AT = datetime(2025, 11, 1, tzinfo=UTC)
N_DAY = 80
FIVE = time(17)


def fleet(energy_kwh, **changes):
    """One meter a row over 80 days from 1 November 2025."""
    n_evse = len(energy_kwh)
    fields = {
        "evse_ids": np.array([f"e{index:03}" for index in range(n_evse)]),
        "rated_kw": np.full(n_evse, 7.0),
        "starts_at": np.datetime64(STARTS_AT.replace(tzinfo=None), "s"),
        "energy_kwh": np.asarray(energy_kwh, dtype=float),
        "called": frozenset(),
        "holidays": frozenset(),
    }
    return LabFleet(**(fields | changes))


def steady(n_evse, kwh=1.0):
    return np.full((n_evse, N_DAY * 48), kwh)


def every_other_day(n_evse):
    """EVSE i charges 3 kWh in each half-hour of the evening (GMT) of days whose number has its parity; else nothing."""
    energy = np.zeros((n_evse, N_DAY, 48))
    for evse in range(n_evse):
        energy[evse, evse % 2 :: 2, 30:44] = 3.0
    return energy.reshape(n_evse, -1)


def run(lab_fleet, **changes):
    asked = {"days": lab_days(FIRST, LAST, called=lab_fleet.called), "starts": FIVE, "n_period": 4}
    return run_lab(lab_fleet, **(asked | changes))


def score(result, method, level="fleet"):
    return next(one for one in result.scores if (one.method, one.level) == (method, level))


class TestRunLab:
    def test_scores_every_method_at_both_levels_but_the_one_nobody_nominated_for(self):
        result = run(fleet(steady(6)))

        assert [one.method for one in result.scores] == [*TESTED, *TESTED]
        assert set(METHODS) - set(TESTED) == {"nomination"}
        assert [one.level for one in result.scores] == ["fleet"] * len(TESTED) + ["evse"] * len(TESTED)

    def test_finds_no_error_where_every_day_is_the_same(self):
        result = run(fleet(steady(6)))

        for one in result.scores:
            if one.method not in ("zero", "asset-capacity", "fixed-reference"):
                assert (one.bias_kw, one.rmse_kw, one.low_kw, one.high_kw) == (0, 0, 0, 0)
            assert (one.metered_kw, one.n_without) == (2.0, 0)

    def test_knows_the_errors_of_the_methods_without_history(self):
        """2 kW an EVSE all day: zero is 2 kW too low, 7 kW of rating 5 too high, 0.83 kW 1.17 too low."""
        result = run(fleet(steady(6)))

        for level in ("fleet", "evse"):
            assert score(result, "zero", level).bias_kw == -2.0
            assert score(result, "asset-capacity", level).bias_kw == 5.0
            assert score(result, "fixed-reference", level).bias_kw == pytest.approx(-1.17)
            assert score(result, "zero", level).bias_share == -1.0

    def test_counts_days_and_evses(self):
        result = run(fleet(steady(7)), n_sample=3)

        assert (len(result.days), result.n_evse, result.n_evse_tested) == (7, 7, 3)
        assert score(result, "bl01").n_compared == 7 * 4
        assert score(result, "bl01", "evse").n_compared == 7 * 4 * 3

    def test_shows_what_a_fleet_evens_out_and_one_evse_does_not(self):
        """Half of the EVSEs charge on even days, half on odd ones: the fleet is the same each day."""
        result = run(fleet(every_other_day(10)))

        assert score(result, "rolling-10-in-10").rmse_kw == 0.0
        assert score(result, "rolling-10-in-10", "evse").rmse_kw > 2.0
        assert result.zero_days.mean_share == pytest.approx(0.5, abs=0.05)
        assert result.zero_days.metered_zero_share == pytest.approx(0.5, abs=0.08)

    def test_keeps_called_days_out_of_history_and_test(self):
        energy = steady(6).reshape(6, N_DAY, 48)
        called = frozenset({date(2026, 1, 8), date(2026, 1, 14)})
        for day in called:
            energy[:, (day - STARTS_AT.date()).days] = 50.0

        result = run(fleet(energy.reshape(6, -1), called=called))

        assert date(2026, 1, 14) not in result.days
        assert len(result.days) == 6
        assert score(result, "bl01").rmse_kw == 0.0

    def test_compares_one_evse_with_all_others_and_half_a_fleet_with_the_rest(self):
        """EVSE i draws i kW on top of what all draw: the window before tells the difference."""
        everyone = np.random.default_rng(3).uniform(1, 5, N_DAY * 48)
        energy = everyone + np.arange(8)[:, np.newaxis]

        result = run(fleet(energy))

        window_noise = 1.5
        for level in ("fleet", "evse"):
            assert score(result, "control-group-difference", level).rmse_kw < 1e-3
            assert score(result, "control-group-ratio", level).rmse_kw < window_noise

    def test_leaves_out_what_was_not_read(self):
        energy = steady(5).reshape(5, N_DAY, 48)
        energy[0, (date(2026, 1, 13) - STARTS_AT.date()).days, 34] = np.nan

        result = run(fleet(energy.reshape(5, -1)))

        assert score(result, "bl01", "evse").n_compared == 7 * 4 * 5 - 1
        assert score(result, "bl01").n_compared == 7 * 4  # four of five meters are enough for the sum

    def test_reports_half_hours_without_a_baseline(self):
        """A fleet whose first reading is of Friday 16 January: one working day on Friday has no history."""
        energy = steady(5).reshape(5, N_DAY, 48)
        energy[:, : (date(2026, 1, 16) - STARTS_AT.date()).days] = np.nan

        result = run(fleet(energy.reshape(5, -1)), days=(date(2026, 1, 16), date(2026, 1, 18)))

        assert (score(result, "bl01").n_compared, score(result, "bl01").n_without) == (4, 4)
        assert (score(result, "mid-8-in-10").n_compared, score(result, "mid-8-in-10").n_without) == (0, 8)
        assert np.isnan(score(result, "mid-8-in-10").bias_kw)
        assert score(result, "mid-8-in-10").bias_share is None

    def test_flags_hardly_any_honest_day(self):
        energy = np.random.default_rng(8).normal(3.0, 0.3, (40, N_DAY * 48))

        by_evse = next(one for one in run(fleet(energy)).flags if one.level == "evse")

        assert by_evse.n_tested == 40 * 7
        assert by_evse.rate < 0.04

    def test_tests_nothing_where_no_day_differs(self):
        assert [(one.n_tested, one.rate) for one in run(fleet(steady(4))).flags] == [(0, None), (0, None)]

    def test_refuses_a_laboratory_without_days_or_history(self):
        with pytest.raises(TooFewLabDays):
            run(fleet(steady(4)), days=())
        with pytest.raises(TooFewLabDays):
            run(fleet(np.full((4, N_DAY * 48), np.nan)))


class TestLabDays:
    def test_leaves_out_called_days_and_clock_changes(self):
        found = lab_days(date(2026, 3, 27), date(2026, 3, 31), called=frozenset({date(2026, 3, 30)}))

        assert found == (date(2026, 3, 27), date(2026, 3, 28), date(2026, 3, 31))

    def test_starts_by_the_london_clock(self):
        assert lab_grid(date(2026, 7, 1), starts=FIVE, n_period=4).starts_at == datetime(2026, 7, 1, 17, tzinfo=LONDON)


class TestLabFleet:
    def test_knows_nothing_outside_of_what_was_loaded(self):
        last = STARTS_AT + timedelta(days=N_DAY) - timedelta(minutes=30)
        instants = [STARTS_AT - timedelta(minutes=30), STARTS_AT, last, last + timedelta(minutes=30)]

        found = fleet(steady(1)).at(np.array([at.replace(tzinfo=None) for at in instants], dtype="datetime64[s]"))

        np.testing.assert_array_equal(found, [[np.nan, 1.0, 1.0, np.nan]])

    @pytest.mark.parametrize(
        "wrong",
        [
            {"evse_ids": np.array(["b", "a"])},
            {"evse_ids": np.array(["a", "a"])},
            {"rated_kw": np.ones(1)},
            {"energy_kwh": np.zeros((1, 48))},
        ],
    )
    def test_refuses_what_does_not_fit(self, wrong):
        with pytest.raises(InvalidLab):
            replace(fleet(steady(2)), **wrong)
