"""Import carbon intensity."""

from argparse import ArgumentParser
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.adapters.price_files import read_carbon
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, batch_organisation
from aggregator.services.ingest_prices import ingest_carbon


class Command(ImportCommand):
    help = "Import half-hourly carbon intensity, forecast and outturn, from a CSV file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--organisation", help="code of the organisation that delivers the file")
        parser.add_argument(
            "--backfill",
            action="store_true",
            help="state that forecasts were known when the day before began, outturns when their day had ended",
        )

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        table, forecast, actual = read_carbon(path, progress=progress)
        progress.storing()
        of_forecast, of_actual = ingest_carbon(
            organisation=batch_organisation(options["organisation"]),
            source=table.name,
            sha256=table.sha256,
            received_at=now,
            forecast=forecast,
            actual=actual,
            backfill=options["backfill"],
        )
        both = replace(
            of_forecast,
            n_accepted=of_forecast.n_accepted + of_actual.n_accepted,
            n_revised=of_forecast.n_revised + of_actual.n_revised,
            n_duplicate=of_forecast.n_duplicate + of_actual.n_duplicate,
            n_quarantined=of_forecast.n_quarantined + of_actual.n_quarantined,
            findings=(*of_forecast.findings, *of_actual.findings),
        )
        return Outcome(len(table), "forecasts and outturns", both, table.unknown)
