from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pytest
from django.apps import apps

from aggregator.arrays.prices import UnknownTariff
from aggregator.core.network_area import UnknownNode
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import ChargingSession, Enrolment, Finding, NetworkNode, NodeRating, TariffDay
from dispatch.core.assemble import RunParameters
from dispatch.core.check import CheckFailed
from dispatch.services.delivery import DayNotOver
from dispatch.services.runs import run_in_force
from markets.models import CycleNode, CycleRun, Instruction, SettlementRun, Statement
from markets.services import cycle as cycle_service
from markets.services.cycle import STEPS, CycleOrder, day_ahead, run_cycle
from tests.walks.small_area import SmallArea, add_evening, call, make_batch, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
EVENING = (utc(DAY, time(17)), utc(DAY, time(19)))
GREEDY = RunParameters(method="greedy")


def order(area: SmallArea, **changes: Any) -> CycleOrder:
    return replace(area.order(), **{"parameters": GREEDY, **changes})


def n_rows() -> dict[str, int]:
    """How many rows each table of the house holds."""
    models = [
        model for name in ("aggregator", "dispatch", "markets") for model in apps.get_app_config(name).get_models()
    ]
    return {model.__name__: model._base_manager.count() for model in models}


def published() -> list[tuple[bytes, str]]:
    rows = Statement.objects.across_tenants().order_by("pk")
    return [(bytes(row.content), row.sha256) for row in rows]


