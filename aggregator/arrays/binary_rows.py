"""Rows in PostgreSQL's binary COPY format, packed by numpy without a loop over rows."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.errors import FlexError

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no header extension
TRAILER = b"\xff\xff"
ROWS_A_PIECE = 20_000
# Key of each element type in pg_type: fixed for built-in types.
OIDS = {"i2": 21, "i4": 23, "i8": 20, "f4": 700, "f8": 701}
INT32 = np.dtype(">i4")

Column = NDArray[Any]


class UnpackableColumn(FlexError):
    code = "copy.column_unpackable"


def pack_rows(columns: Mapping[str, Column]) -> Iterator[bytes]:
    """Rows for a COPY … FROM STDIN (FORMAT BINARY) of these columns, in pieces of ``ROWS_A_PIECE``.

    Args:
        columns: by name (n_row,) numbers, or (n_row, n_element) numbers where the column is an array; of one of the
            types in ``OIDS``, which is the type of the table's column too. NaN stays NaN; there is no NULL.

    Raises:
        UnpackableColumn: another type, more dimensions, or columns of different lengths.
    """
    parts = [part for name, column in columns.items() for part in _parts(name, column)]
    record = np.dtype([("n_field", ">i2"), *parts])
    lengths = sorted({len(column) for column in columns.values()})
    if len(lengths) != 1:
        raise UnpackableColumn(f"columns have {lengths} rows; expected one length", field=next(iter(columns), ""))
    yield SIGNATURE
    for start in range(0, lengths[0], ROWS_A_PIECE):
        yield _piece(record, {name: column[start : start + ROWS_A_PIECE] for name, column in columns.items()})
    yield TRAILER


def array_parts(name: str, kind: str, n_element: int) -> list[tuple[Any, ...]]:
    """Fields of a one-dimensional array without NULLs, as PostgreSQL sends it; an empty one has no dimension."""
    head = [(f"{name} {part}", INT32) for part in ("n_dimension", "has_null", "oid")]
    if n_element == 0:
        return head
    element = np.dtype([("size", INT32), ("value", f">{kind}")])
    return [*head, (f"{name} n_element", INT32), (f"{name} first", INT32), (name, element, (n_element,))]


def _kind(name: str, column: Column) -> str:
    kind = column.dtype.str[1:]
    if kind not in OIDS or column.ndim not in (1, 2):
        raise UnpackableColumn(
            f"{name} is {column.ndim}-dimensional {column.dtype}; expected one or two dimensions of {', '.join(OIDS)}",
            field=name,
        )
    return kind


def _parts(name: str, column: Column) -> list[tuple[Any, ...]]:
    kind = _kind(name, column)
    value = [(name, f">{kind}")] if column.ndim == 1 else array_parts(name, kind, column.shape[1])
    return [(f"{name} size", INT32), *value]


def _piece(record: np.dtype[Any], columns: Mapping[str, Column]) -> bytes:
    rows = np.zeros(len(next(iter(columns.values()))), dtype=record)
    rows["n_field"] = len(columns)
    for name, column in columns.items():
        kind = _kind(name, column)
        if column.ndim == 1:
            rows[f"{name} size"], rows[name] = column.dtype.itemsize, column
            continue
        n_element = column.shape[1]
        parts = np.dtype(array_parts(name, kind, n_element))
        rows[f"{name} size"], rows[f"{name} oid"] = parts.itemsize, OIDS[kind]
        if n_element:
            rows[f"{name} n_dimension"], rows[f"{name} n_element"], rows[f"{name} first"] = 1, n_element, 1
            rows[name]["size"], rows[name]["value"] = column.dtype.itemsize, column
    return rows.tobytes()
