from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.core.timegrid import TimeGrid
from markets.core.baseline import BaselineHistory, BaselineRule, event_baseline
from markets.core.baseline_methods import METHODS
from markets.core.evse_baseline import OutsideReadings, add_baselines, event_table
from markets.core.evse_volume import as_kwh, as_quanta

# Runs of half-hours that hold both clock changes, Christmas and Easter.
RUNS = (date(2025, 8, 20), date(2025, 10, 20), date(2026, 1, 20))
N_DAY = 100
HOLIDAYS = frozenset({date(2025, 8, 25), date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1), date(2026, 4, 3)})


@st.composite
def events(draw):
    first_day = draw(st.sampled_from(RUNS))
    rule = draw(st.sampled_from([method.rule for method in METHODS.values() if method.is_historical]))
    changes = {
        "lookback_days": draw(st.sampled_from([60, 30, 10])),
        "adjustment_periods": draw(st.sampled_from([rule.adjustment_periods, 3, 10])),
        "adjustment_gap_periods": draw(st.sampled_from([2, 0, 5])),
        "min_adjustment_periods": draw(st.sampled_from([1, 3, 6])),
        "adjustment_cap_share": draw(st.sampled_from([None, None, 0.0, 0.2, 1.5])),
        "adjustment": draw(st.sampled_from(["additive", "ratio", "monitored"])),
        "floor_at_zero": draw(st.booleans()),
    }
    if rule.n_kept_working is None and rule.selection == "most-recent":
        changes["n_drop_working"], changes["n_drop_non_working"] = draw(st.integers(0, 2)), draw(st.integers(0, 1))
    rule = replace(rule, **changes)
    at = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
    starts_at = at + timedelta(days=draw(st.integers(64, N_DAY - 4)), minutes=30 * draw(st.integers(0, 47)))
    return first_day, rule, TimeGrid(starts_at, draw(st.sampled_from([1, 2, 6, 12, 50])))


def readings(rng, n_meter, *, missing):
    """Few different values, so that days tie; whole days and single half-hours missing."""
    energy_kwh = rng.choice([0.0, 0.0, 0.0001, 0.75, 3.7, 3.70005], (n_meter, N_DAY, 48))
    energy_kwh[rng.random(energy_kwh.shape) < missing] = np.nan
    energy_kwh[rng.random((n_meter, N_DAY)) < missing * 20] = np.nan
    return energy_kwh.reshape(n_meter, -1)


def history_of(energy_kwh, table, is_event_day, unit, holidays=HOLIDAYS):
    return BaselineHistory(
        row_ids=tuple(f"evse-{at}" for at in range(len(energy_kwh))),
        grid=table.grid,
        days=table.days,
        holidays=holidays,
        is_event_day=is_event_day[unit],
        event_kwh=energy_kwh[:, table.day_event],
        adjustment_kwh=energy_kwh[:, table.day_window],
        adjustment_metered_kwh=energy_kwh[:, table.window],
    )


class TestAddBaselines:
    @settings(max_examples=150)
    @given(event=events(), seed=st.integers(0, 10_000), missing=st.sampled_from([0.0, 0.002, 0.03]))
    def test_agrees_with_the_event_by_event_baseline(self, event, seed, missing):
        first_day, rule, grid = event
        rng = np.random.default_rng(seed)
        energy_kwh, unit = readings(rng, 7, missing=missing), rng.integers(0, 2, 7)
        table = event_table(grid, rule, holidays=HOLIDAYS, first_day=first_day, n_half_hour=energy_kwh.shape[1])
        is_event_day = rng.random((2, len(table.days))) < 0.2
        found = np.full((9, grid.n_period), 77, dtype=np.int32)
        meters, rows = np.array([6, 0, 1, 2, 4]), np.array([0, 2, 3, 8, 5])
        add_baselines(
            as_quanta(energy_kwh),
            meters=meters,
            unit=unit[meters],
            is_event_day=is_event_day,
            table=table,
            rows=rows,
            baseline=found,
        )
        expected = event_baseline(history_of(energy_kwh, table, is_event_day, unit), rule).baseline_kwh
        np.testing.assert_array_equal(as_kwh(found[rows]), expected[meters])
        assert (found[[1, 4, 6, 7]] == 77).all()

    def test_gives_the_worked_mid_8_in_10(self):
        """docs/methods/baseline.md: 42.0 to 50.0 kWh on ten days, a window 3 kWh above: 44.75 kWh."""
        days = [42.0, 38, 45, 40, 44, 36, 50, 41, 39, 45]
        first_day, event_day = date(2026, 1, 5), date(2026, 1, 19)
        energy_kwh = np.full((1, 15 * 48), 30.0)
        energy_kwh[0, 34::48] = 0.0
        working = [day for day in range(14) if (first_day + timedelta(days=day)).weekday() < 5]
        for day, kwh in zip(working, days, strict=True):
            energy_kwh[0, day * 48 + 34] = kwh
        energy_kwh[0, 14 * 48 + 26 : 14 * 48 + 32] = [33, 34, 32, 33, 36, 30]
        rule = BaselineRule(lookback_days=14)
        grid = TimeGrid(datetime(2026, 1, 19, 17, tzinfo=UTC), 1)
        table = event_table(grid, rule, holidays=frozenset(), first_day=first_day, n_half_hour=energy_kwh.shape[1])
        assert table.days[-1] == event_day - timedelta(days=1)
        baseline = np.zeros((1, 1), dtype=np.int32)
        none = np.zeros((1, len(table.days)), dtype=bool)
        at = np.zeros(1, dtype=np.int64)
        add_baselines(
            as_quanta(energy_kwh), meters=at, unit=at, is_event_day=none, table=table, rows=at, baseline=baseline
        )
        assert as_kwh(baseline).tolist() == [[44.75]]


class TestEventTable:
    def test_refuses_an_event_the_run_does_not_hold(self):
        grid = TimeGrid(datetime(2026, 1, 19, 17, tzinfo=UTC), 4)
        with pytest.raises(OutsideReadings, match="of which 480 were loaded"):
            event_table(grid, BaselineRule(), holidays=HOLIDAYS, first_day=date(2026, 1, 10), n_half_hour=480)
