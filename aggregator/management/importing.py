"""What every import command does alike: a progress bar, one summary, one sentence for a file it refuses."""

import time
from argparse import ArgumentParser
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.text import Text

from aggregator.adapters.bounded import FileRefused
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.models import Organisation
from aggregator.services.batches import IngestResult, platform_organisation

SHOWN_ERRORS = 20


class UnknownOrganisation(FlexError):
    code = "import.unknown_organisation"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an import prints: how many rows of which file, what became of them, what was ignored."""

    n_row: int
    what: str
    result: IngestResult
    unknown_columns: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        n_row = int(task.fields.get("n_row", 0))
        return Text(f"{n_row:,} rows, {n_row / max(task.elapsed or 0.0, 1e-3):,.0f} a second")


class ImportProgress(AbstractContextManager["ImportProgress"]):
    """A bar over the bytes of one file, with rows and rows a second; silent where there is no terminal."""

    def __init__(self, path: Path) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _Rate())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        total = path.stat().st_size if path.is_file() else None
        self._task = self._bar.add_task(f"Reading {path.name}", total=total, n_row=0)
        self._n_row = 0

    def __enter__(self) -> "ImportProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def bytes_read(self, n_byte: int) -> None:
        self._bar.advance(self._task, n_byte)

    def rows_read(self, n_row: int) -> None:
        self._n_row += n_row
        self._bar.update(self._task, n_row=self._n_row)

    def storing(self) -> None:
        self._bar.update(self._task, description="Storing")


class ImportCommand(BaseCommand):
    """Parse a file, hand it to one service, print what became of it. Subclasses implement ``run``."""

    file_help = "CSV, plain or gzipped; docs/formats.md names its columns"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help=self.file_help)

    def run(
        self, *, path: Path, options: dict[str, Any], now: datetime, progress: ImportProgress
    ) -> Outcome:  # pragma: no cover
        raise NotImplementedError

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        started = time.monotonic()
        try:
            with ImportProgress(path) as progress:
                outcome = self.run(path=path, options=options, now=timezone.now(), progress=progress)
        except FileRefused as error:
            for bad in error.errors[1:SHOWN_ERRORS]:
                self.stderr.write(str(bad))
            raise
        self._report(path, outcome, time.monotonic() - started)

    def _report(self, path: Path, outcome: Outcome, seconds: float) -> None:
        rate = outcome.n_row / max(seconds, 1e-3)
        self.stdout.write(f"{path.name}: {outcome.n_row:,} rows in {seconds:.1f} s ({rate:,.0f} rows a second)")
        counts = ", ".join(f"{count:,} {name}" for name, count in outcome.result.counts().items())
        self.stdout.write(f"  {outcome.what}: {counts}")
        for remark in outcome.remarks:
            self.stdout.write(f"  {remark}")
        if outcome.unknown_columns:
            self.stdout.write(f"  columns ignored: {', '.join(outcome.unknown_columns)}")
        for line in finding_lines(outcome.result.findings):
            self.stdout.write(f"  {line}")


def finding_lines(findings: tuple[FindingNote, ...]) -> list[str]:
    """One line a code: how many findings, and of how many rows or half-hours where they stand for several."""
    lines = []
    for code in sorted({note.code for note in findings}):
        notes = [note for note in findings if note.code == code]
        line = f"finding {code}: {len(notes):,}"
        for detail, name in (("n_row", "rows"), ("n_half_hour", "half-hours")):
            if detail in notes[0].details:
                line += f" ({sum(int(note.details[detail] or 0) for note in notes):,} {name})"
        lines.append(line)
    return lines


def find_organisation(code: str | None, *, kind: Organisation.Kind, option: str, may_register: bool) -> Organisation:
    """The organisation of this kind with this code, or the only one where no code is given.

    Raises:
        UnknownOrganisation: there is none, or more than one to choose from.
    """
    of_kind = Organisation.objects.filter(kind=kind)
    if code is None:
        found = list(of_kind[:2])
        if len(found) == 1:
            return found[0]
        raise UnknownOrganisation(f"name the {kind.label} with {option}: there is no only one to assume")
    organisation = of_kind.filter(code=code).first()
    if organisation is None and may_register:
        organisation, _ = Organisation.objects.get_or_create(code=code, defaults={"name": code, "kind": kind})
        organisation = organisation if organisation.kind == kind else None
    if organisation is None:
        raise UnknownOrganisation(
            f"{option} {code}: no {kind.label} has this code; --register-new registers one", organisation=code
        )
    return organisation


def batch_organisation(code: str | None) -> Organisation:
    """Whom a delivery belongs to: the organisation with this code, or the platform.

    Raises:
        UnknownOrganisation: no organisation has this code.
    """
    if code is None:
        return platform_organisation()
    organisation = Organisation.objects.filter(code=code).first()
    if organisation is None:
        raise UnknownOrganisation(f"--organisation {code}: no organisation has this code", organisation=code)
    return organisation
