"""Dispatch the rest of an area's charging day anew, with EVs as they are."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.options import day
from dispatch.services.rolling import redispatch_run
from dispatch.services.runs import run_in_force


class Command(BaseCommand):
    help = "Dispatch the rest of a charging day anew from what is known now; the run in force is continued."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--area", required=True)
        parser.add_argument("--date", required=True, type=day)

    def handle(self, *_args: Any, **options: Any) -> None:
        run = redispatch_run(run=run_in_force(area_code=options["area"], day=options["date"]), now=timezone.now())
        self.stdout.write(
            f"{run} goes on from period {run.from_period}: cost {run.cost_gbp:.2f} GBP, gap {run.gap:.1e}, {run.rung}"
        )
