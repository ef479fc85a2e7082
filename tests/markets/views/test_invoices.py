"""Invoices in the browser and by the API, and the runs of an event: whose they are and what they say."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.test import Client

from markets.models import Invoice, InvoiceLine, StatementReason
from tests.aggregator.views.people import client_of, text_of
from tests.factories import make_organisation
from tests.markets.builders import Cycle, make_cycle, make_statement, settle_again
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

AT = datetime(2026, 2, 15, tzinfo=UTC)


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def flexco(cycle) -> Client:
    return client_of(cycle.dsrsps["flexco"], "operator")


def make_invoice(cycle: Cycle, amount: str, before: Invoice | None = None, reason: str = "") -> Invoice:
    statement = cycle.statements["flexco"]
    product = statement.settlement_run.event.product
    before_gbp = before.amount_gbp if before else Decimal("0.00")
    amounts = {"amount_gbp": Decimal(amount), "before_gbp": before_gbp, "delta_gbp": Decimal(amount) - before_gbp}
    invoice = Invoice(
        month=date(2026, 1, 1),
        product_code=product.code,
        product=product,
        buyer=product.buyer,
        organisation=cycle.dsrsps["flexco"],
        version=before.version + 1 if before else 1,
        supersedes=before,
        as_of=AT,
        issued_at=AT,
        statement_pks=[statement.pk],
        sha256="8" * 64,
        **amounts,
    )
    invoice.save()
    reference = statement.settlement_run.event.signal.reference
    line = InvoiceLine(
        invoice=invoice,
        position=1,
        kind="utilisation",
        reference=reference,
        statement=statement,
        reason=reason,
        **amounts,
    )
    line.save()
    return invoice


class TestInvoices:
    def test_lists_every_version_with_what_is_to_pay(self, cycle, flexco):
        make_invoice(cycle, "5.41", make_invoice(cycle, "5.84"))
        rows = Page(text_of(flexco.get("/invoices/"))).rows
        assert [row[3][:2] for row in rows if row and row[0].startswith("January 2026")] == ["v2", "v1"]
        assert any("-0.43" in cell or "−0.43" in cell for row in rows for cell in row)

    def test_says_so_where_there_is_none(self, flexco):
        assert "No invoice has been issued yet" in text_of(flexco.get("/invoices/"))

    def test_shows_the_delta_of_each_line_and_why(self, cycle, flexco):
        second = make_invoice(cycle, "5.41", make_invoice(cycle, "5.84"), "2 readings corrected")
        text = text_of(flexco.get(f"/invoices/{second.pk}/"))
        assert "2 readings corrected" in text
        assert "Invoiced before" in text
        assert f'href="/statements/{cycle.statements["flexco"].pk}/"' in text

    def test_is_not_there_for_another_dsrsp(self, cycle):
        invoice = make_invoice(cycle, "5.84")
        other = client_of(cycle.dsrsps["voltway"], "operator")
        assert other.get(f"/invoices/{invoice.pk}/").status_code == 404
        assert "January 2026" not in text_of(other.get("/invoices/"))

    def test_is_there_for_the_market_and_by_the_api(self, cycle):
        invoice = make_invoice(cycle, "5.84")
        market = client_of(make_organisation("elx", "market_operator"), "market_operator")
        assert market.get(f"/invoices/{invoice.pk}/").status_code == 200
        listed = market.get("/api/v1/invoices/?month=2026-01-01").json()
        assert invoice_ids(listed) == [f"invoice_{invoice.pk}"]
        assert invoice_ids(market.get("/api/v1/invoices/?month=2026-02-01").json()) == []
        detail = market.get(f"/api/v1/invoices/invoice_{invoice.pk}/").json()
        assert [line["amount_gbp"] for line in detail["lines"]] == ["5.84"]
        assert detail["superseded_by"] is None


def invoice_ids(listed: dict) -> list[str]:
    rows = next(value for value in listed.values() if isinstance(value, list))
    return [row["id"] for row in rows]


class TestRunsOfAnEvent:
    def test_stand_with_their_deltas_and_reasons(self, cycle, flexco):
        first = cycle.statements["flexco"].settlement_run
        second = settle_again(first.event, first.dispatch_run, cycle.grid, version=2, supersedes=first)
        statement = make_statement(second, cycle.dsrsps["flexco"], sha256="9" * 64)
        StatementReason(
            statement=statement,
            code="reading_corrected",
            n_reading=2,
            n_meter=1,
            first_received_at=AT,
            last_received_at=AT,
            message="2 readings of 1 meter corrected, of the event",
        ).save()
        runs = [row for row in Page(text_of(flexco.get(f"/settlements/{second.pk}/"))).rows if len(row) == 5]
        assert [row[0] for row in runs][1:] == ["v2 RERUN-1 (this one)", "v1 PRELIM"]
        assert "2 readings of 1 meter corrected" in text_of(flexco.get(f"/statements/{statement.pk}/"))
