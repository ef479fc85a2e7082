"""Cycles that once ended in a crash instead of a finding, or in two rows where one was meant."""

from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pytest

from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import AvailabilityForecast, NodeRating
from aggregator.services import forecasts
from aggregator.services.ingest_readings import ingest_readings
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun, TargetSignal
from dispatch.services import runs
from dispatch.services.runs import run_dispatch
from markets.models import CycleRun, Instruction, SettlementRun, Statement
from markets.services import settlement
from markets.services.cycle import day_ahead, run_cycle
from markets.services.settlement import instruct_event, settle_event
from tests.factories import make_node
from tests.walks.small_area import TARIFF, SmallArea, call, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
NOON = charging_day(DAY).ends_at
NEXT_DAY = DAY + timedelta(days=1)
GREEDY = RunParameters(method="greedy")
EVENING = utc(DAY, time(17)), utc(DAY, time(19))


class TestACycle:
    def test_says_nothing_of_the_tightest_node_where_no_rating_is_known(self):
        area = make_small_area(DAY)
        NodeRating.objects.all().delete()

        figures = CycleRun.objects.get(pk=run_cycle(order=area.order()).pk).summary

        assert figures["energy_delivered_kwh"] > 0
        assert not {name for name in figures if name.startswith("tightest")}

    def test_notes_an_event_in_a_zone_without_evses(self):
        area = make_small_area(DAY)
        empty = make_node("street-end", "distribution", area.feeder, dno=area.dno)
        event = call(area, *EVENING)
        TargetSignal.objects.filter(pk=event.signal_id).update(node=empty)

        cycle = run_cycle(order=area.order())

        assert cycle.summary["findings"]["cycle.event_not_settled"] == 1
        assert not SettlementRun.objects.exists()


class TestAnEventAcrossNoon:
    @pytest.fixture
    def area(self):
        """Six homes that draw 4 kW each from 11:00 to 14:00 on every day before the one that is called."""
        area = make_small_area(NEXT_DAY)
        event = call(area, NOON - timedelta(hours=1), NOON + timedelta(hours=2), target_kw=0.0)
        TargetSignal.objects.filter(pk=event.signal_id).update(received_at=day_ahead(DAY) - timedelta(hours=1))
        days = np.datetime64(DAY) - np.arange(30)
        half_hours = np.timedelta64(11, "h") + np.arange(6) * np.timedelta64(30, "m")
        starts_at = (days[:, np.newaxis] + half_hours).astype("datetime64[s]").ravel()
        for at, dsrsp in enumerate(area.dsrsps):
            meters = [evse.meter_id for evse in area.evses[at::2]]
            ingest_readings(
                organisation=dsrsp,
                source="noons",
                sha256=f"noon-{at}",
                received_at=NOON + timedelta(days=30),
                backfill=True,
                values=ReadingValues(
                    np.repeat(meters, len(starts_at)),
                    np.tile(starts_at, len(meters)),
                    np.full(len(starts_at) * len(meters), 2.0),
                ),
            )
        return area

    def test_is_instructed_day_by_day(self, area):
        cycles = [run_cycle(order=replace(area.order(), day=day, as_of=day_ahead(day))) for day in (DAY, NEXT_DAY)]

        for dsrsp in area.dsrsps:
            told = Instruction.objects.across_tenants().filter(organisation=dsrsp)
            first, second = (told.get(run=cycle.run).instructed_kw for cycle in cycles)
            assert first == pytest.approx([12.0, 12.0, 0, 0, 0, 0])
            assert second == pytest.approx([0, 0, 12.0, 12.0, 12.0, 12.0])

    def test_is_settled_whole_when_it_is_over(self, area):
        before = run_cycle(order=replace(area.order(), day=DAY, as_of=day_ahead(DAY)))
        assert before.summary["findings"]["cycle.event_not_settled"] == 1
        assert not SettlementRun.objects.exists()

        cycle = run_cycle(order=area.order())

        assert list(cycle.settlement_runs.all()) == [SettlementRun.objects.get()]
        for statement in Statement.objects.across_tenants():
            # 12 kW for three hours at 300 GBP/MWh, and nobody drew anything.
            assert (statement.instructed_kwh, statement.delivered_kwh) == (Decimal("36.0000"), Decimal("36.0000"))
            assert statement.payment_gbp == Decimal("10.80")


class TestTwoAtOnce:
    """Each step is run once more, whole, in the middle of itself: what a second process may do at any time."""

    def test_store_one_forecast(self, monkeypatch):
        area = make_small_area(DAY)
        meanwhile(monkeypatch, forecasts, "forecast_availability", lambda: forecast(area))

        assert forecast(area) == AvailabilityForecast.objects.get()

    def test_store_one_run(self, monkeypatch):
        area = make_small_area(DAY)
        stored = forecast(area)

        def dispatch() -> DispatchRun:
            return run_dispatch(forecast=stored, as_of=stored.as_of, tariff_code=TARIFF, parameters=GREEDY)

        meanwhile(monkeypatch, runs, "solve", dispatch)

        assert dispatch() == DispatchRun.objects.get()

    def test_instruct_and_settle_once(self, monkeypatch):
        area = make_small_area(DAY)
        event = call(area, *EVENING)
        stored = forecast(area)
        run = run_dispatch(forecast=stored, as_of=stored.as_of, tariff_code=TARIFF, parameters=GREEDY)
        meanwhile(monkeypatch, settlement, "instructed_kw", lambda: instruct_event(event=event, run=run))
        told = instruct_event(event=event, run=run)
        assert sorted(one.pk for one in told) == sorted(
            Instruction.objects.across_tenants().values_list("pk", flat=True)
        )
        meanwhile(monkeypatch, settlement, "newest_settlement", lambda: settle_event(event=event, run=run, as_of=NOON))

        assert settle_event(event=event, run=run, as_of=NOON) == SettlementRun.objects.get()
        assert Statement.objects.across_tenants().count() == 2


def forecast(area: SmallArea) -> AvailabilityForecast:
    return forecasts.forecast_area(area_code=area.feeder.code, day=area.day, as_of=day_ahead(area.day))


def meanwhile(monkeypatch, module, name: str, again) -> None:
    """Do the whole step once more just before it computes."""
    original = getattr(module, name)

    def interrupted(*args, **kwargs):
        monkeypatch.setattr(module, name, original)
        again()
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, interrupted)