class TestRunCycle:
    def test_leaves_a_finished_cycle_with_all_it_made(self):
        area = make_small_area(DAY)
        event = call(area, *EVENING)
        steps: list[str] = []

        made = run_cycle(order=order(area), on_step=steps.append)

        cycle = CycleRun.objects.get(pk=made.pk)
        assert (cycle.state, cycle.error, cycle.charging_day, cycle.area) == ("done", "", DAY, area.feeder)
        assert steps == list(STEPS)
        assert cycle.forecast.charging_day == cycle.run.charging_day == DAY
        assert cycle.run == run_in_force(area_code="street", day=DAY)
        assert [settlement.event for settlement in cycle.settlement_runs.all()] == [event]
        assert cycle.delivery_batch.organisation in area.dsrsps
        assert CycleNode.objects.filter(cycle=cycle).count() == 4
        assert cycle.summary["n_evse"] == 6
        assert cycle.summary["payment_gbp"] == pytest.approx(12.25)  # 5.84 and 6.41, worked by hand in test_settlement

    def test_gives_the_same_result_when_the_same_is_ordered_again(self):
        area = make_small_area(DAY)
        call(area, *EVENING)
        first = run_cycle(order=order(area))
        rows, files, summary = n_rows(), published(), first.summary

        again = run_cycle(order=order(area))

        assert again.pk == first.pk
        assert again.summary == summary
        assert n_rows() == rows
        assert published() == files

    def test_gives_the_same_files_from_an_empty_table(self):
        area = make_small_area(DAY)
        call(area, *EVENING)
        run_cycle(order=order(area, now=GRID.ends_at + timedelta(days=3)))
        files = published()

        run_cycle(order=order(area, now=GRID.ends_at + timedelta(days=30)))

        assert published() == files

    def test_ends_without_a_statement_where_nobody_called(self):
        area = make_small_area(DAY)
        cycle = run_cycle(order=order(area))
        assert (cycle.state, cycle.summary["payment_gbp"], cycle.summary["instructed_kwh"]) == ("done", 0.0, 0.0)
        assert not SettlementRun.objects.exists()

    def test_settles_every_event_of_the_day(self):
        area = make_small_area(DAY)
        call(area, *EVENING)
        call(area, utc(DAY, time(20)), utc(DAY, time(21)), reference="CALL-2", target_kw=0.0)
        cycle = run_cycle(order=order(area))
        references = {run.event.signal.reference for run in cycle.settlement_runs.all()}
        assert references == {"CALL-1", "CALL-2"}
        assert len(published()) == 4

    def test_adds_up_the_curves_by_hand(self):
        area = make_small_area(DAY)
        cycle = run_cycle(order=order(area))
        nodes = {row.node.code: row for row in CycleNode.objects.filter(cycle=cycle).select_related("node")}
        for field in ("uncontrolled_kw", "metered_kw"):
            phases = sum(np.array(getattr(nodes[f"street-{letter}"], field)) for letter in "ABC")
            np.testing.assert_allclose(getattr(nodes["street"], field), phases, atol=1e-9)
        assert sum(nodes["street"].uncontrolled_kw) / 2 == pytest.approx(51.0)
        assert sum(nodes["street"].metered_kw) / 2 == pytest.approx(cycle.summary["energy_delivered_kwh"])
        assert [nodes[code].n_evse for code in ("street", "street-A", "street-B", "street-C")] == [6, 2, 2, 2]

    def test_says_in_the_summary_what_it_cost_by_hand(self):
        """The evenings cost 30 p a kWh, the night 8 p: 51 kWh at once or planned."""
        area = make_small_area(DAY)
        figures = run_cycle(order=order(area)).summary
        assert figures["cost_uncontrolled_gbp"] == pytest.approx(51.0 * 0.30)
        assert figures["cost_metered_gbp"] == pytest.approx(51.0 * 0.08)
        assert figures["peak_uncontrolled_kw"] == pytest.approx(41.44)  # 9.68 and 11.04 kWh from 17:30 to 18:00

    def test_names_a_node_that_was_over_its_rating_once(self):
        area = make_small_area(DAY)
        NodeRating.objects.filter(node__code="street-A").update(rating_kva=0.001)
        NetworkNode.objects.filter(code="street-A").update(n_customers=10)
        for _ in range(2):
            cycle = run_cycle(order=order(area))
            notes = Finding.objects.across_tenants().filter(code="network.over_rating")
            assert [(note.subject, note.severity) for note in notes] == [("street-A", "alarm")]
        assert cycle.summary["findings"]["network.over_rating"] == 1

    def test_ends_well_on_a_network_without_any_rating(self):
        area = make_small_area(DAY)
        NodeRating.objects.all().delete()
        cycle = run_cycle(order=order(area))
        assert cycle.state == "done"
        assert cycle.summary["findings"]["network.no_rating"] == 4
        assert CycleRun.objects.get(pk=cycle.pk).summary == cycle.summary

    def test_ends_well_with_an_empty_fleet(self):
        area = make_small_area(DAY)
        call(area, *EVENING)
        Enrolment.objects.across_tenants().update(ends_at=GRID.starts_at)
        cycle = run_cycle(order=order(area))
        assert (cycle.state, cycle.summary["n_evse"], cycle.summary["payment_gbp"]) == ("done", 0, 0.0)
        assert cycle.delivery_batch is None
        assert not SettlementRun.objects.exists()

    def test_ends_well_where_no_session_was_ever_seen(self):
        area = make_small_area(DAY)
        call(area, *EVENING)
        ChargingSession.objects.across_tenants().delete()
        cycle = run_cycle(order=order(area))
        assert (cycle.state, cycle.summary["n_session"], cycle.summary["energy_asked_kwh"]) == ("done", 0, 0.0)
        assert cycle.summary["findings"]["availability.no_history"] == 1

    def test_ends_well_where_no_headroom_is_left(self):
        area = make_small_area(DAY)
        NodeRating.objects.filter(node=area.feeder).update(rating_kva=0.001)
        call(area, *EVENING)
        cycle = run_cycle(order=order(area))
        assert (cycle.state, cycle.summary["energy_planned_kwh"]) == ("done", 0.0)
        assert cycle.summary["findings"]["dispatch.unserved"] == 6
        assert cycle.summary["energy_unserved_kwh"] == pytest.approx(cycle.summary["energy_asked_kwh"])

    def test_refuses_an_unknown_area(self):
        area = make_small_area(DAY)
        with pytest.raises(UnknownNode):
            run_cycle(order=order(area, area_code="nowhere"))
        assert not CycleRun.objects.exists()

    def test_keeps_a_failure_with_its_reason(self):
        area = make_small_area(DAY)
        with pytest.raises(UnknownTariff):
            run_cycle(order=order(area, tariff_code="nothing"))
        cycle = CycleRun.objects.get()
        assert cycle.state == "failed"
        assert "prices.unknown_tariff" in cycle.error
        assert cycle.summary == {}

    def test_recovers_when_the_reason_is_gone(self):
        area = make_small_area(DAY)
        days = list(TariffDay.objects.all())
        TariffDay.objects.all().delete()
        with pytest.raises(Exception, match="not known"):
            run_cycle(order=order(area))
        TariffDay.objects.bulk_create(days)

        cycle = run_cycle(order=order(area))

        assert CycleRun.objects.count() == 1
        assert (cycle.state, cycle.error) == ("done", "")

    def test_keeps_a_crash_too_and_passes_it_on(self, monkeypatch):
        """A bug is not anticipated, yet a cycle must not look as if it were running for ever."""
        area = make_small_area(DAY)

        def broken(**_kwargs: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(cycle_service, "deliver_day", broken)
        with pytest.raises(ZeroDivisionError):
            run_cycle(order=order(area))
        cycle = CycleRun.objects.get()
        assert cycle.state == "failed"
        assert "ZeroDivisionError" in cycle.error

    def test_keeps_the_last_plan_in_force_when_a_check_fails(self, monkeypatch):
        area = make_small_area(DAY)
        first = run_cycle(order=order(area))
        call(area, *EVENING)

        def broken(*_args: object, **_kwargs: object) -> None:
            raise CheckFailed("node 'street' is over its limit in period 3 by 1 kW")

        monkeypatch.setattr("dispatch.services.runs.offer_spare", broken)
        with pytest.raises(CheckFailed):
            run_cycle(order=order(area))
        assert CycleRun.objects.get().state == "failed"
        assert run_in_force(area_code="street", day=DAY) == first.run

    @pytest.mark.parametrize("now", [day_ahead(DAY), GRID.ends_at - timedelta(seconds=1)])
    def test_stops_after_the_plan_while_the_day_is_not_over(self, now: datetime):
        area = make_small_area(DAY)
        call(area, *EVENING)
        with pytest.raises(DayNotOver):
            run_cycle(order=order(area, now=now))
        assert run_in_force(area_code="street", day=DAY)
        assert Instruction.objects.across_tenants().count() == 2
        assert not SettlementRun.objects.exists()
        assert CycleRun.objects.get().state == "failed"

    def test_settles_an_event_across_noon_with_the_day_it_ends_in(self):
        area = make_small_area(DAY)
        tomorrow = DAY + timedelta(days=1)
        batch = make_batch(area.dno)
        add_evening(area, tomorrow, batch)
        TariffDay.objects.create(
            tariff=TariffDay.objects.first().tariff,
            day=DAY + timedelta(days=3),
            received_at=day_ahead(DAY),
            batch=batch,
            price_gbp_per_kwh=[0.1] * 48,
        )
        call(area, GRID.ends_at - timedelta(hours=1), GRID.ends_at + timedelta(hours=7), target_kw=0.0)

        first = run_cycle(order=order(area))
        assert first.summary["findings"]["cycle.event_not_settled"] == 1
        assert not SettlementRun.objects.exists()
        now = charging_day(tomorrow).ends_at + timedelta(days=1)
        second = run_cycle(order=order(area, day=tomorrow, as_of=day_ahead(tomorrow), now=now))

        (settlement,) = second.settlement_runs.all()
        assert settlement.dispatch_run == second.run
        for told in Instruction.objects.across_tenants().filter(run=first.run):
            assert not any(told.instructed_kw[2:])
        for told in Instruction.objects.across_tenants().filter(run=second.run):
            assert not any(told.instructed_kw[:2])
        for row in Statement.objects.across_tenants().filter(settlement_run=settlement):
            told_kw = [
                told.instructed_kw
                for told in Instruction.objects.across_tenants().filter(organisation=row.organisation)
            ]
            assert float(row.instructed_kwh) == pytest.approx(np.sum(told_kw) / 2, abs=1e-3)
            assert row.lines.count() == 16
        again = run_cycle(order=order(area))
        assert not again.settlement_runs.exists()
        assert SettlementRun.objects.count() == 1


class TestDayAhead:
    @pytest.mark.parametrize(
        ("day", "known_at"),
        [
            (date(2026, 1, 15), "2026-01-14T18:00:00+00:00"),
            (date(2026, 7, 1), "2026-06-30T17:00:00+00:00"),
            (date(2026, 3, 30), "2026-03-29T17:00:00+00:00"),
            (date(2026, 10, 26), "2026-10-25T18:00:00+00:00"),
        ],
    )
    def test_is_six_in_the_evening_in_london(self, day, known_at):
        assert day_ahead(day).isoformat() == known_at
