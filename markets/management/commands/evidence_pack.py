"""Write a statement's evidence pack to a file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aggregator.models import Organisation
from markets.models import Statement
from markets.queries import statements_seen_by
from markets.services.evidence import evidence_pack


class Command(BaseCommand):
    help = "Write the evidence pack of STATEMENT to FILE; without --for it is whole, with each meter's readings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("statement", type=int)
        parser.add_argument("file", type=Path)
        parser.add_argument("--for", dest="reader", metavar="CODE", help="as this organisation may read it")

    def handle(self, *_args: Any, **options: Any) -> None:
        reader = self._reader(options["reader"])
        seen = statements_seen_by(reader) if reader else Statement.objects.across_tenants()
        run = "settlement_run__event"
        statement = (
            seen.select_related(f"{run}__signal", f"{run}__product", "organisation")
            .filter(pk=options["statement"])
            .first()
        )
        if statement is None:
            raise CommandError(f"there is no statement {options['statement']}{f' for {reader.code}' if reader else ''}")
        is_whole = reader is None or reader.pk == statement.organisation_id
        pack = evidence_pack(statement=statement, with_readings=is_whole, most_readings=None)
        options["file"].write_bytes(pack.content)
        self.stdout.write(f"{options['file']}: {len(pack.content)} bytes, SHA-256 {pack.sha256}")

    def _reader(self, code: str | None) -> Organisation | None:
        if code is None:
            return None
        found = Organisation.objects.filter(code=code).first()
        if found is None:
            raise CommandError(f"there is no organisation {code}")
        return found
