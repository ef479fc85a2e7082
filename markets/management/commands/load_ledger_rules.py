"""Load the default rules of primacy and stacking."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from markets.services.ledger_rules import load_default_rules


class Command(BaseCommand):
    help = "Load the default rules of primacy and stacking; rules that are stated already stay as they are."

    def handle(self, *_args: Any, **_options: Any) -> None:
        loaded = load_default_rules(now=timezone.now())
        self.stdout.write(f"rules of primacy and stacking: {loaded.n_added} added, {loaded.n_known} known")
