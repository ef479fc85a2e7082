"""Every baseline method on three months of real homes on which nothing was asked.

`make test TESTS=tests/walks/test_baseline_lab.py WORKERS=0` prints the figures of docs/methods/baseline.md.
"""

from dataclasses import replace
from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from markets.core.baseline_gaming import departure
from markets.core.baseline_lab import LabResult, MethodScore, run_lab
from markets.core.gaming_findings import LIKE_DAYS, like_days
from markets.core.history import adjustment_starts
from markets.core.lab_fleet import LabDay, LabFleet, lab_days, lab_grid
from tests.norway import load_lab_fleet

pytestmark = pytest.mark.real_data

FIVE, N_PERIOD = time(17), 4
FIRST, LAST = date(2019, 11, 4), date(2020, 1, 31)


@pytest.fixture(scope="module")
def fleet(real_data: Path) -> LabFleet:
    return load_lab_fleet(real_data)


@pytest.fixture(scope="module")
def result(fleet) -> LabResult:
    return run_lab(fleet, days=lab_days(FIRST, LAST, called=frozenset()), starts=FIVE, n_period=N_PERIOD)


def score(result: LabResult, method: str, level: str) -> MethodScore:
    return next(one for one in result.scores if (one.method, one.level) == (method, level))


def flagged_share(fleet: LabFleet, days: tuple[date, ...], extra_kw: float) -> float:
    """Days on which the flag goes up when every EVSE draws ``extra_kw`` more in the window of that day alone."""
    everyone = np.arange(len(fleet.evse_ids))
    n_flagged = 0
    for day in days:
        grid = lab_grid(day, starts=FIVE, n_period=N_PERIOD)
        window = adjustment_starts(grid.starts_at, n_periods=6, gap_periods=2)
        index = ((window - fleet.starts_at) // np.timedelta64(1800, "s")).astype(int)
        energy_kwh = fleet.energy_kwh.copy()
        energy_kwh[:, index] += extra_kw * grid.step_h
        history = LabDay(replace(fleet, energy_kwh=energy_kwh), grid, everyone, 0.8).history("fleet", LIKE_DAYS)
        like_kwh = np.where(like_days(history), history.adjustment_kwh.sum(axis=2), np.nan)
        found = departure(history.adjustment_metered_kwh.sum(axis=1), like_kwh, direction="turn_down")
        n_flagged += int(found.is_flagged[0])
    return n_flagged / len(days)


def report(result: LabResult, flagged_shares: dict[float, float]) -> str:
    """The figures of the method's page."""
    zero, metered_kw = result.zero_days, result.scores[0].metered_kw
    rows = [
        f"{one.level:6}{one.method:26}{one.bias_kw:+.3f} {one.rmse_kw:.3f} {one.low_kw:+.3f} {one.high_kw:+.3f} "
        f"{one.bias_share:+5.0%} {one.rmse_share:6.0%}"
        for one in result.scores
    ]
    return "\n".join(
        [
            f"\n{result.n_evse} EVSEs, {len(result.days)} days, metered {metered_kw:.3f} kW an EVSE",
            "level method                    bias   RMSE  10 %   90 %   kW per EVSE, and bias and RMSE of metered",
            *rows,
            (
                f"like days at zero: {zero.mean_share:.1%} (EVSEs: a tenth below {zero.low_share:.0%}, half below "
                f"{zero.median_share:.0%}, a tenth above {zero.high_share:.0%}); baselines on mostly zero days "
                f"{zero.mostly_zero_share:.1%}; nothing metered {zero.metered_zero_share:.1%}"
            ),
            f"EVSEs by share of zero days, in tenths: {zero.n_evse_by_share.tolist()}",
            *(f"false alarms, {one.level}: {one.n_flagged} of {one.n_tested}" for one in result.flags),
            f"days flagged by kW an EVSE drawn on top: {flagged_shares}",
        ]
    )


class TestRealHomes:
    def test_are_tested_on_every_day(self, result):
        assert (result.n_evse, len(result.days)) == (result.n_evse_tested, 89)
        assert {one.n_without for one in result.scores} == {0}

    def test_draw_half_a_kilowatt_each_in_the_evening(self, result):
        metered_kw = score(result, "bl01", "fleet").metered_kw

        assert 0.3 < metered_kw < 0.7

    def test_hardly_ever_charge_one_by_one_in_the_window(self, result):
        zero = result.zero_days

        assert zero.mean_share > 0.7
        assert zero.mostly_zero_share > 0.8

    def test_even_out_as_a_fleet_and_not_one_by_one(self, result):
        for method in ("bl01", "mid-8-in-10", "rolling-10-in-10", "caiso-10-in-10"):
            fleet, evse = score(result, method, "fleet"), score(result, method, "evse")
            assert abs(fleet.bias_share) < 0.06
            assert fleet.rmse_kw < evse.rmse_kw / 5

    def test_lose_their_charging_days_where_the_highest_day_of_one_evse_is_dropped(self, result):
        """The same rule that is fair to the fleet takes a good part of what one EVSE draws."""
        assert score(result, "mid-8-in-10", "evse").bias_share < -0.3
        assert abs(score(result, "rolling-10-in-10", "evse").bias_share) < 0.05

    def test_would_be_paid_for_nothing_under_the_highest_days(self, result):
        assert score(result, "bl01-highest", "fleet").bias_share > 0.15
        assert score(result, "high-5-in-10", "fleet").bias_share > 0.1

    def test_raise_few_false_alarms_as_a_fleet(self, fleet, result, capsys):
        by_level = {flags.level: flags for flags in result.flags}
        shares = {extra_kw: flagged_share(fleet, result.days, extra_kw) for extra_kw in (0.0, 0.25, 0.5, 1.0)}
        with capsys.disabled():
            print(report(result, shares))  # noqa: T201

        assert by_level["fleet"].rate < 0.05
        assert shares[0.0] == by_level["fleet"].rate
        assert shares[1.0] > 0.8
