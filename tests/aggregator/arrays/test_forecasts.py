from datetime import date

import numpy as np
import pytest

from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.forecasts import Expectation, load_expectation, load_forecast_sessions, store_forecast
from aggregator.arrays.network import load_area
from aggregator.core.availability import COUNT_QUANTILES, QUANTILES, AvailabilityForecast
from aggregator.core.fleet import Fleet, group_fleet
from aggregator.core.timegrid import charging_day
from aggregator.models import AvailabilityForecast as StoredForecast
from aggregator.models import EvseForecast, GroupForecast
from tests.factories import make_evse, make_feeder, make_organisation

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)


def make_forecast(fleet: Fleet, is_planned: list[bool], n_group: int) -> AvailabilityForecast:
    """Different figures in every place, so that a mix-up shows."""
    n_evse = fleet.n_evse
    quantiles = np.arange(n_evse)[:, np.newaxis] * 10.0 + np.arange(len(QUANTILES))
    planned = np.array(is_planned)
    return AvailabilityForecast(
        evse_ids=fleet.evse_ids,
        grid=GRID,
        probability=np.linspace(0.2, 0.9, n_evse),
        level=np.zeros(n_evse, dtype=np.int64),
        plug_in_h=quantiles,
        plug_out_h=quantiles + 0.5,
        energy_kwh=quantiles + 0.25,
        plug_in_period=np.zeros((n_evse, len(QUANTILES)), dtype=np.int64),
        plug_out_period=np.zeros((n_evse, len(QUANTILES)), dtype=np.int64),
        is_planned=planned,
        window_start=np.where(planned, np.arange(n_evse) + 10, 0),
        window_end=np.where(planned, np.arange(n_evse) + 30, 0),
        window_energy_kwh=np.where(planned, np.arange(n_evse) + 6.5, 0.0),
        plugged_in_share=np.zeros((n_evse, GRID.n_period)),
        plugged_in_count=np.arange(n_group * len(COUNT_QUANTILES) * GRID.n_period, dtype=float).reshape(
            n_group, len(COUNT_QUANTILES), GRID.n_period
        ),
    )


class TestStoreForecast:
    def store(self, is_planned: list[bool]) -> tuple[StoredForecast, AvailabilityForecast, Fleet]:
        feeder = make_feeder("street")
        for index, ref in enumerate("cab"):
            make_evse(ref, node=feeder, dsrsp=make_organisation(("amber", "blue")[index % 2]))
        area = load_area(root=feeder, starts_at=GRID.starts_at, ends_at=GRID.ends_at)
        fleet = load_fleet(area=area, at=GRID.starts_at)
        groups = group_fleet(fleet)
        forecast = make_forecast(fleet, is_planned, len(groups.labels))
        header = StoredForecast(
            charging_day=DAY,
            area=feeder,
            as_of=GRID.starts_at,
            starts_at=GRID.starts_at,
            n_period=GRID.n_period,
            method="by hand",
            rule={},
            input_sha256="0" * 64,
            quantiles=list(QUANTILES),
            n_session_known=3,
        )
        return store_forecast(header=header, forecast=forecast, fleet=fleet, groups=groups), forecast, fleet

    def test_reads_back_the_planned_sessions_by_pseudonym(self):
        stored, forecast, _ = self.store([True, False, True])

        sessions = load_forecast_sessions(forecast=stored)

        assert sessions.evse_ids.tolist() == ["evse_a", "evse_c"]
        assert sessions.start.tolist() == [10, 12]
        assert sessions.end.tolist() == [30, 32]
        assert sessions.energy_kwh.tolist() == [6.5, 8.5]
        assert sessions.probability.tolist() == [forecast.probability[0], forecast.probability[2]]
        expectation = load_expectation(forecast=stored)
        assert expectation.n_planned == 2
        assert expectation.n_expected == pytest.approx(forecast.probability[[0, 2]].sum())

    def test_keeps_every_quantile_beside_its_evse_and_dsrsp(self):
        stored, forecast, fleet = self.store([True, True, True])
        for at in range(fleet.n_evse):
            row = EvseForecast.objects.across_tenants().get(forecast=stored, evse=int(fleet.evse_pks[at]))
            assert row.organisation_id == fleet.dsrsp_pks[at]
            assert row.plug_in_h == forecast.plug_in_h[at].tolist()
            assert row.plug_out_h == forecast.plug_out_h[at].tolist()
            assert row.energy_quantiles_kwh == forecast.energy_kwh[at].tolist()

    def test_keeps_the_counts_of_each_group(self):
        stored, forecast, fleet = self.store([True, True, False])
        groups = group_fleet(fleet)
        rows = {row.group: row for row in GroupForecast.objects.across_tenants().filter(forecast=stored)}
        assert set(rows) == set(groups.labels)
        for at, label in enumerate(groups.labels):
            assert rows[label].organisation_id == groups.dsrsp_pks[at]
            assert rows[label].n_evse == (groups.group == at).sum()
            assert rows[label].quantiles == list(COUNT_QUANTILES)
            assert rows[label].plugged_in == forecast.plugged_in_count[at].tolist()

    def test_stores_a_day_on_which_nobody_is_expected(self):
        stored, _, _ = self.store([False, False, False])

        sessions = load_forecast_sessions(forecast=stored)

        assert len(sessions.evse_ids) == len(sessions.start) == len(sessions.energy_kwh) == 0
        assert sessions.start.dtype == np.int64
        assert load_expectation(forecast=stored) == Expectation(0, 0)
