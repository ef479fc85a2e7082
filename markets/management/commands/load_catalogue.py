"""`manage.py load_catalogue`: what GB network operators have published of their products."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from markets.core.catalogue import EDITION
from markets.services.catalogue import load_catalogue


class Command(BaseCommand):
    help = "State the catalogue's products that are not there yet (docs/methods/settlement.md); again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--update", action="store_true", help="make a version where a product states otherwise than the catalogue"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        loaded = load_catalogue(now=timezone.now(), update=options["update"])
        self.stdout.write(
            f"Catalogue {EDITION}: {len(loaded.made)} products stated, {len(loaded.revised)} revised, "
            f"{len(loaded.same)} as they were."
        )
        if loaded.differs:
            self.stdout.write(f"Left alone, for they state otherwise: {', '.join(loaded.differs)}.")
