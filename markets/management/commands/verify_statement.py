"""Settle published statements again from the readings and say whether they still agree."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from markets.services.verification import verify_statements


class Command(BaseCommand):
    help = (
        "Settle statements again from the readings: 0 when all agree, "
        "1 with statement, line, stored and recomputed value when any differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("statement", nargs="*", type=int, help="number of a statement")
        parser.add_argument(
            "--all", action="store_true", help="every statement, invoice and filed volume, and both chains"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        asked = options["statement"]
        if bool(asked) == options["all"]:
            raise CommandError("name statements by their numbers, or --all")
        verified = verify_statements(statement_pks=None if options["all"] else asked)
        for difference in verified.differences:
            self.stdout.write(str(difference))
        self.stdout.write(
            f"{verified.n_statement} statements in {verified.n_settlement} settlements, "
            f"{verified.n_invoice} invoices, {verified.n_file} files: "
            f"{len(verified.differences)} differences"
        )
        if verified.differences:
            sys.exit(1)
