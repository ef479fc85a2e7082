"""Rows as arrays by COPY: many records packed into one block, since a message a row costs more than all the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray
from psycopg import sql

from aggregator.arrays.binary_rows import OIDS, array_parts
from aggregator.core.errors import FlexError

BETWEEN = b"\0"  # the one byte that no text of PostgreSQL holds
SENDERS = {"i2": "int2send", "i4": "int4send", "i8": "int8send", "f4": "float4send", "f8": "float8send"}
SELECT = """
COPY (
    SELECT count(*), string_agg({record}, ''::bytea), string_agg({texts}, ''::bytea) {source} GROUP BY {block}
) TO STDOUT (FORMAT BINARY)
"""

Columns = dict[str, NDArray[Any]]


class UnexpectedRows(FlexError):
    code = "copy.unexpected_rows"


@dataclass(frozen=True, slots=True)
class Field:
    """One number of each row, or ``n_element`` of them where the column is an array.

    Attributes:
        expression: SQL, of the type ``kind`` names (``binary_rows.OIDS``) and never NULL.
    """

    expression: str
    kind: str
    n_element: int | None = None

    @property
    def sent(self) -> str:
        sender = SENDERS[self.kind] if self.n_element is None else "array_send"
        return f"{sender}({self.expression})"


def load_columns(
    *,
    source: str,
    block: str,
    fields: Mapping[str, Field],
    texts: Mapping[str, str] | None = None,
    values: Mapping[str, object] | None = None,
) -> Columns:
    """Load columns of the rows a statement finds, in no order, but the same in every column.

    Args:
        source: SQL from FROM on, with ``{name}`` where a value stands.
        block: SQL that is one of some hundred to some thousand rows each, for instance ``id / 2000``.
        fields: numbers by the name of their column.
        texts: SQL of texts, never NULL, by the name of theirs.

    Returns:
        (n_row,) or (n_row, n_element) arrays by name.

    Raises:
        UnexpectedRows: a value was NULL, or an array had another length than was said.
    """
    texts = texts or {}
    statement = sql.SQL(SELECT).format(
        record=sql.SQL(" || ".join(field.sent for field in fields.values())),
        texts=sql.SQL(" || ".join(f"convert_to({text}, 'UTF8') || '\\x00'::bytea" for text in texts.values()) or "''"),
        source=sql.SQL(source).format(**{name: sql.Literal(value) for name, value in (values or {}).items()}),
        block=sql.SQL(block),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int8", "bytea", "bytea"])
        blocks = list(copy.rows())
    n_row = sum(block[0] for block in blocks)
    return {
        **_numbers(b"".join(block[1] or b"" for block in blocks), fields, n_row),
        **_texts([block[2] or b"" for block in blocks], list(texts), n_row),
    }


def _numbers(records: bytes, fields: Mapping[str, Field], n_row: int) -> Columns:
    record = np.dtype([part for name, field in fields.items() for part in _parts(name, field)])
    if len(records) != n_row * record.itemsize:
        raise UnexpectedRows(f"{n_row} rows came as {len(records)} bytes; expected {record.itemsize} bytes a row")
    rows = np.frombuffer(records, dtype=record)
    return {name: _numbers_of(rows, name, field) for name, field in fields.items()}


def _parts(name: str, field: Field) -> list[tuple[Any, ...]]:
    if field.n_element is None:
        return [(name, f">{field.kind}")]
    return array_parts(name, field.kind, field.n_element)


def _numbers_of(rows: NDArray[Any], name: str, field: Field) -> NDArray[Any]:
    if field.n_element is None:
        return rows[name].astype(field.kind)
    if field.n_element == 0:
        return np.zeros((len(rows), 0), dtype=field.kind)
    is_odd = (rows[f"{name} n_element"] != field.n_element) | (rows[f"{name} oid"] != OIDS[field.kind])
    if is_odd.any() or rows[f"{name} has_null"].any():
        raise UnexpectedRows(f"{name} holds something else than {field.n_element} numbers a row", field=name)
    return np.ascontiguousarray(rows[name]["value"].astype(field.kind))


def _texts(blocks: list[bytes], names: list[str], n_row: int) -> Columns:
    """One array a block and column, since a million Python strings at once are more than the array they make."""
    if not names:
        return {}
    pieces: list[list[NDArray[np.str_]]] = [[np.zeros(0, dtype=np.str_)] for _ in names]
    for block in blocks:
        found = block.decode().split(BETWEEN.decode())[:-1]
        for at, piece in enumerate(pieces):
            piece.append(np.array(found[at :: len(names)], dtype=np.str_))
    columns = {name: np.concatenate(piece) for name, piece in zip(names, pieces, strict=True)}
    for name, column in columns.items():
        if len(column) != n_row:
            raise UnexpectedRows(f"{len(column)} texts came for {n_row} rows: a {name} is NULL", field=name)
    return columns
