"""Import half-hourly meter readings."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.adapters.reading_files import read_readings
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, batch_organisation
from aggregator.services.ingest_reading_rows import ingest_reading_rows


class Command(ImportCommand):
    help = "Import half-hourly readings of EVSEs or meters from a CSV file; a changed value is a correction."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--csms", help="code of the CSMS whose EVSE ids these are (default: whichever has them)")
        parser.add_argument("--organisation", help="code of the organisation that delivers the file")
        parser.add_argument(
            "--backfill", action="store_true", help="state that each UTC day was known when it ended, not only now"
        )

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        file = read_readings(path, progress=progress)
        progress.storing()
        result = ingest_reading_rows(
            organisation=batch_organisation(options["organisation"]),
            source=file.table.name,
            sha256=file.table.sha256,
            received_at=now,
            rows=file.rows,
            names_evses=file.names_evses,
            csms_code=options["csms"],
            backfill=options["backfill"],
        )
        return Outcome(len(file.table), "half-hours", result, file.table.unknown)
