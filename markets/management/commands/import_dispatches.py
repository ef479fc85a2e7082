"""Import a DNO's published calendar of dispatches as requests."""

import gzip
import hashlib
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.importing import find_organisation, finding_lines
from aggregator.management.options import day
from aggregator.models import Organisation
from markets.core.dispatch_calendar import CalendarRefused, DispatchCalendar, parse_calendar
from markets.services.dispatch_calendar import CalendarPlan, import_dispatches

MOST_BYTES = 100_000_000
GZIP = b"\x1f\x8b"


class Command(BaseCommand):
    help = (
        "Make a request and an event of each dispatch in a calendar as UK Power Networks publishes it; those that are "
        "known stay as they are. Only zones and products that are named are taken."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV, plain or gzipped; docs/formats.md names its columns")
        parser.add_argument("--dno", help="code of the DNO that asks (default: the only one)")
        parser.add_argument(
            "--zone", type=_pair, action="append", default=[], metavar="ZONE=NODE", help="repeat for each zone"
        )
        parser.add_argument(
            "--product", type=_pair, action="append", default=[], metavar="NAME=CODE", help="repeat for each product"
        )
        parser.add_argument("--from", dest="first", type=day, help="first London day")
        parser.add_argument("--to", dest="last", type=day, help="last London day")
        parser.add_argument(
            "--notice-hours", type=float, default=24.0, help="how long before its start each is received"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        calendar, sha256 = _read(path)
        taken = import_dispatches(
            calendar=calendar,
            plan=CalendarPlan(
                nodes=dict(options["zone"]),
                products=dict(options["product"]),
                first=options["first"],
                last=options["last"],
                notice=timedelta(hours=options["notice_hours"]),
            ),
            source=f"dispatches:{path.name}:{sha256[:12]}",
            organisation=find_organisation(
                options["dno"], kind=Organisation.Kind.DNO, option="--dno", may_register=False
            ),
            now=timezone.now(),
        )
        self.stdout.write(
            f"{path.name}: {calendar.n_row:,} rows; requests: {taken.n_made:,} made, {taken.n_known:,} known, "
            f"{taken.n_left_out:,} calls of other zones, products or days, "
            f"{taken.n_availability:,} rows of availability alone"
        )
        for line in finding_lines(taken.findings):
            self.stdout.write(f"  {line}")


def _pair(text: str) -> tuple[str, str]:
    name, _, code = text.rpartition("=")
    if not name or not code:
        raise ArgumentTypeError(f"{text!r} is not NAME=CODE")
    return name, code


def _read(path: Path) -> tuple[DispatchCalendar, str]:
    """The calendar, and the digest of the file.

    Raises:
        CalendarRefused: the file can't be read, is too large, or is no calendar.
    """
    try:
        received = path.read_bytes()
        content = received
        if received.startswith(GZIP):
            with gzip.open(path) as stream:
                content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise CalendarRefused(f"{path.name} is larger than {MOST_BYTES:,} bytes")
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CalendarRefused(f"{path}: can't be read ({error})") from error
    return parse_calendar(lines, name=path.name), hashlib.sha256(received).hexdigest()
