from datetime import date, timedelta

import numpy as np
import pytest

from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.network import load_area
from aggregator.core.fleet import Fleet
from aggregator.core.timegrid import charging_day
from aggregator.models import EVSE
from aggregator.services.forecasts import forecast_area
from dispatch.arrays.runs import Ceilings, load_ceilings, newest_run
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun, RunNode, Setpoint
from dispatch.services.runs import run_dispatch
from markets.services.cycle import day_ahead
from tests.factories import make_evse
from tests.walks.small_area import TARIFF, SmallArea, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)


@pytest.fixture
def street() -> SmallArea:
    return make_small_area(DAY)


def dispatch(area: SmallArea, *, unserved_gbp_per_kwh: float = 2.0) -> DispatchRun:
    as_of = day_ahead(DAY)
    forecast = forecast_area(area_code=area.feeder.code, day=DAY, as_of=as_of)
    parameters = RunParameters(method="greedy", unserved_gbp_per_kwh=unserved_gbp_per_kwh)
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=TARIFF, parameters=parameters)


class TestStoreRun:
    def test_writes_a_row_for_every_evse_even_one_that_is_not_expected(self, street):
        silent = make_evse("silent", node=street.feeder, dsrsp=street.dsrsps[0])
        run = dispatch(street)
        rows = Setpoint.objects.across_tenants().filter(run=run)
        assert rows.count() == 7
        row = rows.get(evse=silent)
        assert (row.start_period, row.end_period, row.energy_kwh) == (0, 0, 0.0)
        assert (row.unserved_kwh, row.unserveable_kwh) == (0.0, 0.0)
        assert not any(row.planned_kw)

    def test_states_amperes_and_kw_alike(self, street):
        for row in Setpoint.objects.across_tenants().filter(run=dispatch(street)):
            np.testing.assert_allclose(np.array(row.setpoint_a) * 0.23, row.setpoint_kw)
            assert set(row.setpoint_a) & set(range(1, 6)) == set()
            assert max(row.setpoint_a) <= 32

    def test_adds_the_nodes_up_from_the_rows(self, street):
        run = dispatch(street)
        rows = list(Setpoint.objects.across_tenants().filter(run=run))
        feeder = RunNode.objects.get(run=run, node=street.feeder)
        np.testing.assert_allclose(np.sum([row.planned_kw for row in rows], axis=0), feeder.planned_kw, atol=1e-9)
        np.testing.assert_allclose(np.sum([row.setpoint_kw for row in rows], axis=0), feeder.ceiling_kw, atol=1e-9)


class TestLoadCeilings:
    def test_reads_back_what_was_stored_by_pseudonym(self, street):
        run = dispatch(street)
        ceilings = load_ceilings(run=run)
        assert ceilings.evse_ids.tolist() == [f"evse_home-{index}" for index in range(6)]
        for at, evse_id in enumerate(ceilings.evse_ids.tolist()):
            row = Setpoint.objects.across_tenants().get(run=run, evse__pseudonym=evse_id)
            assert ceilings.setpoint_a[at].tolist() == row.setpoint_a
            assert (ceilings.planned_a[at] * 0.23).tolist() == pytest.approx(row.planned_kw)

    def test_reads_three_phases_as_amperes_of_each(self, street):
        EVSE.objects.across_tenants().filter(pk=street.evses[0].pk).update(node=street.feeder, phases=3, rated_kw=11.04)
        run = dispatch(street)
        ceilings = load_ceilings(run=run)
        row = Setpoint.objects.across_tenants().get(run=run, evse=street.evses[0])
        assert max(row.planned_kw) > 0
        assert (ceilings.planned_a[0] * 0.69).tolist() == pytest.approx(row.planned_kw)
        assert (ceilings.planned_a <= ceilings.setpoint_a).all()

    def test_is_empty_for_a_run_without_evses(self, street):
        run = dispatch(street)
        Setpoint.objects.across_tenants().filter(run=run).delete()
        ceilings = load_ceilings(run=run)
        assert ceilings.setpoint_a.shape == ceilings.planned_a.shape == (0, 48)


class TestCeilings:
    def fleet(self, street: SmallArea) -> Fleet:
        area = load_area(root=street.feeder, starts_at=GRID.starts_at, ends_at=GRID.ends_at)
        return load_fleet(area=area, at=GRID.starts_at)

    def test_follow_the_fleet_whatever_its_order(self, street):
        fleet = self.fleet(street)
        told_a = np.arange(6, dtype=np.int16)[:, np.newaxis] * np.ones(48, dtype=np.int16)
        turned = Ceilings(fleet.evse_pks[::-1], fleet.evse_ids[::-1], told_a, told_a * 2).of(fleet)
        assert turned.setpoint_a[:, 0].tolist() == [5, 4, 3, 2, 1, 0]
        assert turned.planned_a[:, 0].tolist() == [10, 8, 6, 4, 2, 0]
        assert turned.evse_ids.tolist() == fleet.evse_ids.tolist()

    def test_are_zero_for_an_evse_the_run_does_not_know(self, street):
        told_a = np.full((2, 48), 7, dtype=np.int16)
        keys = np.array([street.evses[3].pk, 0])
        one = Ceilings(keys, np.array(["evse_home-3", "evse_gone"]), told_a, told_a).of(self.fleet(street))
        assert one.setpoint_a[:, 0].tolist() == one.planned_a[:, 0].tolist() == [0, 0, 0, 7, 0, 0]


class TestNewestRun:
    def test_is_the_last_one_stored_of_that_area_and_day(self, street):
        first = dispatch(street)
        second = dispatch(street, unserved_gbp_per_kwh=3.0)
        assert first.created_at <= second.created_at

        def newest(charging_day: date = DAY, area_pk: int = street.feeder.pk):
            return newest_run(area_pk=area_pk, charging_day=charging_day)

        assert newest() == second
        assert newest(DAY + timedelta(days=1)) is None
        assert newest(area_pk=street.feeder.parent_id) is None
