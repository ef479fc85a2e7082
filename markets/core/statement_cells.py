"""Cells of a statement file, in fixed formats.

Writers return the one spelling a value has; readers accept only such spellings.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from aggregator.core.csv_text import GUARD
from aggregator.core.errors import FlexError

_DAY = r"(19[7-9]|20[0-9]|21[0-9])[0-9]-[0-9]{2}-[0-9]{2}"


class StatementFileInvalid(FlexError):
    code = "statement_file.invalid"


def decimal_cell(value: Decimal | None, n_decimals: int) -> str:
    """Spell a number with fixed decimals, no exponent and no minus zero; None is the empty cell."""
    if value is None:
        return ""
    return f"{value or Decimal(0):.{n_decimals}f}"


def time_cell(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def read_records(text: str) -> list[list[str]]:
    """Split a file into records of cells.

    Raises:
        StatementFileInvalid: the quoting does not close.
    """
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise StatementFileInvalid(f"not readable as CSV: {error}") from error


class Cells:
    """Cells of one record by key, read strictly.

    Args:
        names: keys in the order of the cells; a mapping gives each the name it has in the file.

    Raises:
        StatementFileInvalid: from any method, naming record and column.
    """

    def __init__(self, names: Sequence[str] | Mapping[str, str], cells: Sequence[str], *, record: int) -> None:
        self._record = record
        self._names = names if isinstance(names, Mapping) else {name: name for name in names}
        if len(cells) != len(names):
            raise StatementFileInvalid(
                f"record {record} has {len(cells)} cells, {len(names)} are needed", record=record, column=None
            )
        self._cells: Mapping[str, str] = dict(zip(names, cells, strict=True))

    def __contains__(self, name: str) -> bool:
        return name in self._cells

    def text(self, name: str) -> str:
        return self._cells[name].removeprefix(GUARD)

    def one_of(self, name: str, *known: str) -> str:
        cell = self._cells[name]
        if cell not in known:
            raise self.invalid(name, f"one of {', '.join(known)}")
        return cell

    def integer(self, name: str) -> int:
        return int(self._matched(name, r"[0-9]{1,15}", "a whole number"))

    def decimal(self, name: str, n_decimals: int) -> Decimal:
        pattern = rf"-?[0-9]{{1,16}}\.[0-9]{{{n_decimals}}}"
        return Decimal(self._matched(name, pattern, f"a number with {n_decimals} decimals"))

    def decimal_or_none(self, name: str, n_decimals: int) -> Decimal | None:
        return self.decimal(name, n_decimals) if self._cells[name] else None

    def time(self, name: str) -> datetime:
        cell = self._matched(name, _DAY + r"T[0-9]{2}(:[0-9]{2}){2}Z", "a UTC time with Z")
        try:
            return datetime.fromisoformat(cell)
        except ValueError as error:
            raise self.invalid(name, "a UTC time with Z") from error

    def check_spelling(self, expected: Sequence[str]) -> None:
        """Compare every cell with what a writer would have put there from the values read."""
        for (name, found), wanted in zip(self._cells.items(), expected, strict=True):
            if found != wanted:
                raise self.invalid(name, repr(wanted))

    def invalid(self, name: str, wanted: str) -> StatementFileInvalid:
        """Build the error that says what ``name`` should have held."""
        return StatementFileInvalid(
            f"record {self._record}, {self._names[name]}: expected {wanted}, found {self._cells[name][:80]!r}",
            record=self._record,
            column=self._names[name],
        )

    def _matched(self, name: str, pattern: str, wanted: str) -> str:
        cell = self._cells[name]
        if not re.fullmatch(pattern, cell):
            raise self.invalid(name, wanted)
        return cell
