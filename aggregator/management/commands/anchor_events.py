"""Note the event log's head outside the database."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.services.event_log import anchor_events


class Command(BaseCommand):
    help = "Note the event log's head in EVENT_ANCHOR_FILE, once a UTC day; the workers do it too."

    def handle(self, *_args: Any, **_options: Any) -> None:
        anchor = anchor_events(now=timezone.now())
        if anchor is None:
            self.stdout.write("no event yet, nothing to anchor")
            return
        self.stdout.write(
            f"{anchor.day}: event {anchor.head.sequence} {anchor.head.sha256} in {settings.EVENT_ANCHOR_FILE}"
        )
