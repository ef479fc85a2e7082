"""Dispatch an area for a charging day that has been forecast."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from aggregator.management.options import aware_time, day
from dispatch.services.runs import newest_forecast, run_dispatch


class Command(BaseCommand):
    help = "Dispatch every fleet of an area in one run, from its newest forecast, and store the plan with its proof."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--area", required=True)
        parser.add_argument("--date", required=True, type=day)
        parser.add_argument("--as-of", required=True, type=aware_time)
        parser.add_argument("--tariff", required=True)

    def handle(self, *_args: Any, **options: Any) -> None:
        forecast = newest_forecast(area_code=options["area"], day=options["date"], as_of=options["as_of"])
        run = run_dispatch(forecast=forecast, as_of=options["as_of"], tariff_code=options["tariff"])
        self.stdout.write(
            f"{run}: cost {run.cost_gbp:.2f} GBP, bound {run.lower_bound_gbp:.2f} GBP, gap {run.gap:.1e}, "
            f"violation {run.max_violation_kw:.1e} kW, {run.rung} by {run.method} in {run.solve_s:.2f} s"
        )
