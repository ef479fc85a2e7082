"""The records of a statement file: which columns each has, how it is written and how it is read back."""

import hashlib
from collections.abc import Iterator
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
    power_kw,
)
from markets.core.statement_cells import Cells, StatementFileInvalid, decimal_cell, time_cell

FORMAT_VERSION = "1"
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
LIN_COLUMNS = (
    "order_reference",
    "unit_ref",
    "contract_id",
    "product",
    "congestion_point",
    "baseline_reference",
    "performance_reference",
    "direction",
    "interval_start",
    "interval_end",
    "ordered_kwh",
    "delivered_kwh",
    "counted_ordered_kwh",
    "counted_delivered_kwh",
    "performance_factor",
    "price_gbp_per_mwh",
    "full_value_gbp",
    "penalty_gbp",
    "net_settlement_gbp",
    "n_baseline_days",
    "note",
)
PER_COLUMNS = (
    "order_reference",
    "unit_ref",
    "settlement_date",
    "period",
    "interval_start",
    "interval_end",
    "baseline_power_kw",
    "ordered_flex_power_kw",
    "actual_power_kw",
    "delivered_flex_power_kw",
    "power_deficiency_kw",
    "delivered_kwh",
    "meter_quality",
)
TRL_COLUMNS = ("row_count", "sum_delivered_kwh", "sum_net_gbp", "sha256_of_body")
FIRST_BODY_RECORD = 4


def header_cells(header: StatementHeader) -> list[str]:
    return [
        "HDR",
        FORMAT_VERSION,
        text_cell(header.run_id),
        str(header.version),
        time_cell(header.period_from_at),
        time_cell(header.period_to_at),
        time_cell(header.as_of_at),
        text_cell(header.tenant),
        text_cell(header.currency),
        header.input_sha256,
    ]


def line_cells(line: StatementLine) -> list[str]:
    texts = (
        line.order_reference,
        line.unit_ref,
        line.contract_id,
        line.product,
        line.congestion_point,
        line.baseline_reference,
        line.performance_reference,
    )
    energies = (line.ordered_kwh, line.delivered_kwh, line.counted_ordered_kwh, line.counted_delivered_kwh)
    amounts = (line.full_value_gbp, line.penalty_gbp, line.net_settlement_gbp)
    return [
        "LIN",
        *map(text_cell, texts),
        line.direction,
        time_cell(line.periods[0].starts_at),
        time_cell(line.periods[-1].ends_at),
        *(decimal_cell(energy, ENERGY_DECIMALS) for energy in energies),
        decimal_cell(line.performance_factor, FACTOR_DECIMALS),
        decimal_cell(line.price_gbp_per_mwh, PRICE_DECIMALS),
        *(decimal_cell(amount, MONEY_DECIMALS) for amount in amounts),
        str(line.n_baseline_days),
        text_cell(line.note),
    ]


def period_cells(period: StatementPeriod, *, order_reference: str, unit_ref: str) -> list[str]:
    energies = (
        period.baseline_kwh,
        period.ordered_kwh,
        period.metered_kwh,
        period.delivered_kwh,
        period.deficiency_kwh,
    )
    settlement_date, number = period.settlement_period
    return [
        "PER",
        text_cell(order_reference),
        text_cell(unit_ref),
        settlement_date.isoformat(),
        str(number),
        time_cell(period.starts_at),
        time_cell(period.ends_at),
        *(decimal_cell(None if energy is None else power_kw(energy), ENERGY_DECIMALS) for energy in energies),
        decimal_cell(period.delivered_kwh, ENERGY_DECIMALS),
        period.meter_quality,
    ]


def trailer_cells(statement: Statement, body: bytes) -> list[str]:
    totals = statement.totals
    return [
        "TRL",
        str(totals.n_row),
        decimal_cell(totals.delivered_kwh, ENERGY_DECIMALS),
        decimal_cell(totals.net_gbp, MONEY_DECIMALS),
        hashlib.sha256(body).hexdigest(),
    ]


def read_header(cells: list[str]) -> StatementHeader:
    """Read the HDR record."""
    header = Cells(HDR_COLUMNS, cells[1:], record=1)
    header.one_of("format_version", FORMAT_VERSION)
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
    header.check_spelling(header_cells(read)[1:])
    return read


def read_lines(records: list[list[str]]) -> Iterator[StatementLine]:
    """Read each LIN with the PER records that follow it."""
    starts = [index for index, cells in enumerate(records) if cells and cells[0] == "LIN"]
    if not records:
        return
    if starts[:1] != [0]:
        raise StatementFileInvalid(
            f"record {FIRST_BODY_RECORD} must be LIN, found {records[0][:1]}", record=FIRST_BODY_RECORD
        )
    for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
        yield _line(records[start:end], first_record=FIRST_BODY_RECORD + start)


def _line(records: list[list[str]], *, first_record: int) -> StatementLine:
    cells = Cells(LIN_COLUMNS, records[0][1:], record=first_record)
    numbered = enumerate(records[1:], start=first_record + 1)
    try:
        periods = tuple(_period(record, number, line=cells) for number, record in numbered)
        line = StatementLine(
            order_reference=cells.text("order_reference"),
            unit_ref=cells.text("unit_ref"),
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
            periods=periods,
            note=cells.text("note"),
        )
    except InvalidStatement as error:
        raise StatementFileInvalid(f"record {first_record}: {error.message}", record=first_record) from error
    cells.check_spelling(line_cells(line)[1:])
    return line


def _period(record: list[str], number: int, *, line: Cells) -> StatementPeriod:
    if not record or record[0] != "PER":
        raise StatementFileInvalid(f"record {number} must be PER or LIN, found {record[:1]}", record=number)
    cells = Cells(PER_COLUMNS, record[1:], record=number)
    baseline_kw = cells.decimal_or_none("baseline_power_kw", ENERGY_DECIMALS)
    metered_kw = cells.decimal_or_none("actual_power_kw", ENERGY_DECIMALS)
    try:
        period = StatementPeriod(
            starts_at=cells.time("interval_start"),
            ordered_kwh=energy_kwh(cells.decimal("ordered_flex_power_kw", ENERGY_DECIMALS)),
            delivered_kwh=cells.decimal("delivered_kwh", ENERGY_DECIMALS),
            baseline_kwh=None if baseline_kw is None else energy_kwh(baseline_kw),
            metered_kwh=None if metered_kw is None else energy_kwh(metered_kw),
            meter_quality=cast(MeterQuality, cells.one_of("meter_quality", "A", "E", "M")),
        )
    except InvalidStatement as error:
        raise StatementFileInvalid(f"record {number}: {error.message}", record=number) from error
    expected = period_cells(period, order_reference=line.text("order_reference"), unit_ref=line.text("unit_ref"))
    cells.check_spelling(expected[1:])
    return period
