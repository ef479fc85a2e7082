"""A statement as a Parquet file: one typed table with the rows of the CSV in its order, totals in the metadata.

The column ``record`` says ``LIN`` or ``PER``, as the CSV's first cell does; what a kind of record does not have is
null. So the sum of ``net_settlement`` over the file is the total paid. Equal statements give equal bytes with one
version of the library: the file names it.
"""

import io
from decimal import Decimal

import pyarrow as pa
from pyarrow import parquet

from markets.core.statement import Statement
from markets.core.statement_columns import FORMAT_2, Column, Value
from markets.files.rows import header_facts, rows, total_facts

MEDIA_TYPE = "application/vnd.apache.parquet"
ROW_GROUP = 100_000
_WHOLE_DIGITS = 16  # a power is twice an energy below 10^15


def columns() -> tuple[Column, ...]:
    """Every column of lines and periods, each once, lines' first."""
    return tuple({column.name: column for column in (*FORMAT_2.lines, *FORMAT_2.periods)}.values())


def schema(statement: Statement) -> pa.Schema:
    fields = [pa.field("record", pa.string(), nullable=False)]
    fields += [pa.field(column.name, _type(column), metadata={"unit": column.unit}) for column in columns()]
    return pa.schema(fields, metadata={**header_facts(statement), **total_facts(statement)})


def render_parquet(statement: Statement) -> bytes:
    """Render a statement as Parquet."""
    wanted = schema(statement)
    found: dict[str, list[Value]] = {name: [] for name in wanted.names}
    for kind, values in rows(statement):
        shown = dict(zip((column.name for column in FORMAT_2.columns(kind)), values, strict=True))
        found["record"].append(kind)
        for column in columns():
            value = shown.get(column.name)
            found[column.name].append(_exact(value, column) if isinstance(value, Decimal) else value)
    table = pa.table([pa.array(found[field.name], field.type) for field in wanted], schema=wanted)
    target = io.BytesIO()
    parquet.write_table(table, target, row_group_size=ROW_GROUP, compression="zstd")
    return target.getvalue()


def _exact(value: Decimal, column: Column) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-column.decimals))


def _type(column: Column) -> pa.DataType:
    if column.kind == "decimal":
        return pa.decimal128(_WHOLE_DIGITS + column.decimals, column.decimals)
    return {
        "text": pa.string(),
        "word": pa.string(),
        "whole": pa.int32(),
        "day": pa.date32(),
        "time": pa.timestamp("ms", tz="UTC"),
    }[column.kind]
