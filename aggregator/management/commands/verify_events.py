"""Walk the event log and say whether every event still is what it was."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from aggregator.services.event_log import verify_events


class Command(BaseCommand):
    help = "Check the event log's chain and its anchors; name the first event that does not fit, and end with 1."

    def handle(self, *_args: Any, **_options: Any) -> None:
        report = verify_events()
        if report.broken:
            self.stderr.write(f"broken: {report.broken.message}")
            sys.exit(1)
        self.stdout.write(
            f"{report.n_event} events, intact, head {report.head.sequence} {report.head.sha256}, "
            f"{report.n_anchor} anchors hold"
        )
