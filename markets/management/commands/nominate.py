"""Hand in a DSRSP's baseline from a file."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from aggregator.management.importing import find_organisation
from aggregator.management.options import aware_time, day
from aggregator.models import Organisation
from markets.core.nominations import read_nominations
from markets.services.nominations import submit_nominations

MOST_BYTES = 8_000_000


class Command(BaseCommand):
    help = "Nominate a DSRSP's baseline in a zone from a file: dated periods, or a week with --from and --to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dsrsp", help="code of the DSRSP")
        parser.add_argument("product", help="code of the product")
        parser.add_argument("node", help="code of the zone's network node")
        parser.add_argument("file", type=Path, help="CSV; docs/formats.md names its columns")
        parser.add_argument("--from", dest="first", type=day, help="first settlement date")
        parser.add_argument("--to", dest="last", type=day, help="last settlement date")
        parser.add_argument(
            "--submitted-at", type=aware_time, help="when the DSRSP handed it in, where that was before now"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        submitted_at: datetime | None = options["submitted_at"]
        dsrsp = find_organisation(options["dsrsp"], kind=Organisation.Kind.DSRSP, option="DSRSP", may_register=False)
        days = read_nominations(_read(path), first=options["first"], last=options["last"])
        handed = submit_nominations(
            organisation=dsrsp,
            product=options["product"],
            node=options["node"],
            days=days,
            now=timezone.now(),
            submitted_at=submitted_at,
        )
        self.stdout.write(
            f"{path.name}: {len(days)} settlement dates; {len(days) - handed.n_same} nominated, "
            f"{handed.n_same} as they stood, {len(handed.late)} after their deadline"
        )


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: can't be read ({error})") from error
    if len(content) > MOST_BYTES:
        raise CommandError(f"{path} is larger than {MOST_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is no text in UTF-8 ({error})") from error
