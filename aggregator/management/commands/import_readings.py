"""Import half-hourly meter readings."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.adapters.reading_files import read_readings
from aggregator.core.reading_form import CONVENTIONS, GRANULARITIES, QUANTITIES, STAMPS
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, batch_organisation
from aggregator.services.ingest_reading_rows import ingest_reading_rows
from aggregator.services.reading_forms import AskedForm, stated_form


class Command(ImportCommand):
    help = "Import readings of EVSEs or meters from a CSV file; a changed value is a correction."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--csms", help="code of the CSMS whose EVSE ids these are (default: whichever has them)")
        parser.add_argument("--organisation", help="code of the organisation that delivers the file")
        parser.add_argument(
            "--backfill", action="store_true", help="state that each UTC day was known when it ended, not only now"
        )

        parser.add_argument(
            "--convention",
            choices=CONVENTIONS,
            default="headroom",
            help="headroom: stamped at the start, import positive; flexible-power: stamped at the end, import negative",
        )
        parser.add_argument(
            "--granularity", choices=GRANULARITIES, help="how long a value's period is (default: half-hour)"
        )
        parser.add_argument("--stamp", choices=STAMPS, help="what a time names (default: as the convention has it)")
        parser.add_argument("--product", help="code of a product: granularity and stamp are what it states")
        parser.add_argument(
            "--quantity", choices=QUANTITIES, help="what a value is (default: energy; power where it is by the minute)"
        )
        parser.add_argument("--rolls-over-at", type=float, help="kWh at which registers begin at 0 again, if known")

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        names = ("convention", "granularity", "quantity", "stamp", "product")
        form = stated_form(AskedForm(**{name: options[name] for name in names}), now=now)
        rolls_over_at_kwh = options["rolls_over_at"]
        file = read_readings(path, form=form, rolls_over_at_kwh=rolls_over_at_kwh, progress=progress)
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
            part=form.part if rolls_over_at_kwh is None else f"{form.part} {rolls_over_at_kwh:g}".strip(),
            findings=file.findings,
        )
        return Outcome(len(file.table), "half-hours", result, file.table.unknown)
