"""A file of EVSEs somebody brought to look at: every row that can be read, and every error of the others.

``read_registrations`` refuses a file at the first kind of error it meets, which is right for a command. A person who
corrects a file wants all errors at once: so rows with errors are blanked, line by line, and the rest is read again.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aggregator.adapters.bounded import BoundedFile, CellError, FileRefused, Limits
from aggregator.adapters.evse_files import COLUMNS, read_registrations
from aggregator.core.csv_text import write_record
from aggregator.core.registration import Registration

LIMITS = Limits(max_bytes=64 * 2**20, max_ratio=50)
WHOLE_ROW = "(row)"
N_PASS = 3  # bad cells, then what cells say together, then the rows that are left
EXAMPLES: Sequence[dict[str, str]] = (
    {"evse_id": "GB-EXA-E0001", "rated_kw": "7.4", "phase": "A", "meter_id": "exa-meter-1", "phases": "1"},
    {"evse_id": "GB-EXA-E0002", "rated_kw": "22", "phases": "3", "services": "routine;response"},
)
EXAMPLE = {
    "csms": "code-of-the-csms",
    "node": "code-of-the-feeder",
    "scenario": "off_street_residential",
    "services": "routine",
    "consent_evidence": "consent-form-17",
}


@dataclass(frozen=True, slots=True)
class FleetFile:
    """What was read of a file.

    Attributes:
        rows: the rows without errors of their own; they may still not fit what is registered.
        errors: by line; empty where every row could be read.
        refused: why the file could not be read at all; empty where it could.
        ignored: columns nobody knows.
        n_row: rows of the file, good and bad.
    """

    rows: tuple[Registration, ...] = ()
    errors: tuple[CellError, ...] = ()
    refused: str = ""
    ignored: tuple[str, ...] = ()
    n_row: int = 0


def read_fleet_file(content: bytes, name: str) -> FleetFile:
    """Read a file as far as it can be read; nothing of it is trusted, nothing raises."""
    try:
        lines = BoundedFile(io.BytesIO(content), name, limits=LIMITS).text().split("\n")
        return _read(lines, name)
    except FileRefused as error:
        return FleetFile(refused=error.message)


def template_file(*, dsrsp: str, enrolled_from: datetime) -> bytes:
    """A file with every column and two examples, to be filled in."""
    names = [column.name for column in COLUMNS]
    shared = {**EXAMPLE, "dsrsp": dsrsp, "enrolled_from": f"{enrolled_from.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    rows = [[{**shared, **example}.get(name, "") for name in names] for example in EXAMPLES]
    return b"".join(write_record(record) for record in [names, *rows])


def _read(lines: list[str], name: str) -> FleetFile:
    spans, errors = _spans(lines, name)
    n_row = len(spans)
    bad = {error.line for error in errors}
    for _ in range(N_PASS):
        if bad and not spans.keys() - bad:
            break
        try:
            table, rows = read_registrations(_stream(_without(lines, spans, bad)), name=name, limits=LIMITS)
        except FileRefused as error:
            if not error.errors:
                raise
            errors += error.errors
            bad |= {one.line for one in error.errors}
        else:
            return FleetFile(rows, _ordered(errors), ignored=table.unknown, n_row=n_row)
    return FleetFile((), _ordered(errors), n_row=n_row)


def _spans(lines: list[str], name: str) -> tuple[dict[int, int], list[CellError]]:
    """First line and last line of each row after the header, and the rows whose number of fields is another's."""
    reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    spans: dict[int, int] = {}
    errors: list[CellError] = []
    n_column, first = 0, 1
    try:
        for row in reader:
            if row and not n_column:
                n_column = len(row)
            elif row:
                spans[first] = reader.line_num
                if len(row) != n_column:
                    expected = f"{n_column} fields, as in the header"
                    errors.append(CellError(first, WHOLE_ROW, f"{len(row)} fields", expected))
            first = reader.line_num + 1
    except csv.Error as error:
        raise FileRefused(f"{name}: line {reader.line_num} is no CSV ({error})", line=reader.line_num) from error
    return spans, errors


def _without(lines: list[str], spans: dict[int, int], bad: Iterable[int]) -> list[str]:
    """The lines, those of bad rows emptied: the others keep their numbers."""
    kept = list(lines)
    for first in bad:
        for line in range(first, spans[first] + 1):
            kept[line - 1] = ""
    return kept


def _stream(lines: list[str]) -> io.BytesIO:
    return io.BytesIO("\n".join(lines).encode())


def _ordered(errors: list[CellError]) -> tuple[CellError, ...]:
    return tuple(sorted(errors, key=lambda error: (error.line, error.column)))
