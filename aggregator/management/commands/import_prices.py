"""Import half-hourly prices of a tariff."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from aggregator.adapters.price_files import read_prices
from aggregator.core.errors import FlexError
from aggregator.core.registration import is_slug
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, batch_organisation
from aggregator.models import Tariff
from aggregator.services.ingest_prices import ingest_prices


class InvalidTariffCode(FlexError):
    code = "import.invalid_tariff_code"


class Command(ImportCommand):
    help = "Import half-hourly prices from a CSV file; the column's name ends with its unit, as in _gbp_per_kwh."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--tariff", help="code of the tariff, new or known (default: the column's name)")
        parser.add_argument("--column", help="which column to read (default: the one docs/formats.md names first)")
        parser.add_argument("--organisation", help="code of the organisation that delivers the file")
        parser.add_argument(
            "--backfill", action="store_true", help="state that each day was known when the day before began"
        )

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        file = read_prices(path, column=options["column"], progress=progress)
        progress.storing()
        code = options["tariff"] or file.tariff_code
        if not is_slug(code):
            raise InvalidTariffCode(f"--tariff {code}: expected up to 50 letters, digits, hyphens and underscores")
        with transaction.atomic():
            tariff, _ = Tariff.objects.get_or_create(
                code=code, defaults={"name": code, "source": file.table.name[:200]}
            )
            result = ingest_prices(
                organisation=batch_organisation(options["organisation"]),
                tariff=tariff,
                source=file.table.name,
                column=file.column,
                sha256=file.table.sha256,
                received_at=now,
                rows=file.rows,
                backfill=options["backfill"],
            )
        remark = f"tariff {code} from column {file.column}"
        return Outcome(len(file.table), "prices", result, file.table.unknown, [remark])
