"""Statements to write, and readers of what was written that know nothing of the writers."""

import io
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import openpyxl
from pyarrow import parquet

from markets.core.statement import Statement, StatementHeader, StatementLine, StatementPeriod, statement_of
from markets.core.statement_columns import FORMAT_2, RecordKind

MIDNIGHT = datetime(2026, 10, 24, 23, tzinfo=UTC)  # of a day with 50 half-hours
STARTERS = ("=", "+", "-", "@", "\t", "\r")
NULL = None
Row = tuple[str | int | Decimal | None, ...]


def one_period(index: int, *, starts_at: datetime = MIDNIGHT, is_read: bool = True) -> StatementPeriod:
    return StatementPeriod(
        starts_at=starts_at + timedelta(minutes=30 * index),
        ordered_kwh=Decimal("35.0000"),
        delivered_kwh=Decimal("-2.7501") if index % 7 == 3 else Decimal("32.75"),
        baseline_kwh=Decimal("44.7503") if index % 11 else None,
        metered_kwh=Decimal(12) + Decimal(index) / 10_000 if is_read else None,
        meter_quality=("E" if index % 5 == 4 else "A") if is_read else "M",
    )


def one_line(unit_ref: str = "fleet-f", *, n_period: int = 50, text: str = "", **changes: object) -> StatementLine:
    fields: dict[str, object] = {
        "order_reference": text or "EVENING/1",
        "unit_ref": unit_ref,
        "evse_ref": text or "evse_9",
        "contract_id": text or "su-night v1",
        "product": text or "Scheduled Utilisation",
        "congestion_point": text or "feeder-55",
        "baseline_reference": text or "mid-8-in-10-sda v1",
        "performance_reference": text or "flexible-power-2018 v1",
        "direction": "turn_down",
        "counted_ordered_kwh": Decimal(1750),
        "counted_delivered_kwh": Decimal("1500.5001"),
        "performance_factor": Decimal("0.957143"),
        "price_gbp_per_mwh": Decimal("300.1234"),
        "full_value_gbp": Decimal("525.22"),
        "net_settlement_gbp": Decimal("502.71"),
        "n_baseline_days": 10,
        "periods": tuple(one_period(index, is_read=index % 13 != 12) for index in range(n_period)),
        "note": text,
    }
    return StatementLine(**(fields | changes))  # type: ignore[arg-type]


def a_statement(*lines: StatementLine, n_day: int = 1, tenant: str = "Northfleet DSR") -> Statement:
    header = StatementHeader(
        run_id="EVENING/1-v2",
        version=2,
        period_from_at=MIDNIGHT,
        period_to_at=MIDNIGHT + timedelta(days=n_day, hours=1),
        as_of_at=datetime(2026, 11, 15, 9, 30, 1, tzinfo=UTC),
        tenant=tenant,
        input_sha256="ab" * 32,
    )
    return statement_of(header, lines or (one_line(), one_line("fleet-g", n_period=3)))


def csv_value(cell: str, kind: str) -> str | int | Decimal | None:
    if kind == "decimal":
        return Decimal(cell) if cell else None
    if kind == "whole":
        return int(cell)
    return cell.removeprefix("'") if kind == "text" else cell


def read_csv(data: bytes) -> dict[RecordKind, list[Row]]:
    """Rows of a CSV, with nothing but the module of that name."""
    import csv

    records = list(csv.reader(io.StringIO(data.decode(), newline="")))
    names = {record[1]: record[2:] for record in records if record[0] == "COL"}
    found: dict[RecordKind, list[Row]] = {"LIN": [], "PER": []}
    for kind in found:
        kinds = {column.name: column.kind for column in FORMAT_2.columns(kind)}
        for record in records:
            if record[0] == kind:
                cells = zip(names[kind], record[1:], strict=True)
                found[kind].append(tuple(csv_value(cell, kinds[name]) for name, cell in cells))
    return found


def read_excel(data: bytes) -> dict[RecordKind, list[Row]]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    found: dict[RecordKind, list[Row]] = {"LIN": [], "PER": []}
    for sheet, kind in (("Lines", "LIN"), ("Periods", "PER")):
        columns = FORMAT_2.columns(kind)
        assert [cell.value for cell in book[sheet][1]] == [column.name for column in columns]
        for cells in book[sheet].iter_rows(min_row=3, max_col=len(columns), values_only=True):
            found[kind].append(tuple(map(_excel_value, cells, columns)))
    return found


def _excel_value(value, column):
    if column.kind == "decimal":
        return None if value is None else Decimal(str(value)).quantize(Decimal(1).scaleb(-column.decimals))
    return ("" if value is None else value) if column.kind == "text" else value


def read_parquet(data: bytes) -> dict[RecordKind, list[Row]]:
    table = parquet.read_table(io.BytesIO(data))
    found: dict[RecordKind, list[Row]] = {"LIN": [], "PER": []}
    for record in table.to_pylist():
        kind = record["record"]
        found[kind].append(tuple(_parquet_value(record[column.name]) for column in FORMAT_2.columns(kind)))
        unused = set(record) - {column.name for column in FORMAT_2.columns(kind)} - {"record"}
        assert {record[name] for name in unused} <= {None}
    return found


def _parquet_value(value):
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return value.isoformat() if isinstance(value, date) else value


_DRAWN = re.compile(rb"1 0 0 1 ([\d.]+) ([\d.]+) Tm (?:/F\d+ [\d.]+ Tf [\d.]+ TL )?\(((?:[^()\\]|\\.)*)\) Tj")


def pdf_pages(data: bytes) -> list[list[tuple[float, float, str]]]:
    """(x, y, text) of everything written on each page, as drawn."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)
    return [
        [(float(x), float(y), _unescaped(text)) for x, y, text in _DRAWN.findall(stream)]
        for stream in streams
        if b" Tj" in stream
    ]


def _unescaped(text: bytes) -> str:
    raw = re.sub(rb"\\([0-7]{3}|.)", lambda found: _char(found.group(1)), text)
    return raw.decode("cp1252")


def _char(escaped: bytes) -> bytes:
    return bytes([int(escaped, 8)]) if len(escaped) == 3 else escaped


def pdf_lines(data: bytes) -> list[list[str]]:
    """Texts that stand on one line, from left to right, down the pages."""
    lines = []
    for page in pdf_pages(data):
        heights = sorted({y for _, y, _ in page}, reverse=True)
        lines += [[text for _, _, text in sorted(one for one in page if one[1] == y)] for y in heights]
    return lines
