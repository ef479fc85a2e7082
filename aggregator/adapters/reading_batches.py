"""Batches of readings as clients send them: NDJSON, CSV or a JSON array, plain or gzipped."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aggregator.adapters.bounded import BoundedFile, Limits
from aggregator.adapters.cells import Column, Instant, Number, Text
from aggregator.adapters.csv_rows import numbered_rows
from aggregator.core.errors import FlexError
from aggregator.core.reading_batch import ReadingBatch, RejectedRow
from aggregator.core.reading_form import ReadingForm, translate
from aggregator.core.reading_rows import ReadingRows

MAX_BYTES = 8 * 2**20
MAX_ROWS = 50_000
LIMITS = Limits(max_bytes=MAX_BYTES)
NDJSON, CSV, JSON = "application/x-ndjson", "text/csv", "application/json"
NAMES = ("meter", "evse")
HOUSE_FORM = ReadingForm()
MALFORMED = "row.malformed"
MOST_KWH = 1e12  # what is possible is judged a meter


class BatchRefused(FlexError):
    code = "batch.refused"


class TooManyRows(FlexError):
    code = "batch.too_many_rows"


class _Numeral(str):
    """A number as it stands in JSON, its digits untouched."""

    __slots__ = ()


class _Malformed(ValueError):
    pass


@dataclass(slots=True)
class _Cells:
    """Rows as text, by column, and those that are no rows."""

    time: str
    value: str
    name: str = ""
    lines: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)

    def take(self, line: int, row: tuple[str, str, str] | None) -> None:
        if row is None:
            self.rejected.append(RejectedRow(line, MALFORMED))
        else:
            self.lines.append(line)
            for column, cell in zip((self.names, self.times, self.values), row, strict=True):
                column.append(cell)
        if len(self.lines) + len(self.rejected) > MAX_ROWS:
            raise TooManyRows(f"a batch holds at most {MAX_ROWS:,} rows, found more", max_rows=MAX_ROWS)


def parse_reading_batch(content: bytes, media_type: str, form: ReadingForm = HOUSE_FORM) -> ReadingBatch:
    """Read a batch; each row names a ``meter`` or an ``evse`` (the same for all), a time and a value.

    The time is ``starts_at`` or ``ends_at`` and the value ``energy_kwh`` or ``power_kw``, as the form says.

    Raises:
        FileRefused: a damaged or too large archive, or no UTF-8.
        BatchRefused: no rows, or no such form at all; TooManyRows: more than ``MAX_ROWS``.
    """
    text = BoundedFile(io.BytesIO(content), "batch", limits=LIMITS).text()
    read = {NDJSON: _ndjson, CSV: _csv, JSON: _json}[media_type]
    cells = read(text, _Cells("ends_at" if form.is_end else "starts_at", form.value_name))
    if not cells.lines and not cells.rejected:
        raise BatchRefused("the batch holds no rows")
    if not cells.lines:
        expected = f"meter or evse, {cells.time} and {cells.value}"
        raise BatchRefused(f"none of {len(cells.rejected):,} rows is one: each states {expected}, and nothing else")
    return _in_house_terms(_typed(cells, form), form)


def _in_house_terms(batch: ReadingBatch, form: ReadingForm) -> ReadingBatch:
    """Half-hours; one of minutes that are not all there, or of two values for one, is set aside by its first line."""
    if form == HOUSE_FORM:
        return batch
    found = translate(batch.rows, form)
    is_missing = np.isnan(found.rows.energy_kwh)
    codes = np.where(found.is_conflicting, "reading.conflicting", "reading.minutes_missing")[is_missing]
    spoilt = zip(found.rows.lines[is_missing].tolist(), codes.tolist(), strict=True)
    rejected = (*batch.rejected, *(RejectedRow(line, code) for line, code in spoilt))
    return ReadingBatch(found.rows.select(~is_missing), batch.names_evses, rejected, n_sent=batch.n_row)


def _typed(cells: _Cells, form: ReadingForm) -> ReadingBatch:
    is_minute = form.granularity == "minute"
    stamp = Instant(cells.time, starts_half_hour=not is_minute, starts_minute=is_minute)
    value = Number(cells.value, "kWh", -MOST_KWH, MOST_KWH)
    columns: tuple[tuple[Column, list[str], str], ...] = (
        (Text("name"), cells.names, "row.name"),
        (stamp, cells.times, f"row.{cells.time}"),
        (value, cells.values, f"row.{cells.value}"),
    )
    bad: dict[int, str] = {}
    for column, texts, code in columns:
        for row in column.parse(texts)[1]:
            bad.setdefault(row, code)
    good = [row for row in range(len(cells.lines)) if row not in bad]
    names, times, values = ([texts[row] for row in good] for _, texts, _ in columns)
    unique, series = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    rows = ReadingRows(
        names=unique,
        series=series.astype(np.int64).reshape(-1),
        lines=np.array([cells.lines[row] for row in good], dtype=np.int64),
        starts_at=stamp.parse(times)[0].astype("datetime64[s]"),
        energy_kwh=value.parse(values)[0].astype(np.float64),
    )
    rejected = (*cells.rejected, *(RejectedRow(cells.lines[row], code) for row, code in bad.items()))
    return ReadingBatch(rows, cells.name == "evse", rejected)


def _csv(text: str, cells: _Cells) -> _Cells:
    rows = numbered_rows(io.StringIO(text, newline=""), refused=BatchRefused)
    line, header = next(rows, (1, []))
    name = next((title for title in NAMES if title in header), "")
    if sorted(header) != sorted([name, cells.time, cells.value]) or not name:
        titles, expected = ", ".join(header)[:200], f"meter or evse, {cells.time}, {cells.value}"
        raise BatchRefused(f"line {line} is the header {expected}; found ({titles})", line=line)
    places = [header.index(title) for title in (name, cells.time, cells.value)]
    cells.name = name
    for line, row in rows:
        is_whole = len(row) == len(header)
        cells.take(line, (row[places[0]], row[places[1]], row[places[2]]) if is_whole else None)
    return cells


def _ndjson(text: str, cells: _Cells) -> _Cells:
    for line, piece in enumerate(text.split("\n"), start=1):
        if not piece.strip(" \t\r"):
            continue
        try:
            row = _loads(piece)
        except (ValueError, RecursionError):
            row = None
        cells.take(line, _row(cells, row))
    return cells


def _json(text: str, cells: _Cells) -> _Cells:
    try:
        rows = _loads(text)
    except (ValueError, RecursionError):
        raise BatchRefused("the batch is no JSON array") from None
    if not isinstance(rows, list):
        raise BatchRefused("the batch is no JSON array")
    for line, row in enumerate(rows, start=1):
        cells.take(line, _row(cells, row))
    return cells


def _row(cells: _Cells, row: Any) -> tuple[str, str, str] | None:
    """The three texts of one object; None if it is not one of the batch's kind. The first one says the kind."""
    if not isinstance(row, dict):
        return None
    name = cells.name or next((title for title in NAMES if title in row), "")
    if not name or row.keys() != {name, cells.time, cells.value}:
        return None
    texts = (row[name], row[cells.time], row[cells.value])
    if [type(text) for text in texts] != [str, str, _Numeral]:
        return None
    cells.name = name
    return texts


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_Numeral, parse_int=_Numeral)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Malformed
    return found


def _refuse(_text: str) -> Any:
    raise _Malformed
