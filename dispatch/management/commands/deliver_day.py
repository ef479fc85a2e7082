"""Simulate the virtual EVSEs of the run in force through its charging day."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.options import day
from dispatch.services.delivery import deliver_day
from dispatch.services.runs import run_in_force


class Command(BaseCommand):
    help = "Let the sessions that happened obey the setpoints of the run in force, and take in their meter readings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--area", required=True)
        parser.add_argument("--date", required=True, type=day)

    def handle(self, *_args: Any, **options: Any) -> None:
        run = run_in_force(area_code=options["area"], day=options["date"])
        delivered = deliver_day(run=run, as_of=timezone.now())
        delivery = delivered.delivery
        self.stdout.write(
            f"{len(delivered.sessions)} sessions: {delivery.delivered_kwh.sum():.1f} of {delivery.asked_kwh.sum():.1f} "
            f"kWh delivered, {int(delivery.is_overridden.sum())} overridden, {int(delivery.is_absent.sum())} absent"
        )
