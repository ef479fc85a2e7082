"""Build a DSRSP's file of delivered volumes for a settlement date, or write the one there is again."""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from aggregator.management.importing import find_organisation
from aggregator.management.options import aware_time
from aggregator.models import Organisation
from markets.services.allocation import build_delivered_file, published_bytes


class Command(BaseCommand):
    help = "Build a DSRSP's P0282 file of a settlement date from readings known at AS-OF, or give the one there is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dsrsp", help="code of the DSRSP")
        parser.add_argument("day", type=date.fromisoformat, help="settlement date")
        parser.add_argument("--as-of", required=True, type=aware_time)
        parser.add_argument("--out", type=Path, help="write the file's bytes here")

    def handle(self, *_args: Any, **options: Any) -> None:
        organisation = find_organisation(
            options["dsrsp"], kind=Organisation.Kind.DSRSP, option="dsrsp", may_register=False
        )
        file = build_delivered_file(organisation=organisation, day=options["day"], as_of=options["as_of"])
        if options["out"]:
            options["out"].write_bytes(published_bytes(file))
        self.stdout.write(
            f"{file} of {organisation.code}: {file.n_volume} volumes, {file.total_mwh} MWh, {file.residual_kwh} kWh "
            f"left out by rounding, SHA-256 {file.sha256}"
        )
