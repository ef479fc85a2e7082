"""The cores against sessions that really happened."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aggregator.core.availability import QUANTILES, PlanningRule
from aggregator.core.availability_backtest import backtest
from aggregator.core.local_clock import charging_days
from aggregator.core.timegrid import TimeGrid, charging_day
from aggregator.core.virtual_evse import uncontrolled_energy_kwh
from tests.norway import FALLBACK_KW, N_DAY, Norway, classified, load_norway, scores, sessions_of

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def norway(real_data: Path) -> Norway:
    return load_norway(real_data)


class TestClassifySessions:
    def test_finds_the_defects_of_norway(self, real_data):
        frame = pd.read_csv(real_data / "ev_sessions_norway.csv.gz")

        counts = classified(frame, frame["est_charge_kw"].to_numpy(np.float64))[0].counts()

        found = {code: number for code, number in counts.items() if number}
        # 53 start before the previous session has ended; 16 more before one that started earlier still.
        assert found == {"session.open": 11, "session.overlapping": 69, "session.over_rating": 15}

    def test_finds_the_defects_of_dundee(self, real_data):
        counts = classified(pd.read_csv(real_data / "ev_sessions_dundee.csv.gz"))[0].counts()

        assert counts | {"session.overlapping": 0} == {
            "session.no_evse": 2,
            "session.open": 278,
            "session.reversed": 4,
            "session.zero_length": 481,
            "session.duplicate": 2,
            "session.negative_energy": 24,
            "session.absurd_energy": 1,
            "session.overlapping": 0,
            "session.zero_energy": 2094,
            "session.over_7_days": 24,
            "session.over_100_kwh": 1,
            "session.over_rating": 5 - 1,
        }

    def test_finds_the_defects_of_boulder(self, real_data):
        counts = classified(pd.read_csv(real_data / "ev_sessions_boulder_2018_2019.csv.gz"))[0].counts()

        assert counts["session.zero_energy"] == 1413
        assert counts["session.zero_length"] == 147
        assert counts["session.over_7_days"] == 7
        assert counts["session.duplicate"] == 13


class TestUncontrolledEnergy:
    def test_agrees_with_the_published_half_hours(self, real_data):
        frame = pd.read_csv(real_data / "ev_sessions_norway.csv.gz")
        sessions, kept = sessions_of(frame)
        expected = pd.read_csv(real_data / "asset_hh_norway_derived.csv.gz")
        hours = (sessions.plug_out_at - sessions.plug_in_at) / np.timedelta64(3600, "s")
        estimated_kw = frame["est_charge_kw"].fillna(FALLBACK_KW).to_numpy(np.float64)[kept]
        rated_kw = np.maximum(estimated_kw, sessions.energy_kwh / hours)
        start = pd.Timestamp("2018-09-01", tz="UTC")
        grid = TimeGrid(start.to_pydatetime(), 48 * 1080)

        energy_kwh = uncontrolled_energy_kwh(sessions, rated_kw=rated_kw, grid=grid)

        evse = pd.Index(sessions.evse_ids).get_indexer(expected["evse_id"])
        period = (pd.to_datetime(expected["period_start_utc"]) - start) // pd.Timedelta(minutes=30)
        np.testing.assert_allclose(energy_kwh[evse, period], expected["kwh"], rtol=0, atol=1e-4)
        assert energy_kwh.sum() == pytest.approx(expected["kwh"].sum(), rel=1e-5)


class TestBacktest:
    def test_is_calibrated_and_beats_saying_the_mean(self, norway):
        found = scores(norway, PlanningRule())

        assert found.n_day == N_DAY
        assert found.brier < 0.8 * found.brier_constant
        assert np.abs(found.coverage[[0, 2]] - np.array(QUANTILES)).max() < 0.06
        # Plug-outs are cut at noon, where several quantiles coincide, so the upper ones cover more than they say.
        assert np.abs(found.coverage[1] - np.array(QUANTILES)).max() < 0.09
        assert found.window_share > 0.88
        assert found.served_share > 0.67
        assert found.reserved_ratio < 3.5

    def test_serves_most_real_energy_once_spare_ceilings_are_given(self, norway):
        found = scores(norway, PlanningRule(), spare_kw=3.6)

        assert found.served_share > 0.84

    def test_uses_the_grid_of_the_day(self, norway):
        night = date(2019, 10, 26)

        found = backtest(
            norway.history,
            evse_groups=norway.site,
            days=charging_days(night, 1),
            day_types=norway.day_types,
            rated_kw=norway.evse_kw,
            merit=norway.merit,
        )

        assert charging_day(night).n_period == 50
        assert 0 < found.served_kwh <= found.in_window_kwh <= found.asked_kwh
