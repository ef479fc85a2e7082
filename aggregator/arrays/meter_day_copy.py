"""Meter-days in PostgreSQL's binary COPY format, packed and unpacked by numpy without a loop over rows."""

from collections.abc import Iterator

import numpy as np

from aggregator.arrays.binary_rows import SIGNATURE, TRAILER
from aggregator.core.errors import FlexError
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.types import FloatArray, IntArray, TimeArray

FLOAT8_OID = 701
EPOCH = np.datetime64("2000-01-01", "D")
NULL = -1
ROWS_A_PIECE = 20_000

ELEMENT = np.dtype([("size", ">i4"), ("value", ">f8")])
ARRAY_HEAD = [
    ("n_dimension", ">i4"),
    ("has_null", ">i4"),
    ("oid", ">i4"),
    ("n_element", ">i4"),
    ("first_index", ">i4"),
]
OUTGOING = np.dtype(
    [
        ("n_field", ">i2"),
        *(("day_size", ">i4"), ("day", ">i4")),
        *(("meter_size", ">i4"), ("meter", ">i8")),
        *(("batch_size", ">i4"), ("batch", ">i8")),
        *(("organisation_size", ">i4"), ("organisation", ">i8")),
        *(("received_size", ">i4"), ("received", ">i8")),
        ("array_size", ">i4"),
        *ARRAY_HEAD,
        ("energy", ELEMENT, (PERIODS_A_DAY,)),
    ]
)
ARRAY_HEAD_BYTES = 5 * 4


class UnexpectedCopy(FlexError):
    code = "reading.unexpected_copy"


def pack(
    *,
    day: TimeArray,
    meter_pk: IntArray,
    batch_pk: int,
    organisation_pk: IntArray,
    received_at: TimeArray,
    energy_kwh: FloatArray,
) -> Iterator[bytes]:
    """Rows for ``COPY aggregator_meterday (day, meter_id, batch_id, organisation_id, received_at, energy_kwh)``.

    Args:
        day: (n_row,) ``datetime64[D]``.
        received_at: (n_row,) ``datetime64`` UTC.
        energy_kwh: (n_row, 48), NaN becomes NULL.
    """
    yield SIGNATURE
    for start in range(0, len(day), ROWS_A_PIECE):
        piece = slice(start, start + ROWS_A_PIECE)
        yield _pack_piece(
            day[piece], meter_pk[piece], batch_pk, organisation_pk[piece], received_at[piece], energy_kwh[piece]
        )
    yield TRAILER


def _pack_piece(
    day: TimeArray,
    meter_pk: IntArray,
    batch_pk: int,
    organisation_pk: IntArray,
    received_at: TimeArray,
    energy_kwh: FloatArray,
) -> bytes:
    rows = np.zeros(len(day), dtype=OUTGOING)
    is_null = np.isnan(energy_kwh)
    rows["n_field"], rows["day_size"] = 6, 4
    rows["meter_size"] = rows["batch_size"] = rows["organisation_size"] = rows["received_size"] = 8
    rows["day"] = (day - EPOCH).astype(np.int64)
    rows["meter"], rows["batch"], rows["organisation"] = meter_pk, batch_pk, organisation_pk
    rows["received"] = (received_at.astype("datetime64[us]") - EPOCH.astype("datetime64[us]")).astype(np.int64)
    rows["array_size"] = ARRAY_HEAD_BYTES + PERIODS_A_DAY * 4 + 8 * (~is_null).sum(axis=1)
    rows["n_dimension"], rows["oid"], rows["n_element"], rows["first_index"] = 1, FLOAT8_OID, PERIODS_A_DAY, 1
    rows["has_null"] = is_null.any(axis=1)
    rows["energy"]["size"] = np.where(is_null, NULL, 8)
    rows["energy"]["value"] = energy_kwh
    as_bytes = rows.view(np.uint8).reshape(len(rows), OUTGOING.itemsize)
    # A NULL element has a size and no bytes: leave its eight out.
    is_kept = np.ones((len(rows), PERIODS_A_DAY, ELEMENT.itemsize), dtype=np.bool_)
    is_kept[:, :, 4:] = ~is_null[:, :, np.newaxis]
    head = np.ones((len(rows), OUTGOING.itemsize - PERIODS_A_DAY * ELEMENT.itemsize), dtype=np.bool_)
    packed: bytes = as_bytes[np.hstack([head, is_kept.reshape(len(rows), -1)])].tobytes()
    return packed


def incoming(n_period: int) -> np.dtype[np.void]:
    """One record of FIND_ROWS in readings.py: what the *send functions of PostgreSQL make of each value."""
    head = [("day", ">i4"), ("meter", ">i8"), ("batch", ">i8"), ("received", ">i8"), *ARRAY_HEAD]
    return np.dtype([*head, ("energy", ELEMENT, (n_period,))])


def unpack(records: bytes, n_period: int = PERIODS_A_DAY) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Rows from records of day, meter, batch, received_at and an array of ``n_period`` energies without NULLs.

    Raises:
        UnexpectedCopy: bytes of another shape, for instance an array with NULLs in it.
    """
    record = incoming(n_period)
    if len(records) % record.itemsize:
        raise UnexpectedCopy(f"{len(records)} bytes are no records of {record.itemsize} bytes")
    rows = np.frombuffer(records, dtype=record)
    if (rows["energy"]["size"] != 8).any() or (rows["n_element"] != n_period).any():
        raise UnexpectedCopy(f"a record holds something else than {n_period} numbers")
    return rows


def received_at_of(rows: np.ndarray[tuple[int], np.dtype[np.void]]) -> TimeArray:
    """(n_row,) ``datetime64[us]`` UTC."""
    received_at: TimeArray = EPOCH.astype("datetime64[us]") + rows["received"].astype("timedelta64[us]")
    return received_at
