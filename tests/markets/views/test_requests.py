"""Requests in the browser: what was asked, what runs plan for it, and nobody else's."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dispatch.models import DispatchRun, RunRequest, Setpoint, TargetSignal
from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import make_dno, make_organisation
from tests.markets.builders import Cycle, make_cycle, make_own_plan
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    made = make_cycle()
    batch = made.row.delivery_batch
    make_own_plan(made.row.run, make_organisation("third"), made.nodes["F1"], batch, made.grid, kw=[1.0] * 4)
    return made


@pytest.fixture
def signal(cycle) -> TargetSignal:
    return cycle.statements["flexco"].settlement_run.event.signal


@pytest.fixture
def dno(cycle) -> Client:
    return client_of(cycle.dno, "control_room_operator")


def plan(signal: TargetSignal, run: DispatchRun, shortfall_kw: float = 0.0) -> None:
    RunRequest.objects.create(
        run=run, signal=signal, start_period=12, end_period=14, planned_kw=[18.0, 21.0], shortfall_kw=[0, shortfall_kw]
    )


def page_of(client: Client, signal: TargetSignal) -> str:
    return text_of(client.get(f"/requests/{signal.reference}/"))


class TestWhoSeesThem:
    def test_is_the_dno_and_the_platform(self):
        seen = {role for role, status in statuses("/requests/").items() if status == 200}

        assert seen == {
            "control_room_operator",
            "control_room_supervisor",
            "platform_admin",
            "auditor of dno",
            "auditor of platform",
        }

    def test_is_404_for_another_dno_s(self, signal):
        stranger = client_of(make_dno("far"), "control_room_supervisor")

        assert stranger.get(f"/requests/{signal.reference}/").status_code == 404
        assert signal.reference not in text_of(stranger.get("/requests/"))

    @pytest.mark.parametrize("reference", ["nothing", "%00", "x" * 81, "a/b/c"])
    def test_is_404_for_a_reference_that_is_none(self, dno, reference):
        assert dno.get(f"/requests/{reference}/").status_code == 404


class TestRequests:
    def test_list_window_target_product_and_what_the_newest_run_plans(self, dno, cycle, signal):
        plan(signal, cycle.row.run, 2.0)

        row = next(row for row in Page(text_of(dno.get("/requests/"))).rows if row and row[0] == signal.reference)

        assert row[1] == "S1"
        assert row[3:6] == ["over", "Turn down, Routine DSR", "at most 20.0"]
        assert row[6].startswith("su-")
        assert row[7:] == [f"Run {cycle.row.run.pk}", "18.0 to 21.0", "▲1.0"]

    def test_tell_coming_running_and_past_apart(self, dno, signal):
        now = timezone.now()
        for starts_at, phase in ((now + timedelta(hours=1), "to come"), (now - timedelta(hours=1), "in its window")):
            TargetSignal.objects.filter(pk=signal.pk).update(
                starts_at=starts_at, ends_at=starts_at + timedelta(hours=2)
            )
            assert f"<td>{phase}</td>" in text_of(dno.get("/requests/"))

    @pytest.mark.parametrize(
        ("query", "n"), [("?q=evening", 1), ("?q=x", 0), ("?node=S1", 1), ("?node=F1", 0), ("?day=2026-01-14", 1)]
    )
    def test_filter(self, dno, signal, query, n):
        assert text_of(dno.get(f"/requests/{query}")).count(f">{signal.reference}</a>") == n

    def test_ask_the_database_no_more_for_many_than_for_few(self, dno, cycle, signal, django_assert_max_num_queries):
        for index in range(20):
            copy = TargetSignal.objects.get(pk=signal.pk)
            copy.pk, copy.reference = None, f"R/{index}"
            copy.save()
            plan(copy, cycle.row.run)

        with django_assert_max_num_queries(25):
            dno.get("/requests/")


class TestRequest:
    def test_shows_what_was_asked_planned_and_settled(self, dno, cycle, signal):
        plan(signal, cycle.row.run, 2.0)

        page = page_of(dno, signal)

        assert "EV power at S1 at most 20.0 kW" in page
        assert "1.00 GBP/kWh" in page
        assert "300.00 GBP/MWh" in page
        assert "18.0 to 21.0" in page
        assert "Flexco" in page

    def test_says_only_whether_it_is_met_where_too_few_evses_stand_behind_it(self, cycle, signal):
        plan(signal, cycle.row.run, 2.0)
        Setpoint.objects.across_tenants().filter(run=cycle.row.run, evse__pseudonym__startswith="evse_third").delete()

        page = page_of(client_of(cycle.dno, "control_room_supervisor"), signal)

        assert "18.0 to 21.0" not in page
        assert "not met" in page

    def test_escapes_its_reference(self, dno, signal):
        TargetSignal.objects.filter(pk=signal.pk).update(reference=PAYLOADS[0])

        pages = text_of(dno.get("/requests/"))
        links = [attrs["href"] or "" for tag, attrs in Page(pages).tags if tag == "a"]
        pages += text_of(dno.get(next(link for link in links if "script" in link)))

        assert "<script>alert" not in pages
        assert "&lt;script&gt;alert(1)" in pages
