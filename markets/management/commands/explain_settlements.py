"""Explain settlements that were published without an explanation, as a month's are."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from markets.models import SettlementRun
from markets.services.events import find_event
from markets.services.explain_later import explain_settlements


class Command(BaseCommand):
    help = "Keep why an event's settlements fell short and what came back after, where that is not kept yet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference", help="reference of the request")

    def handle(self, *_args: Any, **options: Any) -> None:
        event = find_event(reference=options["reference"])
        settlements = SettlementRun.objects.filter(event=event).select_related("event__signal", "dispatch_run")
        n_explained = explain_settlements(settlements=settlements)
        self.stdout.write(f"{n_explained} settlements of {event.signal.reference} explained")
