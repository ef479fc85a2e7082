"""Register an asset metering system behind its boundary, from a settlement date on."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.importing import find_organisation
from aggregator.models import Organisation
from markets.services.allocation import AssetFacts, register_asset

REQUIRED = ("meter", "import_amsid", "import_msid", "bm_unit_id", "gsp_group_id", "supplier_id")
OPTIONAL = ("boundary_meter", "export_amsid", "export_msid")


class Command(BaseCommand):
    help = "Register an asset metering system (AMSID) of a DSRSP; the same facts again change nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dsrsp", help="code of the DSRSP")
        for name in REQUIRED:
            parser.add_argument(f"--{name.replace('_', '-')}", required=True)
        for name in OPTIONAL:
            parser.add_argument(f"--{name.replace('_', '-')}", default="")
        parser.add_argument("--max-import-kw", type=float, required=True)
        parser.add_argument("--max-export-kw", type=float, default=0.0)
        parser.add_argument("--valid-from", type=date.fromisoformat, required=True, help="first settlement date")
        parser.add_argument("--valid-to", type=date.fromisoformat, help="first settlement date it is no longer so")

    def handle(self, *_args: Any, **options: Any) -> None:
        organisation = find_organisation(
            options["dsrsp"], kind=Organisation.Kind.DSRSP, option="dsrsp", may_register=False
        )
        names = (*REQUIRED, *OPTIONAL, "max_import_kw", "max_export_kw", "valid_from", "valid_to")
        facts = AssetFacts(**{name: options[name] for name in names})
        registration = register_asset(organisation=organisation, facts=facts, now=timezone.now())
        self.stdout.write(f"{registration} in {registration.unit}")
