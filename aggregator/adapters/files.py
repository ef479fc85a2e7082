"""CSV files, plain or gzipped, as typed columns: read in pieces, every value checked, errors by line and column."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from aggregator.adapters.bounded import BoundedFile, CellError, FileRefused, Limits
from aggregator.adapters.cells import Column, Instant, Number, Text, Values
from aggregator.adapters.csv_rows import numbered_rows
from aggregator.core.types import FloatArray, IntArray, StrArray, TimeArray

__all__ = [
    "CellError",
    "Column",
    "FileRefused",
    "Instant",
    "Limits",
    "Number",
    "Progress",
    "Table",
    "Text",
    "read_table",
]

ROWS_A_PIECE = 20_000
MAX_ERRORS = 1_000
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns, typed, with the line each row starts on.

    Attributes:
        name: of the file, without its folder.
        sha256: of the file as received.
        header: every column the file has; ``unknown``: those of it that were ignored.
        lines: (n_row,) line number, the header being line 1.
    """

    name: str
    sha256: str
    header: tuple[str, ...]
    unknown: tuple[str, ...]
    lines: IntArray
    columns: dict[str, Values]

    def __len__(self) -> int:
        return len(self.lines)

    def texts(self, name: str) -> StrArray:
        return self.columns[name].astype(np.str_)

    def numbers(self, name: str) -> FloatArray:
        return self.columns[name].astype(np.float64)

    def times(self, name: str) -> TimeArray:
        return self.columns[name].astype("datetime64[s]")


class Progress(Protocol):
    """Who wants to know how far a file is read."""

    def bytes_read(self, n_byte: int) -> None: ...

    def rows_read(self, n_row: int) -> None: ...


ColumnsOf = Callable[[tuple[str, ...]], Sequence[Column]]


def read_table(
    source: Path | BinaryIO,
    columns: Sequence[Column] | ColumnsOf,
    *,
    name: str = "",
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Table:
    """Read a CSV file whole or refuse it whole.

    Args:
        columns: what is wanted, or a function that says so given the header. Other columns are ignored and named.
        progress: told what was read, piece by piece.

    Raises:
        FileRefused: no such file, no CSV, a required column missing or twice, a ragged row, or values that can't be
            taken; the first is in the message, the first ``MAX_ERRORS`` are in ``errors``.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as stream:
                return _read(stream, name or source.name, columns, limits, progress)
        except OSError as error:
            raise FileRefused(f"{source}: can't be read ({error.strerror})") from error
    return _read(source, name or "upload", columns, limits, progress)


def _read(
    stream: BinaryIO,
    name: str,
    columns: Sequence[Column] | ColumnsOf,
    limits: Limits | None,
    progress: Progress | None,
) -> Table:
    file = BoundedFile(stream, name, limits=limits, on_bytes=progress.bytes_read if progress else None)
    rows = numbered_rows(file.lines(), refused=FileRefused, where=f"{file.name}: ")
    header = tuple(next(rows, (1, []))[1])
    wanted = columns(header) if callable(columns) else columns
    places = _places(name, header, wanted)
    pieces = _Pieces(name, wanted, places)
    for lines, cells in _pieces(name, rows, len(header)):
        pieces.take(lines, cells)
        if progress:
            progress.rows_read(len(lines))
    pieces.refuse_bad()
    used = {header[place] for place in places.values() if place is not None}
    return Table(
        name=name,
        sha256=file.sha256(),
        header=header,
        unknown=tuple(column for column in header if column not in used),
        lines=pieces.all_lines(),
        columns=pieces.all_columns(),
    )


class _Pieces:
    """Typed pieces of each column, and what was bad in them."""

    def __init__(self, name: str, wanted: Sequence[Column], places: dict[str, int | None]) -> None:
        self._name, self._wanted, self._places = name, wanted, places
        self._lines: list[IntArray] = []
        self._values: dict[str, list[Values]] = {column.name: [] for column in wanted}
        self._errors: list[CellError] = []
        self._n_error = 0

    def take(self, lines: list[int], cells: list[Sequence[str]]) -> None:
        self._lines.append(np.array(lines, dtype=np.int64))
        for column in self._wanted:
            place = self._places[column.name]
            if place is None:
                self._values[column.name].append(column.absent(len(lines)))
                continue
            values, bad = column.parse(cells[place])
            self._values[column.name].append(values)
            self._n_error += len(bad)
            for row in bad[:MAX_ERRORS]:
                self._errors.append(CellError(lines[row], column.name, cells[place][row][:SHOWN], column.expected))
        if self._n_error > MAX_ERRORS:
            self.refuse_bad()

    def refuse_bad(self) -> None:
        if not self._errors:
            return
        errors = sorted(self._errors, key=lambda error: error.line)[:MAX_ERRORS]
        more = f" (and {self._n_error - 1:,} more)" if self._n_error > 1 else ""
        raise FileRefused(
            f"{self._name}: {errors[0]}{more}",
            errors=tuple(errors),
            line=errors[0].line,
            column=errors[0].column,
            found=errors[0].found,
            expected=errors[0].expected,
        )

    def all_lines(self) -> IntArray:
        if not self._lines:
            raise FileRefused(f"{self._name}: holds a header and no rows")
        return np.concatenate(self._lines)

    def all_columns(self) -> dict[str, Values]:
        columns: dict[str, Values] = {}
        for name, pieces in self._values.items():
            columns[name] = np.concatenate(pieces)  # type: ignore[assignment]  # one kind a column
        return columns


def _places(name: str, header: tuple[str, ...], wanted: Sequence[Column]) -> dict[str, int | None]:
    """Where each wanted column stands; None for an optional one the file has not."""
    if not header:
        raise FileRefused(f"{name}: is empty, expected a header line")
    places: dict[str, int | None] = {}
    for column in wanted:
        found = [at for at, title in enumerate(header) if title in (column.name, *column.aliases)]
        if len(found) > 1:
            titles = " and ".join(header[at] for at in found)
            raise FileRefused(f"{name}: line 1 names the column {column.name} more than once ({titles})", line=1)
        if not found and column.required:
            titles = ", ".join(header)[:200]
            raise FileRefused(
                f"{name}: line 1, column {column.name}: not found, expected among the columns ({titles})",
                line=1,
                column=column.name,
            )
        places[column.name] = found[0] if found else None
    return places


def _pieces(
    name: str, rows: Iterator[tuple[int, list[str]]], n_column: int
) -> Iterator[tuple[list[int], list[Sequence[str]]]]:
    """Up to ``ROWS_A_PIECE`` rows at a time: their lines and their cells by column."""
    lines: list[int] = []
    piece: list[list[str]] = []
    for line, row in rows:
        if len(row) != n_column:
            raise FileRefused(
                f"{name}: line {line} has {len(row)} fields, expected {n_column} as in the header", line=line
            )
        lines.append(line)
        piece.append(row)
        if len(piece) == ROWS_A_PIECE:
            yield lines, list(zip(*piece, strict=True))
            lines, piece = [], []
    if piece:
        yield lines, list(zip(*piece, strict=True))
