"""Settle all events of a month and publish their statements."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand

from aggregator.management.options import aware_time
from markets.arrays.statements import load_totals
from markets.services.month import settle_month
from markets.services.month_read import METERS_A_BLOCK


def a_month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ArgumentTypeError(f"a month as 2026-01 is needed, found {text!r}") from None


class Command(BaseCommand):
    help = "Settle the events that start in MONTH (London) from the readings known at AS-OF; again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", type=a_month, help="2026-01")
        parser.add_argument("--as-of", required=True, type=aware_time)
        parser.add_argument("--code", metavar="NAME", help="what the runs are called, such as MONTHLY for invoices")
        parser.add_argument("--workers", type=int, default=2, help="threads that read and compute")
        parser.add_argument("--block", type=int, default=METERS_A_BLOCK, metavar="METERS", help="read at once by each")

    def handle(self, *_args: Any, **options: Any) -> None:
        settled = settle_month(
            month=options["month"],
            as_of=options["as_of"],
            run_code=options["code"],
            n_worker=max(options["workers"], 1),
            n_meter_a_block=max(options["block"], 1),
        )
        for reference in settled.not_over:
            self.stdout.write(f"{reference} is not over: left out")
        for reference in settled.not_instructed:
            self.stdout.write(f"nobody was instructed for {reference}: left out")
        totals = load_totals(settlements=list(settled.settlements))
        self.stdout.write(
            f"{len(settled.settlements)} events of {options['month']:%Y-%m}: {totals.delivered_kwh:.1f} of "
            f"{totals.instructed_kwh:.1f} kWh, {totals.payment_gbp} GBP"
        )
