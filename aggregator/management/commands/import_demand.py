"""Import measured demand of customers or feeders."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from aggregator.adapters.reading_files import read_demand, read_places
from aggregator.core.reading_rows import MOST_KWH_PER_METER
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, find_organisation
from aggregator.management.options import aware_time
from aggregator.models import Meter, Organisation
from aggregator.services.ingest_reading_rows import ingest_demand


class Command(ImportCommand):
    help = "Import half-hourly demand from a CSV file: a column a series, long form, or a snapshot of feeders."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dno", help="code of the DNO that measured (default: the only one)")
        parser.add_argument("--place", type=Path, metavar="FILE", help="CSV of series and the node each hangs on")
        parser.add_argument("--period-start", type=aware_time, metavar="TIME", help="the half-hour of a snapshot")
        parser.add_argument("--register-new", action="store_true", help="register the DNO if it is not known yet")
        parser.add_argument(
            "--backfill", action="store_true", help="state that each UTC day was known when it ended, not only now"
        )
        parser.add_argument(
            "--most-kwh",
            type=float,
            default=MOST_KWH_PER_METER,
            help=f"what a meter can pass in half an hour; more is set aside (default {MOST_KWH_PER_METER:g})",
        )

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        file = read_demand(path, period_start=options["period_start"], progress=progress)
        places = read_places(options["place"]) if options["place"] else {}
        progress.storing()
        with transaction.atomic():
            result = ingest_demand(
                organisation=find_organisation(
                    options["dno"], kind=Organisation.Kind.DNO, option="--dno", may_register=options["register_new"]
                ),
                source=file.table.name,
                sha256=file.table.sha256,
                received_at=now,
                rows=file.rows,
                meter_kind=Meter.Kind.FEEDER if file.is_feeder else Meter.Kind.CUSTOMER,
                n_meter=file.n_meter,
                places=places,
                part=file.period,
                backfill=options["backfill"],
                most_kwh_per_meter=options["most_kwh"],
            )
        return Outcome(len(file.rows), "half-hours", result, file.table.unknown)
