from datetime import date, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.network import load_area
from aggregator.core.fleet import Fleet
from aggregator.core.timegrid import charging_day
from aggregator.services.forecasts import forecast_area
from dispatch.arrays.shortfall import load_past_shortfall
from dispatch.core.assemble import RunParameters
from dispatch.core.fairness import PastShortfall
from dispatch.models import DispatchRun, Setpoint
from dispatch.services.rolling import day_of
from dispatch.services.run_facts import assemble, facts_of
from dispatch.services.runs import run_dispatch
from markets.services.cycle import day_ahead
from tests.walks.small_area import TARIFF, SmallArea, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GREEDY = RunParameters(method="greedy")


@pytest.fixture
def street() -> SmallArea:
    return make_small_area(DAY)


def dispatch(day: date = DAY, parameters: RunParameters = GREEDY) -> DispatchRun:
    as_of = day_ahead(day)
    forecast = forecast_area(area_code="street", day=day, as_of=as_of)
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=TARIFF, parameters=parameters)


def fleet_of(street: SmallArea) -> Fleet:
    grid = charging_day(DAY)
    return load_fleet(
        area=load_area(root=street.feeder, starts_at=grid.starts_at, ends_at=grid.ends_at), at=grid.starts_at
    )


def planned(days_ago: int, as_of: datetime | None = None) -> DispatchRun:
    """A plan of some day before, known since that day's noon before or ``as_of``."""
    run, day = dispatch(DAY - timedelta(days=1)), DAY - timedelta(days=days_ago)
    run.charging_day, run.as_of, run.input_sha256 = day, as_of or day_ahead(day), f"{day}{as_of}"
    run.save()
    return run


def short(run: DispatchRun, pseudonym: str, *, unserved_kwh: float) -> None:
    rows = Setpoint.objects.across_tenants().filter(run=run, evse__pseudonym=pseudonym)
    assert rows.update(energy_kwh=10.0, unserved_kwh=unserved_kwh) == 1


def past_of(street: SmallArea, *, as_of: datetime | None = None, n_day: int = 3) -> PastShortfall:
    return load_past_shortfall(
        area_pk=street.feeder.pk, fleet=fleet_of(street), day=DAY, n_day=n_day, as_of=as_of or day_ahead(DAY)
    )


class TestLoadPastShortfall:
    def test_puts_each_days_plan_in_its_column_and_each_evse_in_its_row(self, street):
        short(planned(1), "evse_home-2", unserved_kwh=4.0)
        short(planned(3), "evse_home-5", unserved_kwh=9.0)
        past = past_of(street)
        assert past.unserved_kwh[2].tolist() == [0.0, 0.0, 4.0]
        assert past.unserved_kwh[5].tolist() == [9.0, 0.0, 0.0]
        assert past.serveable_kwh[5, 0] == 10.0
        assert not past.serveable_kwh[:, 1].any()

    def test_leaves_out_the_day_itself_and_days_too_long_ago(self, street):
        for days_ago in (0, 4):
            short(planned(days_ago), "evse_home-2", unserved_kwh=4.0)
        past = past_of(street)
        assert past.serveable_kwh.shape == (6, 3)
        assert not past.serveable_kwh.any()

    def test_takes_the_last_run_that_was_known(self, street):
        before = DAY - timedelta(days=1)
        early, late = day_ahead(before) - timedelta(hours=2), day_ahead(before)
        short(planned(1, late), "evse_home-2", unserved_kwh=1.0)
        short(planned(1, early), "evse_home-2", unserved_kwh=4.0)
        assert past_of(street).unserved_kwh[2].tolist() == [0.0, 0.0, 1.0]
        assert past_of(street, as_of=early).unserved_kwh[2].tolist() == [0.0, 0.0, 4.0]

    def test_knows_nothing_where_nothing_was_dispatched(self, street):
        assert not past_of(street).serveable_kwh.any()


class TestRunsAfterShortDays:
    def test_price_the_energy_of_who_was_left_short_higher(self, street):
        short(planned(1), "evse_home-2", unserved_kwh=8.0)
        facts, parameters = facts_of(run=dispatch())
        problem = assemble(facts, parameters).problem
        price = dict(zip(problem.session_ids.tolist(), problem.session_unserved_gbp_per_kwh.tolist(), strict=True))
        assert max(price.values()) == price["evse_home-2"] == pytest.approx(3.0)
        assert min(price.values()) == pytest.approx(2.0)

    def test_stay_at_that_price_when_the_day_is_dispatched_anew(self, street):
        """Of everybody in the fleet: who wasn't planned for may still come."""
        short(planned(1), "evse_home-2", unserved_kwh=8.0)
        run = dispatch()
        facts, parameters = facts_of(run=run)
        day = day_of(run=run, facts=facts, assembled=assemble(facts, parameters), parameters=parameters)
        price = dict(zip(day.everyone.session_ids.tolist(), day.unserved_gbp_per_kwh.tolist(), strict=True))
        assert len(price) == 6
        assert {name: gbp for name, gbp in price.items() if gbp > 2.0} == {"evse_home-2": pytest.approx(3.0)}

    def test_are_other_runs_than_without_that_past(self, street):
        first = dispatch()
        short(planned(1), "evse_home-2", unserved_kwh=8.0)
        again = dispatch()
        assert again.pk != first.pk

    def test_price_all_alike_where_the_factor_is_one(self, street):
        short(planned(1), "evse_home-2", unserved_kwh=8.0)
        run = dispatch(parameters=RunParameters(method="greedy", fairness_most=1.0))
        problem = assemble(*facts_of(run=run)).problem
        np.testing.assert_array_equal(problem.session_unserved_gbp_per_kwh, 2.0)
        assert run.parameters["fairness_most"] == 1.0
        assert run.parameters["fairness_days"] == 14

    def test_of_before_there_was_a_factor_price_all_alike(self, street):
        short(planned(1), "evse_home-2", unserved_kwh=8.0)
        run = dispatch()
        del run.parameters["fairness_most"]
        np.testing.assert_array_equal(assemble(*facts_of(run=run)).problem.session_unserved_gbp_per_kwh, 2.0)
