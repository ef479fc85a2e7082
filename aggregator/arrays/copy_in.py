"""Rows by COPY into tables under row-level security, which PostgreSQL takes no COPY into."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import LiteralString

from django.db import connection, transaction
from psycopg import Copy, sql

from aggregator.arrays.binary_rows import Column, pack_rows

MAKE = "CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
FILL = "COPY pg_temp.incoming ({columns}) FROM STDIN (FORMAT {format})"
# In the order they came in: a new table is read from its start to its end.
ADD = "INSERT INTO {table} ({columns}) SELECT {values} FROM pg_temp.incoming"


@contextmanager
def copy_into(
    *,
    table: str,
    columns: Sequence[str],
    is_binary: bool = False,
    expressions: Mapping[str, LiteralString] | None = None,
) -> Iterator[Copy]:
    """Give a COPY that takes rows of these columns; they are in the table when the block ends.

    They go through a temporary table, and one INSERT ... SELECT is checked against the table's policies.

    Args:
        expressions: SQL by column, for columns that are not stored just as they came.
    """
    made = {column: sql.SQL(expression) for column, expression in (expressions or {}).items()}
    names = {
        "table": sql.Identifier(table),
        "columns": sql.SQL(", ").join(map(sql.Identifier, columns)),
        "values": sql.SQL(", ").join(made.get(column, sql.Identifier(column)) for column in columns),
        "format": sql.SQL("BINARY" if is_binary else "TEXT"),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.SQL(MAKE).format(**names))
        with cursor.copy(sql.SQL(FILL).format(**names)) as copy:
            yield copy
        cursor.execute(sql.SQL(ADD).format(**names))
        cursor.execute("DROP TABLE pg_temp.incoming")  # the same transaction may bring more


def copy_columns(*, table: str, columns: Mapping[str, Column]) -> None:
    """Add rows whose columns are arrays of numbers, packed as ``pack_rows`` says."""
    with copy_into(table=table, columns=list(columns), is_binary=True) as copy:
        for piece in pack_rows(columns):
            copy.write(piece)
