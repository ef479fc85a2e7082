"""Issue a month's invoices of a product."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.options import aware_time
from markets.services.invoices import InvoiceOrder, issue_invoices


def month(text: str) -> date:
    """First day of a month written 2026-01."""
    return date.fromisoformat(f"{text}-01")


class Command(BaseCommand):
    help = (
        "Issue a month's invoices of PRODUCT from what was known at its cut-off; asked again, nothing changes, "
        "unless it is to be stated again from what is known now (--restate)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("product", help="code of the product")
        parser.add_argument("--month", required=True, type=month, help="as 2026-01")
        parser.add_argument("--restate", action="store_true", help="state the month again where it differs now")
        parser.add_argument("--cutoff-day", type=int, default=settings.INVOICE_CUTOFF_DAY, help="of the next month")
        parser.add_argument("--now", type=aware_time, help="in place of the clock")

    def handle(self, *_args: Any, **options: Any) -> None:
        invoices = issue_invoices(
            InvoiceOrder(
                product_code=options["product"],
                month=options["month"],
                now=options["now"] or timezone.now(),
                cutoff_day=options["cutoff_day"],
                restate=options["restate"],
            )
        )
        for invoice in invoices:
            self.stdout.write(
                f"{invoice} to {invoice.organisation.code}: {invoice.amount_gbp} GBP, {invoice.delta_gbp} GBP to pay"
            )
        if not invoices:
            self.stdout.write("nobody was settled in the month")
