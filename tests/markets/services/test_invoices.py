"""A month is invoiced as of its cut-off; what comes later changes it only where that is asked, and pays the delta."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.models import Invoice, InvoiceLine, SettlementRun, Statement, StatementReason
from markets.services.invoices import InvoiceOrder, MonthStillOpen, UnknownProduct, issue_invoices
from markets.services.settlement import settle_event
from markets.services.verification import verify_statements
from tests.markets.services.test_settlement import AS_OF, GRID, PAID_GBP, evening, published, read, statement

pytestmark = pytest.mark.django_db

CLOSED = datetime(2026, 2, 15, tzinfo=UTC)
LATE = timedelta(days=40)


def issue(*, now: datetime = CLOSED, restate: bool = False, cutoff_day: int = 15, code: str = "su") -> list[Invoice]:
    order = InvoiceOrder(product_code=code, month=date(2026, 1, 20), now=now, cutoff_day=cutoff_day, restate=restate)
    return issue_invoices(order)


def lines(invoice: Invoice) -> list[InvoiceLine]:
    return list(InvoiceLine.objects.across_tenants().filter(invoice=invoice).order_by("position"))


class TestIssueInvoices:
    def test_adds_up_the_month_as_of_its_cutoff(self):
        """The reading that came before the cut-off is in it, as the run MONTHLY says; nobody settled anew for it."""
        area, event, run = evening()
        settle_event(event=event, run=run, as_of=AS_OF)
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))

        amber, blue = issue()

        assert [row.code for row in SettlementRun.objects.order_by("version")] == ["PRELIM", "MONTHLY"]
        assert SettlementRun.objects.get(code="MONTHLY").as_of == CLOSED
        assert (amber.organisation.code, amber.amount_gbp, amber.delta_gbp) == ("amber", *[Decimal("5.41")] * 2)
        assert (blue.organisation.code, blue.amount_gbp, blue.version) == ("blue", PAID_GBP["blue"], 1)
        assert [(line.kind, line.reference, line.amount_gbp) for line in lines(amber)] == [
            ("utilisation", "CALL-1", Decimal("5.41"))
        ]
        assert verify_statements().differences == ()

    def test_reads_each_meter_once_for_all_events(self, monkeypatch):
        evening()
        monkeypatch.setattr("markets.services.settlement_load.read_event", None)
        assert [invoice.amount_gbp for invoice in issue()] == [PAID_GBP["amber"], PAID_GBP["blue"]]

    def test_stays_as_issued_until_it_is_asked_to_be_stated_again(self):
        area, event, run = evening()
        settle_event(event=event, run=run, as_of=AS_OF)
        first = issue()
        read(area, 0, [3.0, 3.0, None, None], late=LATE)

        assert issue(now=CLOSED + LATE) == first
        assert Invoice.objects.across_tenants().count() == 2
        amber, blue = issue(now=CLOSED + LATE, restate=True)

        assert (amber.version, amber.supersedes, blue) == (2, first[0], first[1])
        assert (amber.amount_gbp, amber.before_gbp, amber.delta_gbp) == (
            Decimal("5.41"),
            Decimal("5.84"),
            Decimal("-0.43"),
        )
        (line,) = lines(amber)
        assert (line.delta_gbp, line.statement.settlement_run.code) == (Decimal("-0.43"), "RERUN-1")
        assert line.reason.startswith("2 readings of 1 meter corrected, of the event")
        assert (GRID.ends_at + LATE).isoformat() in line.reason
        assert issue(now=CLOSED + LATE, restate=True) == [amber, blue]
        assert verify_statements().differences == ()

    def test_refuses_a_month_that_is_open_and_a_product_nobody_has(self):
        evening()
        with pytest.raises(MonthStillOpen, match="2026-01 closes 2026-02-15T00:00"):
            issue(now=CLOSED - timedelta(seconds=1))
        with pytest.raises(UnknownProduct):
            issue(code="other")
        assert not SettlementRun.objects.exists()
        assert len(issue(now=CLOSED - timedelta(days=10), cutoff_day=5)) == 2

    def test_is_never_changed_once_issued(self):
        evening()
        issue()
        for rows in (Invoice.objects.across_tenants(), InvoiceLine.objects.across_tenants()):
            assert rows.exists()
            for change in (
                lambda rows=rows: rows.update(delta_gbp=0),
                lambda rows=rows: rows.all()._raw_delete("default"),
            ):
                with pytest.raises(ProgrammingError), transaction.atomic():
                    change()

    def test_is_issued_by_the_command(self):
        evening()
        said = StringIO()
        call_command("issue_invoices", "su", "--month", "2026-01", "--now", CLOSED.isoformat(), stdout=said)
        assert said.getvalue().splitlines() == [
            "invoice 2026-01 su v1 to amber: 5.84 GBP, 5.84 GBP to pay",
            "invoice 2026-01 su v1 to blue: 6.41 GBP, 6.41 GBP to pay",
        ]


class TestReasons:
    def test_name_the_readings_of_each_half_hour_and_when_they_came(self):
        area, event, run = evening()
        settle_event(event=event, run=run, as_of=AS_OF)
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))
        second = settle_event(event=event, run=run, as_of=GRID.ends_at + timedelta(days=3))

        told = StatementReason.objects.across_tenants().filter(statement=statement(second, "amber")).order_by("pk")
        came = GRID.ends_at + timedelta(days=2)
        assert [(row.starts_at, row.code, row.n_reading, row.last_received_at) for row in told] == [
            (None, "reading_corrected", 2, came),
            (event.signal.starts_at, "reading_corrected", 1, came),
            (event.signal.starts_at + timedelta(minutes=30), "reading_corrected", 1, came),
        ]
        assert not StatementReason.objects.across_tenants().filter(statement=statement(second, "blue")).exists()

    def test_name_the_readings_of_the_baselines_days(self):
        area, event, run = evening()
        settle_event(event=event, run=run, as_of=AS_OF)
        for back in (7, 8):  # the highest of ten days is left out, so two of them
            read(area, 1, [5.0, 5.0, 5.0, 5.0], late=timedelta(days=2), first=-48 * back)
        second = settle_event(event=event, run=run, as_of=GRID.ends_at + timedelta(days=3))
        told = StatementReason.objects.across_tenants().filter(statement=statement(second, "blue"))
        assert set(told.values_list("code", flat=True)) == {"baseline_reading"}
        assert told.get(starts_at=None).n_reading == 8


class TestAnyOrderOfArrival:
    def test_gives_the_same_run(self):
        """Three corrections and a gap filled, handed over in any order: the same bytes, digests and pence."""
        area, event, run = evening()
        said = [
            (0, [3.0, 3.0, None, None], timedelta(days=2)),
            (0, [2.5, None, 1.0, None], timedelta(days=3)),
            (1, [None, 4.0, None, 0.5], timedelta(days=2, hours=1)),
            (2, [0.0, 0.25, None, None], timedelta(days=1)),
        ]
        as_of = GRID.ends_at + timedelta(days=4)
        found = []

        @settings(max_examples=6, database=None)
        @given(st.permutations(said))
        def settle_in_order(order):
            with transaction.atomic():
                for home, energy_kwh, late in order:
                    read(area, home, energy_kwh, late=late)
                settlement = settle_event(event=event, run=run, as_of=as_of, run_code="SF")
                rows = Statement.objects.across_tenants().filter(settlement_run=settlement)
                found.append(
                    (
                        settlement.input_sha256,
                        tuple(sorted(settlement.input_digests.items())),
                        tuple(sorted((row.sha256, row.payment_gbp) for row in rows)),
                    )
                )
                assert settle_event(event=event, run=run, as_of=as_of, run_code="SF") == settlement
                assert published(settlement) == published(SettlementRun.objects.get(pk=settlement.pk))
                transaction.set_rollback(True)

        settle_in_order()
        assert len(set(found)) == 1
        assert len(found) >= 2
