"""Statements in the browser: whose they are, what they hold, and what changed between versions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import ControlAct, Organisation
from markets.models import SettlementRun, Statement, StatementLine, StatementRelease
from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import make_dno, make_organisation
from tests.markets.builders import Cycle, make_cycle, make_statement, settle_again
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def market() -> Client:
    return client_of(make_organisation("elx", "market_operator"), "market_operator")


@pytest.fixture
def flexco(cycle) -> Client:
    return client_of(cycle.dsrsps["flexco"], "operator")


def add_line(statement: Statement, at, period: int, **figures) -> None:
    plain = {"instructed_kwh": 1, "baseline_kwh": 2, "metered_kwh": 1, "delivered_kwh": 1}
    StatementLine.objects.create(
        statement=statement,
        settlement_date=at.date(),
        period=period,
        starts_at=at,
        ends_at=at + timedelta(minutes=30),
        **{**plain, **figures},
    )


def second_version(cycle: Cycle) -> Statement:
    """Version 2 of flexco's statement; its second half-hour's metered energy and delivery differ."""
    first = cycle.statements["flexco"]
    run = first.settlement_run
    at = cycle.grid.starts_at + timedelta(hours=6)
    add_line(first, at, 37)
    add_line(first, at + timedelta(minutes=30), 38, metered_kwh=None, n_meters_missing=1)
    again = settle_again(run.event, run.dispatch_run, cycle.grid, version=2, supersedes=run)
    second = Statement.objects.across_tenants().get(pk=first.pk)
    second.pk, second.settlement_run = None, again
    second.delivered_kwh, second.payment_gbp = Decimal("15.0000"), Decimal("4.50")
    second.save(force_insert=True)
    add_line(second, at, 37)
    add_line(second, at + timedelta(minutes=30), 38, delivered_kwh=Decimal("1.75"))
    return second


def release(run: SettlementRun, organisation: Organisation) -> None:
    now = timezone.now()
    act = ControlAct(
        kind="release_statements",
        organisation=organisation,
        subject="x",
        payload={},
        figures={},
        reason="x",
        state="done",
        asked_as="person:x",
        asked_at=now,
        expires_at=now + timedelta(hours=1),
    )
    act.save()
    StatementRelease.objects.create(settlement_run=run, act=act, released_at=now)


def shown(client: Client, query: str = "") -> list[list[str]]:
    return [row for row in Page(text_of(client.get(f"/statements/{query}"))).rows if len(row) == 10][1:]


class TestWhoSeesThem:
    def test_is_everybody_with_a_statement_to_read(self, cycle):
        assert set(statuses("/statements/").values()) == {200}

    def test_is_404_for_another_s(self, cycle):
        statement = cycle.statements["flexco"]
        strangers = (
            client_of(cycle.dsrsps["voltway"], "admin"),
            client_of(make_dno("far"), "control_room_operator"),
        )

        for client in strangers:
            assert client.get(f"/statements/{statement.pk}/").status_code == 404
            assert client.get(f"/statements/{statement.pk}.csv").status_code == 404
        assert strangers[1].get(f"/settlements/{statement.settlement_run_id}/").status_code == 404
        assert shown(strangers[1]) == []
        assert [row[2] for row in shown(strangers[0])] == ["Voltway"]


class TestMonths:
    def test_offers_months_that_hold_statements_the_reader_may_read(self, cycle, market, flexco):
        assert "January 2026" in text_of(market.get("/statements/"))
        assert "/statements/?month=2026-01" in text_of(flexco.get("/statements/"))
        stranger = client_of(make_organisation("idle"), "operator")
        assert "?month=" not in text_of(stranger.get("/statements/"))

    def test_lists_one_month_with_what_is_in_force_of_it(self, cycle, market):
        second_version(cycle)
        january = text_of(market.get("/statements/?month=2026-01"))

        assert "Statements of January 2026" in january
        assert "In force: 1 statement, 15.00 kWh delivered, 4.50 GBP" in january
        assert [row[0] for row in Page(january).rows if row and row[0].startswith("EVENING/")] != []

    def test_is_a_month_of_london(self, cycle, market):
        first = cycle.statements["flexco"].settlement_run.event.signal
        type(first).objects.filter(pk=first.pk).update(
            starts_at=datetime(2026, 6, 30, 23, tzinfo=UTC), ends_at=datetime(2026, 7, 1, 1, tzinfo=UTC)
        )

        assert "July 2026" in text_of(market.get("/statements/"))
        assert "2 statements" in text_of(market.get("/statements/?month=2026-07"))
        assert "No statement fits" in text_of(market.get("/statements/?month=2026-06"))

    def test_goes_before_days_and_keeps_the_other_filters(self, cycle, market):
        page = text_of(market.get("/statements/?month=2026-01&from=2030-01-01&dsrsp=flexco"))

        assert "In force: 1 statement," in page
        assert '<input type="hidden" name="month" value="2026-01">' in page

    @pytest.mark.parametrize("key", ["2026", "2026-13", "2026-1", "1999-12", "january", "2026-01-01"])
    def test_that_is_none_is_not_found(self, cycle, market, key):
        assert market.get(f"/statements/?month={key}").status_code == 404


class TestStatements:
    def test_list_figures_version_state_and_file(self, cycle, market):
        rows = shown(market)

        assert [row[2] for row in rows] == ["Flexco", "Voltway"]
        assert rows[0][0].startswith("EVENING/")
        assert rows[0][3].startswith("v1 PRELIM")
        assert rows[0][4] == "preliminary"
        assert rows[0][5:9] == ["15.00", "14.25", "1.000", "4.28"]
        assert rows[0][9] == "CSVExcelPDF" + cycle.statements["flexco"].sha256[:12]

    def test_filter_by_dsrsp_state_text_and_day(self, cycle, market):
        release(second_version(cycle).settlement_run, cycle.dno)

        for query, found in (
            ("?dsrsp=voltway", 1),
            ("?state=released", 1),
            ("?state=superseded", 2),
            ("?state=preliminary", 0),
            ("?q=evening", 3),
            ("?q=morning", 0),
            ("?from=2026-01-14&to=2026-01-14", 3),
            ("?from=2026-01-15", 0),
            ("?to=2026-01-13", 0),
        ):
            assert len(shown(market, query)) == found, query
        assert market.get("/statements/?from=yesterday").status_code == 404

    def test_ask_the_database_no_more_for_many_than_for_few(self, cycle, market, django_assert_max_num_queries):
        run = cycle.statements["flexco"].settlement_run
        for index in range(20):
            make_statement(run, make_organisation(f"dsrsp-{index}"))

        with django_assert_max_num_queries(15):
            market.get("/statements/")

    def test_escape_names_others_chose(self, cycle, market):
        Organisation.objects.filter(code="flexco").update(name=PAYLOADS[0])

        assert "<script>alert" not in text_of(market.get("/statements/", {"q": PAYLOADS[0]}))
        assert "<script>alert" not in text_of(market.get("/statements/"))


class TestStatement:
    def test_shows_half_hours_with_what_is_missing(self, cycle, flexco):
        second_version(cycle)
        page = Page(text_of(flexco.get(f"/statements/{cycle.statements['flexco'].pk}/")))
        rows = [row for row in page.rows if len(row) == 8][1:]

        assert rows[0][:3] == ["2026-01-14", "37", "18:00 GMT"]
        assert rows[0][3:] == ["1.0000", "2.0000", "1.0000", "1.0000", "0"]
        assert rows[1][5:] == ["—", "1.0000", "▲1"]

    def test_shows_what_changed_since_the_version_it_supersedes(self, cycle, flexco):
        second = second_version(cycle)

        text = text_of(flexco.get(f"/statements/{second.pk}/"))
        rows = [row for row in Page(text).rows if len(row) == 4][1:]

        assert "What changed since v1" in text
        assert rows == [
            ["whole statement", "DeliveredkWh", "14.2500", "15.0000"],
            ["whole statement", "PaymentGBP", "4.2800", "4.5000"],
            ["2026-01-14 period 38", "MeteredkWh", "—", "1.0000"],
            ["2026-01-14 period 38", "DeliveredkWh", "1.0000", "1.7500"],
            ["2026-01-14 period 38", "Meters without a reading", "1.0000", "0.0000"],
        ]

    def test_of_a_first_version_has_nothing_before_it(self, cycle, flexco):
        assert "What changed" not in text_of(flexco.get(f"/statements/{cycle.statements['flexco'].pk}/"))


class TestSettlement:
    def test_adds_up_what_its_reader_may_read(self, cycle, market, flexco):
        address = f"/settlements/{cycle.statements['flexco'].settlement_run_id}/"

        assert "<dt>Payment</dt><dd>8.56 GBP</dd>" in text_of(market.get(address))
        assert "<dt>Payment</dt><dd>4.28 GBP</dd>" in text_of(flexco.get(address))
        assert "Voltway" not in text_of(flexco.get(address))

    def test_leads_to_the_version_that_supersedes_it(self, cycle, market):
        second = second_version(cycle)

        page = text_of(market.get(f"/settlements/{cycle.statements['flexco'].settlement_run_id}/"))

        assert f'href="/settlements/{second.settlement_run_id}/"' in page
        assert "Superseded" in page
