"""Import charging sessions."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.adapters.session_files import read_sessions
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, batch_organisation
from aggregator.services.ingest_sessions import ingest_sessions


class Command(ImportCommand):
    help = "Import charging sessions from a CSV file; what can't be used is set aside as findings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--csms", help="code of the CSMS whose EVSE ids these are (default: whichever has them)")
        parser.add_argument("--organisation", help="code of the organisation that delivers the file")
        parser.add_argument(
            "--backfill", action="store_true", help="state that each session was known when it ended, not only now"
        )

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        table, rows = read_sessions(path, progress=progress)
        progress.storing()
        result = ingest_sessions(
            organisation=batch_organisation(options["organisation"]),
            source=table.name,
            sha256=table.sha256,
            received_at=now,
            rows=rows,
            csms_code=options["csms"],
            backfill=options["backfill"],
        )
        return Outcome(len(table), "sessions", result, table.unknown)
