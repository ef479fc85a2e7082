"""A statement's rows as every file shows them: in the order of the CSV, with the columns of its newest format."""

from collections.abc import Iterator

from markets.core.statement import ENERGY_DECIMALS, MONEY_DECIMALS, Statement
from markets.core.statement_cells import decimal_cell, time_cell
from markets.core.statement_columns import FORMAT_2, FORMAT_VERSION, RecordKind, Value, line_values, period_values

TITLE = "Statement of settlement"


def rows(statement: Statement) -> Iterator[tuple[RecordKind, tuple[Value, ...]]]:
    """Each line and after it its periods, values in the order of ``FORMAT_2``'s columns."""
    for line in statement.lines:
        values = line_values(line)
        yield "LIN", tuple(values[column.key] for column in FORMAT_2.lines)
        for period in line.periods:
            shown = period_values(line, period)
            yield "PER", tuple(shown[column.key] for column in FORMAT_2.periods)


def rows_of(statement: Statement, kind: RecordKind) -> list[tuple[Value, ...]]:
    return [values for found, values in rows(statement) if found == kind]


def header_facts(statement: Statement) -> dict[str, str]:
    """The header by the names of the CSV's HDR record, and its spelling of values."""
    header = statement.header
    return {
        "format_version": FORMAT_VERSION,
        "run_id": header.run_id,
        "version": str(header.version),
        "period_from": time_cell(header.period_from_at),
        "period_to": time_cell(header.period_to_at),
        "as_of_utc": time_cell(header.as_of_at),
        "tenant": header.tenant,
        "currency": header.currency,
        "input_sha256": header.input_sha256,
    }


def total_facts(statement: Statement) -> dict[str, str]:
    """The totals by the names of the CSV's TRL record."""
    totals = statement.totals
    return {
        "row_count": str(totals.n_row),
        "sum_delivered_kwh": decimal_cell(totals.delivered_kwh, ENERGY_DECIMALS),
        "sum_net_gbp": decimal_cell(totals.net_gbp, MONEY_DECIMALS),
    }
