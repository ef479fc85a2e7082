"""Import a network tree, or an LV network from which the tree is made."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from aggregator.adapters.networks import read_network
from aggregator.management.importing import ImportCommand, ImportProgress, Outcome, find_organisation
from aggregator.management.options import aware_time
from aggregator.models import Organisation
from aggregator.services.register_network import register_network


class Command(ImportCommand):
    help = "Import network nodes, ratings and customers' meters from a JSON file."
    file_help = "JSON: an LV network in neutral form, or a tree of nodes; docs/formats.md names its fields"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dno", help="code of the DNO whose network it is (default: the only one)")
        parser.add_argument("--parent", help="code of the primary substation above an LV network's transformers")
        parser.add_argument("--valid-from", type=aware_time, help="when the file's ratings start to hold")
        parser.add_argument("--register-new", action="store_true", help="register the DNO if it is not known yet")

    def run(self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress) -> Outcome:
        file = read_network(path, parent=options["parent"])
        n_row = len(file.draft.nodes) + len(file.draft.customers)
        progress.rows_read(n_row)
        progress.storing()
        with transaction.atomic():
            result = register_network(
                organisation=find_organisation(
                    options["dno"],
                    kind=Organisation.Kind.DNO,
                    option="--dno",
                    may_register=options["register_new"],
                ),
                draft=file.draft,
                source=path.name,
                sha256=file.sha256,
                now=now.astimezone(UTC),
                valid_from=options["valid_from"],
            )
        return Outcome(n_row, "nodes and customers", result, file.unknown)
