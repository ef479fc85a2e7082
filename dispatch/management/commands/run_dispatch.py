"""Dispatch an area for a charging day that has been forecast."""

from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.options import aware_time, day
from dispatch.core.combine import solve_in_parts
from dispatch.core.solve import solve
from dispatch.services.part_work import parts_on_workers
from dispatch.services.runs import Solver, newest_forecast, run_dispatch


class Command(BaseCommand):
    help = "Dispatch every fleet of an area in one run, from its newest forecast, and store the plan with its proof."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--area", required=True)
        parser.add_argument("--date", required=True, type=day)
        parser.add_argument("--as-of", required=True, type=aware_time)
        parser.add_argument("--tariff", required=True)
        parser.add_argument(
            "--workers",
            type=int,
            default=0,
            metavar="N",
            help="split the area at its primaries and solve the parts on about N Celery workers; 0: solve it here",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        forecast = newest_forecast(area_code=options["area"], day=options["date"], as_of=options["as_of"])
        runners = parts_on_workers(clock=timezone.now, n_worker=options["workers"])
        solver: Solver = partial(solve_in_parts, runners=runners) if options["workers"] > 0 else solve
        run = run_dispatch(forecast=forecast, as_of=options["as_of"], tariff_code=options["tariff"], solver=solver)
        self.stdout.write(
            f"{run}: cost {run.cost_gbp:.2f} GBP, bound {run.lower_bound_gbp:.2f} GBP, gap {run.gap:.1e}, "
            f"violation {run.max_violation_kw:.1e} kW, {run.rung} by {run.method} in {run.solve_s:.2f} s"
        )
