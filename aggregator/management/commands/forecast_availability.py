"""Forecast the availability of an area's EVSEs for one charging day."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from aggregator.arrays.forecasts import load_expectation
from aggregator.management.options import aware_time, day
from aggregator.services.forecasts import forecast_area


class Command(BaseCommand):
    help = "Forecast who will be plugged in from London noon of DATE to the next noon, from what was known at AS-OF."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--area", required=True, help="code of a network node; everything below it is forecast")
        parser.add_argument("--date", required=True, type=day)
        parser.add_argument("--as-of", required=True, type=aware_time)

    def handle(self, *_args: Any, **options: Any) -> None:
        forecast = forecast_area(area_code=options["area"], day=options["date"], as_of=options["as_of"])
        expected = load_expectation(forecast=forecast)
        self.stdout.write(
            f"{forecast}: {expected.n_planned} EVSEs with a planned session, {expected.n_expected:.1f} of them "
            f"expected to plug in, from {forecast.n_session_known} known sessions"
        )
