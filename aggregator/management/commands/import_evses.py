"""Import EVSEs, their identities, meters and enrolments."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.adapters.evse_files import read_registrations
from aggregator.core.registration import RegistrationRefused
from aggregator.management.importing import SHOWN_ERRORS, ImportCommand, ImportProgress, Outcome, batch_organisation
from aggregator.services.register_fleet import register_fleet


class Command(ImportCommand):
    help = "Register EVSEs from a CSV file; a known EVSE is brought up to date, another DSRSP is a switch."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--organisation", help="code of the organisation that delivers the file")
        parser.add_argument("--register-new", action="store_true", help="register DSRSPs and CSMSs not known yet")

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        table, rows = read_registrations(path, progress=progress)
        progress.storing()
        try:
            result = register_fleet(
                organisation=batch_organisation(options["organisation"]),
                rows=rows,
                source=table.name,
                sha256=table.sha256,
                now=now,
                register_new=options["register_new"],
            )
        except RegistrationRefused as error:
            for bad in error.errors[1:SHOWN_ERRORS]:
                self.stderr.write(str(bad))
            raise
        return Outcome(len(table), "EVSEs", result, table.unknown)
