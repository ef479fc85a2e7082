"""Long arrays as parameters of a statement, in PostgreSQL's binary form."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray
from psycopg import Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format

from aggregator.arrays.binary_rows import array_parts

INT8_ARRAY_OID = 1016
INT8_OID = 20


class _Int8Array(Dumper):
    """(n,) int64 as ``bigint[]``."""

    format = Format.BINARY
    oid = INT8_ARRAY_OID

    def dump(self, obj: NDArray[np.int64]) -> bytes:
        record = np.zeros(1, dtype=array_parts("array", "i8", len(obj)))
        record["array oid"] = INT8_OID
        if len(obj):
            record["array n_dimension"], record["array n_element"], record["array first"] = 1, len(obj), 1
            record["array"]["size"], record["array"]["value"] = obj.dtype.itemsize, obj
        return record.tobytes()


@contextmanager
def cursor_of_arrays() -> Iterator[Cursor]:
    """Give a cursor that takes (n,) int64 arrays as ``bigint[]``; call it in a transaction.

    Django writes parameters into the statement: 100,000 numbers take longer to write and to read than to keep.
    """
    transaction.get_connection().validate_no_broken_transaction()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        cursor.adapters.register_dumper(np.ndarray, _Int8Array)
        yield cursor
