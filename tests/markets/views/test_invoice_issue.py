"""Issuing a month's invoices in the browser: looked at first, confirmed with a reason, by market operators alone."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from aggregator.models import Event
from markets.models import Invoice, SettlementRun
from markets.services import invoice_issue
from markets.services.settlement import settle_event
from markets.services.verification import verify_statements
from markets.views.invoice_issue import last_closed
from tests.aggregator.views.people import client_of, let_proof_age, statuses, text_of
from tests.factories import make_organisation
from tests.markets.services.test_settlement import AS_OF, evening, read

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
ISSUE = "/invoices/issue/"
ASKED = {"product": "su", "month": "2026-01"}
WHY = "month end"


@pytest.fixture
def mo() -> Client:
    return client_of(make_organisation("elx", "market_operator"), "market_operator", "mo")


def invoices() -> list[tuple[str, int, Decimal, Decimal]]:
    found = Invoice.objects.across_tenants().order_by("organisation__code", "version")
    return [(one.organisation.code, one.version, one.amount_gbp, one.delta_gbp) for one in found]


def confirmed(client: Client, **asked: str):
    """Look, and confirm what was seen."""
    page = text_of(client.get(ISSUE, {**ASKED, **asked}))
    (seen,) = re.findall(r'name="seen" value="([0-9a-f]{64})"', page)
    return client.post(ISSUE, {**ASKED, **asked, "seen": seen, "reason": WHY})


class TestIssueInvoices:
    def test_is_for_market_operators(self):
        allowed = {role for role, status in statuses(ISSUE).items() if status != 403}
        assert allowed == {"market_operator"}

    def test_is_led_to_from_the_invoices_by_whom_it_is_for(self, mo):
        assert f'href="{ISSUE}"' in text_of(mo.get("/invoices/"))
        fred = client_of(make_organisation("amber"), "operator", "fred")
        assert f'href="{ISSUE}"' not in text_of(fred.get("/invoices/"))

    def test_proves_again_who_they_are_first(self, mo):
        let_proof_age(mo)
        assert mo.get(ISSUE).url.startswith("/confirm/")
        assert mo.post(ISSUE, {**ASKED, "reason": WHY}).url.startswith("/confirm/")

    def test_shows_what_it_comes_to_and_keeps_nothing(self, mo):
        evening()
        before = Event.objects.across_tenants().count()
        page = text_of(mo.get(ISSUE, ASKED))
        assert "2 invoices, <strong>12.25 GBP</strong> to pay" in page
        assert "1, 1 of them settled for it" in page
        assert "Issue 2 invoices of January 2026" in page
        assert not SettlementRun.objects.exists()
        assert invoices() == []
        assert Event.objects.across_tenants().count() == before

    def test_issues_what_was_seen_with_the_reason_in_the_log(self, mo):
        evening()
        assert confirmed(mo).url == "/invoices/"
        assert invoices() == [
            ("amber", 1, Decimal("5.84"), Decimal("5.84")),
            ("blue", 1, Decimal("6.41"), Decimal("6.41")),
        ]
        assert SettlementRun.objects.get().code == "MONTHLY"
        told = Event.objects.across_tenants().filter(action="invoice.issued")
        assert {(event.actor, event.reason) for event in told} == {("person:mo", WHY)}
        assert "2 of January 2026 issued: 12.25 GBP to pay" in text_of(mo.get("/invoices/"))
        assert verify_statements().differences == ()

    def test_has_nothing_to_confirm_once_they_are_issued(self, mo):
        evening()
        confirmed(mo)
        answer = mo.get(ISSUE, ASKED)
        page = text_of(answer)
        assert {(one.amount_gbp - one.before_gbp, one.delta_gbp) for one in answer.context["plan"].invoices} == {(0, 0)}
        assert "there is nothing to confirm" in page
        assert 'name="reason"' not in page

    def test_states_a_month_again_where_it_differs(self, mo):
        area, event, run = evening()
        settle_event(event=event, run=run, as_of=AS_OF)
        confirmed(mo)
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=40))
        page = text_of(mo.get(ISSUE, {**ASKED, "restate": "on"}))
        assert "1 invoice, <strong>-0.43 GBP</strong>" in page.replace("−", "-")
        assert "(paid back)" in page

        assert confirmed(mo, restate="on").status_code == 302
        assert invoices()[:2] == [
            ("amber", 1, Decimal("5.84"), Decimal("5.84")),
            ("amber", 2, Decimal("5.41"), Decimal("-0.43")),
        ]

    @pytest.mark.parametrize(
        ("changes", "status", "said"),
        [
            ({"reason": "x"}, 400, "a reason of 3 to 500"),
            ({"seen": "0" * 64}, 409, "come to something else than was looked at"),
            ({"month": "2999-01"}, 400, "Write the month as"),
            ({"month": "2099-01"}, 409, "2099-01 closes"),
            ({"month": "soon"}, 400, "Write the month as"),
            ({"product": "other"}, 400, "Select a valid choice"),
        ],
        ids=["reason", "seen", "far", "open", "month", "product"],
    )
    def test_issues_nothing_otherwise(self, mo, changes, status, said):
        evening()
        answer = mo.post(ISSUE, {**ASKED, "seen": "", "reason": WHY, **changes})
        assert (answer.status_code, said.lower() in text_of(answer).lower()) == (status, True)
        assert invoices() == []
        assert not SettlementRun.objects.exists()

    def test_says_beside_the_month_that_it_is_open(self, mo):
        evening()
        answer = mo.get(ISSUE, {**ASKED, "month": "2099-01"})
        assert "closes" in str(answer.context["form"].errors["month"])

    def test_leaves_a_large_month_to_the_command(self, mo, monkeypatch):
        monkeypatch.setattr(invoice_issue, "MOST_TO_SETTLE", 0)
        _area, event, run = evening()
        answer = mo.get(ISSUE, ASKED)
        assert "settle_month --code MONTHLY" in str(answer.context["form"].errors["month"])
        closes_at = datetime(2026, 2, 15, tzinfo=UTC)
        settle_event(event=event, run=run, as_of=closes_at, run_code="MONTHLY")
        assert confirmed(mo).status_code == 302

    def test_has_nothing_to_invoice_where_nobody_was_instructed(self, mo):
        evening()
        page = text_of(mo.get(ISSUE, {**ASKED, "month": "2025-12"}))
        assert "there is nothing to invoice" in page
        assert 'name="reason"' not in page


@pytest.mark.parametrize(
    ("now", "month"),
    [
        (datetime(2026, 3, 14, 23, tzinfo=UTC), "2026-01"),
        (datetime(2026, 3, 15, tzinfo=UTC), "2026-02"),
        (datetime(2026, 7, 14, 23, tzinfo=UTC), "2026-06"),
        (datetime(2026, 1, 3, tzinfo=UTC), "2025-11"),
    ],
    ids=["before", "after", "summer", "new-year"],
)
def test_proposes_the_newest_month_that_is_closed(now, month):
    assert last_closed(now) == month
