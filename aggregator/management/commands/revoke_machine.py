"""`manage.py revoke_machine`: end an API client and its tokens."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.importing import batch_organisation
from aggregator.services.machines import revoke_machine


class Command(BaseCommand):
    help = "End an API client of an organisation; its tokens open nothing from here on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organisation", help="code of the organisation it acts for")
        parser.add_argument("client_id")

    def handle(self, *_args: Any, organisation: str, client_id: str, **_options: Any) -> None:
        found = batch_organisation(organisation)
        name = revoke_machine(organisation=found, client_id=client_id, now=timezone.now())
        self.stdout.write(f"{name} of {found.code} is revoked.")
