"""Settle one event and publish its statements."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from aggregator.management.options import aware_time
from markets.arrays.statements import load_totals
from markets.services.events import find_event
from markets.services.settlement import newest_instructed_run, settle_event


class Command(BaseCommand):
    help = "Settle the event of a request from the readings known at AS-OF; the same inputs again change nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference", help="reference of the request")
        parser.add_argument("--as-of", required=True, type=aware_time)
        parser.add_argument("--code", metavar="NAME", help="what the run is called, such as MONTHLY")

    def handle(self, *_args: Any, **options: Any) -> None:
        event = find_event(reference=options["reference"])
        run = newest_instructed_run(event=event)
        settlement = settle_event(event=event, run=run, as_of=options["as_of"], run_code=options["code"])
        totals = load_totals(settlements=[settlement])
        self.stdout.write(
            f"{settlement}: {totals.delivered_kwh:.1f} of {totals.instructed_kwh:.1f} kWh, {totals.payment_gbp} GBP"
        )
