"""The cap on a run's fleet, and what the log keeps of a run."""

from datetime import date, timedelta

import pytest

from aggregator.models import Event
from aggregator.services.event_log import verify_events
from aggregator.services.forecasts import forecast_area
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun
from dispatch.services.run_log import AreaAboveCap
from dispatch.services.runs import run_dispatch, run_in_force
from markets.services.cycle import day_ahead
from tests.factories import make_evse
from tests.walks.small_area import RATED_KW, TARIFF, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
AS_OF = day_ahead(DAY)
FLEET_MW = 6 * RATED_KW / 1000


def dispatch(minutes: int = 0) -> DispatchRun:
    as_of = AS_OF + timedelta(minutes=minutes)
    forecast = forecast_area(area_code="street", day=DAY, as_of=as_of)
    greedy = RunParameters(method="greedy")
    return run_dispatch(forecast=forecast, as_of=as_of, tariff_code=TARIFF, parameters=greedy)


class TestRefuseAboveCap:
    @pytest.mark.parametrize(("share", "is_run"), [(0.9, True), (1.0, True), (1.01, False), (10.0, False)])
    def test_goes_by_the_cap(self, settings, share, is_run):
        make_small_area(DAY)
        settings.CONTROLLABLE_CAP_MW = FLEET_MW / share
        if is_run:
            assert dispatch().pk
            return
        with pytest.raises(AreaAboveCap, match="6 EVSEs in street") as refused:
            dispatch()
        assert refused.value.details["value"] == pytest.approx(FLEET_MW)
        assert not DispatchRun.objects.exists()

    def test_leaves_the_last_run_in_force(self, settings):
        area = make_small_area(DAY)
        settings.CONTROLLABLE_CAP_MW = FLEET_MW
        last = dispatch()
        make_evse("one-more", node=area.evses[0].node, dsrsp=area.dsrsps[0])
        with pytest.raises(AreaAboveCap):
            dispatch(minutes=1)
        assert run_in_force(area_code="street", day=DAY) == last


class TestRecordRun:
    def test_keeps_each_run_and_the_one_before(self):
        area = make_small_area(DAY)
        first = dispatch()
        assert dispatch() == first
        make_evse("one-more", node=area.evses[0].node, dsrsp=area.dsrsps[0])
        second = dispatch(minutes=1)
        events = list(Event.objects.across_tenants().filter(action="dispatch.stored").order_by("sequence"))
        assert [event.after["run"] for event in events] == [first.pk, second.pk]
        assert (events[0].before, events[1].before["run"]) == (None, first.pk)
        assert events[1].after["n_evse"] == 7
        assert {event.organisation for event in events} == {area.dno}
        assert verify_events().is_intact
