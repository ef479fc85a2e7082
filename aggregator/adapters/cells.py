"""Columns of text turned into arrays, strictly: what only looks like a number or a time is refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np

from aggregator.core.types import FloatArray, StrArray, TimeArray

LATEST = np.datetime64("2100-01-01T00:00:00", "s")
NAT = np.datetime64("NaT", "s")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
NUMERALS = b"0123456789.+-eE,"
UTC_SHAPE = "0000-00-00T00:00:00Z"

Values: TypeAlias = FloatArray | TimeArray | StrArray
BadCells: TypeAlias = list[int]


@dataclass(frozen=True, slots=True)
class Text:
    """A column of text without control characters or spaces around it."""

    name: str
    required: bool = True
    may_be_empty: bool = False
    max_length: int = 80
    choices: frozenset[str] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        if self.choices is not None:
            return "one of " + ", ".join(sorted(self.choices))
        return f"1 to {self.max_length} characters without spaces around them"

    def absent(self, n_row: int) -> StrArray:
        return np.full(n_row, "", dtype=np.str_)

    def parse(self, cells: Sequence[str]) -> tuple[StrArray, BadCells]:
        if not CONTROL.search("".join(cells)) and all(map(self._is_good, set(cells))):
            return np.array(cells, dtype=np.str_), []
        bad = [row for row, cell in enumerate(cells) if CONTROL.search(cell) or not self._is_good(cell)]
        return self.absent(len(cells)), bad

    def _is_good(self, cell: str) -> bool:
        if not cell:
            return self.may_be_empty
        if self.choices is not None:
            return cell in self.choices
        return len(cell) <= self.max_length and cell == cell.strip()


@dataclass(frozen=True, slots=True)
class Number:
    """A column of decimal numbers; NaN where a cell may be empty and is."""

    name: str
    unit: str
    minimum: float
    maximum: float
    required: bool = True
    may_be_empty: bool = False
    whole: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} of {self.unit} from {self.minimum:.10g} to {self.maximum:.10g}"

    def absent(self, n_row: int) -> FloatArray:
        return np.full(n_row, np.nan)

    def parse(self, cells: Sequence[str]) -> tuple[FloatArray, BadCells]:
        values, bad = _floats(cells)
        is_empty = np.isnan(values)
        is_good = (values >= self.minimum) & (values <= self.maximum) | (is_empty if self.may_be_empty else False)
        if self.whole:
            is_good &= is_empty | (values == np.floor(values))
        return values, sorted({*bad, *np.flatnonzero(~is_good).tolist()})


@dataclass(frozen=True, slots=True)
class Instant:
    """A column of UTC times (Z or an offset; parts of a second are cut off); NaT where a cell is empty."""

    name: str
    required: bool = True
    may_be_empty: bool = False
    starts_half_hour: bool = False
    starts_minute: bool = False
    earliest_year: int = 2000
    aliases: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        what = "the start of a half-hour (:00 or :30)" if self.starts_half_hour else "a time"
        what = "a whole minute" if self.starts_minute else what
        return f"{what} from {self.earliest_year} to 2099 with Z or an offset, such as 2023-01-01T00:30:00Z"

    def absent(self, n_row: int) -> TimeArray:
        return np.full(n_row, NAT)

    def parse(self, cells: Sequence[str]) -> tuple[TimeArray, BadCells]:
        values, bad = _times(cells)
        is_good = (values >= np.datetime64(f"{self.earliest_year}-01-01", "s")) & (values < LATEST)
        if self.starts_half_hour:
            is_good &= values.view(np.int64) % 1800 == 0
        if self.starts_minute:
            is_good &= values.view(np.int64) % 60 == 0
        if self.may_be_empty:
            is_good |= np.isnat(values)
        return values, sorted({*bad, *np.flatnonzero(~is_good).tolist()})


Column: TypeAlias = Text | Number | Instant


def _floats(cells: Sequence[str]) -> tuple[FloatArray, BadCells]:
    """Decimal ASCII numbers: float() alone would also take 'nan', ' 5 ', '1_000' and Arabic digits."""
    joined = ",".join(cells)
    if joined.isascii() and not joined.encode().translate(None, NUMERALS):
        try:
            return np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64) + 0.0, []
        except ValueError:
            pass
    bad = [row for row, cell in enumerate(cells) if cell and not NUMBER.fullmatch(cell)]
    refused = set(bad)
    values = [float(cell) if cell and row not in refused else np.nan for row, cell in enumerate(cells)]
    return np.array(values, dtype=np.float64), bad


def _times(cells: Sequence[str]) -> tuple[TimeArray, BadCells]:
    if cells and set(map(len, cells)) <= {0, len(UTC_SHAPE)}:
        fast = _plain_utc(cells)
        if fast is not None:
            return fast, []
    known: dict[str, np.datetime64 | None] = {"": NAT}
    for cell in set(cells) - {""}:
        known[cell] = _instant(cell)
    bad = [row for row, cell in enumerate(cells) if known[cell] is None]
    return np.array([known[cell] or NAT for cell in cells], dtype="datetime64[s]"), bad


def _plain_utc(cells: Sequence[str]) -> TimeArray | None:
    """The common form, all at once; None if any cell is of another form or no date."""
    texts = np.array(cells, dtype=f"U{len(UTC_SHAPE)}")
    characters = texts.view(np.uint32).reshape(len(cells), -1)
    shape = np.array([ord(letter) for letter in UTC_SHAPE], dtype=np.uint32)
    is_digit = (characters >= ord("0")) & (characters <= ord("9"))
    fits = np.where(shape == ord("0"), is_digit, characters == shape).all(axis=1)
    if not (fits | (texts == "")).all():
        return None
    try:
        times: TimeArray = texts.astype("U19").astype("datetime64[s]")
    except ValueError:  # 30 February
        return None
    return times


def _instant(cell: str) -> np.datetime64 | None:
    if not TIME.fullmatch(cell):
        return None
    try:
        at = datetime.fromisoformat(cell)
        return np.datetime64(at.astimezone(UTC).replace(tzinfo=None, microsecond=0), "s")
    except (ValueError, OverflowError):
        return None
