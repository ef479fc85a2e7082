"""The records of a statement file: how each is written and how it is read back."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import cast

from aggregator.core.csv_text import text_cell
from markets.core.delivered import Direction
from markets.core.statement import (
    ENERGY_DECIMALS,
    FACTOR_DECIMALS,
    MONEY_DECIMALS,
    PRICE_DECIMALS,
    InvalidStatement,
    MeterQuality,
    Statement,
    StatementHeader,
    StatementLine,
    StatementPeriod,
    energy_kwh,
)
from markets.core.statement_cells import Cells, StatementFileInvalid, decimal_cell, time_cell
from markets.core.statement_columns import Column, Layout, RecordKind, Value, line_values, period_values

HDR_COLUMNS = (
    "format_version",
    "run_id",
    "version",
    "period_from",
    "period_to",
    "as_of_utc",
    "tenant",
    "currency",
    "input_sha256",
)
TRL_COLUMNS = ("row_count", "sum_delivered_kwh", "sum_net_gbp", "sha256_of_body")
KINDS: tuple[RecordKind, ...] = ("LIN", "PER")


def header_cells(header: StatementHeader, layout: Layout) -> list[str]:
    return [
        "HDR",
        layout.format_version,
        text_cell(header.run_id),
        str(header.version),
        time_cell(header.period_from_at),
        time_cell(header.period_to_at),
        time_cell(header.as_of_at),
        text_cell(header.tenant),
        text_cell(header.currency),
        header.input_sha256,
    ]


def column_records(layout: Layout) -> list[list[str]]:
    """The records between HDR and the body: names, and units where the format has them."""
    records = []
    for kind in KINDS:
        records.append(["COL", kind, *(column.name for column in layout.columns(kind))])
        if layout.has_units:
            records.append(["UNI", kind, *(column.unit for column in layout.columns(kind))])
    return records


def first_body_record(layout: Layout) -> int:
    """Number of the first LIN, from 1."""
    return 2 + len(column_records(layout))


def line_cells(line: StatementLine, layout: Layout) -> list[str]:
    return ["LIN", *_cells(layout.lines, line_values(line))]


def period_cells(line: StatementLine, period: StatementPeriod, layout: Layout) -> list[str]:
    return ["PER", *_cells(layout.periods, period_values(line, period))]


def trailer_cells(statement: Statement, body: bytes) -> list[str]:
    totals = statement.totals
    return [
        "TRL",
        str(totals.n_row),
        decimal_cell(totals.delivered_kwh, ENERGY_DECIMALS),
        decimal_cell(totals.net_gbp, MONEY_DECIMALS),
        hashlib.sha256(body).hexdigest(),
    ]


def _cells(columns: tuple[Column, ...], values: Mapping[str, Value]) -> list[str]:
    return [_cell(column, values[column.key]) for column in columns]


def _cell(column: Column, value: Value) -> str:
    if column.kind == "text":
        return text_cell(str(value))
    if isinstance(value, datetime):
        return time_cell(value.astimezone(UTC))
    if isinstance(value, date):
        return value.isoformat()
    if column.kind == "decimal":
        return decimal_cell(cast("Decimal | None", value), column.decimals)
    return str(value)


def read_header(cells: list[str], layout: Layout) -> StatementHeader:
    """Read the HDR record."""
    header = Cells(HDR_COLUMNS, cells[1:], record=1)
    try:
        read = StatementHeader(
            run_id=header.text("run_id"),
            version=header.integer("version"),
            period_from_at=header.time("period_from"),
            period_to_at=header.time("period_to"),
            as_of_at=header.time("as_of_utc"),
            tenant=header.text("tenant"),
            currency=header.text("currency"),
            input_sha256=header.text("input_sha256"),
        )
    except InvalidStatement as error:
        raise StatementFileInvalid(f"record 1: {error.message}", record=1) from error
    header.check_spelling(header_cells(read, layout)[1:])
    return read


def read_lines(records: list[list[str]], layout: Layout) -> Iterator[StatementLine]:
    """Read each LIN with the PER records that follow it."""
    starts = [index for index, cells in enumerate(records) if cells and cells[0] == "LIN"]
    first = first_body_record(layout)
    if not records:
        return
    if starts[:1] != [0]:
        raise StatementFileInvalid(f"record {first} must be LIN, found {records[0][:1]}", record=first)
    for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
        yield _line(records[start:end], layout, first_record=first + start)


def _named(columns: tuple[Column, ...]) -> dict[str, str]:
    return {column.key: column.name for column in columns}


def _line(records: list[list[str]], layout: Layout, *, first_record: int) -> StatementLine:
    cells = Cells(_named(layout.lines), records[0][1:], record=first_record)
    numbered = list(enumerate(records[1:], start=first_record + 1))
    try:
        line = StatementLine(
            order_reference=cells.text("order_reference"),
            unit_ref=cells.text("unit_ref"),
            evse_ref=cells.text("evse_ref") if "evse_ref" in cells else "",
            contract_id=cells.text("contract_id"),
            product=cells.text("product"),
            congestion_point=cells.text("congestion_point"),
            baseline_reference=cells.text("baseline_reference"),
            performance_reference=cells.text("performance_reference"),
            direction=cast(Direction, cells.one_of("direction", "turn_down", "turn_up")),
            counted_ordered_kwh=cells.decimal("counted_ordered_kwh", ENERGY_DECIMALS),
            counted_delivered_kwh=cells.decimal("counted_delivered_kwh", ENERGY_DECIMALS),
            performance_factor=cells.decimal("performance_factor", FACTOR_DECIMALS),
            price_gbp_per_mwh=cells.decimal("price_gbp_per_mwh", PRICE_DECIMALS),
            full_value_gbp=cells.decimal("full_value_gbp", MONEY_DECIMALS),
            net_settlement_gbp=cells.decimal("net_settlement_gbp", MONEY_DECIMALS),
            n_baseline_days=cells.integer("n_baseline_days"),
            periods=tuple(_period(record, number, layout) for number, record in numbered),
            note=cells.text("note"),
        )
    except InvalidStatement as error:
        raise StatementFileInvalid(f"record {first_record}: {error.message}", record=first_record) from error
    for (number, record), period in zip(numbered, line.periods, strict=True):
        found = Cells(_named(layout.periods), record[1:], record=number)
        found.check_spelling(period_cells(line, period, layout)[1:])
    cells.check_spelling(line_cells(line, layout)[1:])
    return line


def _period(record: list[str], number: int, layout: Layout) -> StatementPeriod:
    if not record or record[0] != "PER":
        raise StatementFileInvalid(f"record {number} must be PER or LIN, found {record[:1]}", record=number)
    cells = Cells(_named(layout.periods), record[1:], record=number)
    baseline_kw = cells.decimal_or_none("baseline_power_kw", ENERGY_DECIMALS)
    metered_kw = cells.decimal_or_none("actual_power_kw", ENERGY_DECIMALS)
    try:
        return StatementPeriod(
            starts_at=cells.time("interval_start"),
            ordered_kwh=energy_kwh(cells.decimal("ordered_flex_power_kw", ENERGY_DECIMALS)),
            delivered_kwh=cells.decimal("delivered_kwh", ENERGY_DECIMALS),
            baseline_kwh=None if baseline_kw is None else energy_kwh(baseline_kw),
            metered_kwh=None if metered_kw is None else energy_kwh(metered_kw),
            meter_quality=cast(MeterQuality, cells.one_of("meter_quality", "A", "E", "M")),
        )
    except InvalidStatement as error:
        raise StatementFileInvalid(f"record {number}: {error.message}", record=number) from error
