"""`manage.py register_machine`: an API client of an organisation, its secret shown once."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.core.permissions import SCOPES
from aggregator.management.importing import batch_organisation
from aggregator.services.machines import register_machine


class Command(BaseCommand):
    help = "Register an API client of an organisation; its secret is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organisation", help="code of the organisation it acts for")
        parser.add_argument("name")
        parser.add_argument("--scopes", nargs="+", required=True, choices=sorted(SCOPES), metavar="SCOPE")

    def handle(self, *_args: Any, organisation: str, name: str, scopes: list[str], **_options: Any) -> None:
        found = batch_organisation(organisation)
        made = register_machine(organisation=found, name=name, scopes=scopes, now=timezone.now())
        self.stdout.write(f"client_id {made.client_id}")
        self.stdout.write(f"client_secret {made.secret}")
