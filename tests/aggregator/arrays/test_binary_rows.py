"""Rows packed by numpy against psycopg's own dumpers, and through PostgreSQL and back."""

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.numeric import Float4, Float8, Int2, Int4, Int8

from aggregator.arrays.binary_rows import ROWS_A_PIECE, SIGNATURE, TRAILER, UnpackableColumn, pack_rows
from aggregator.arrays.copy_in import copy_columns
from aggregator.arrays.copy_out import Field, UnexpectedRows, load_columns
from aggregator.models import CSMS

WRAPPERS = {"i2": Int2, "i4": Int4, "i8": Int8, "f4": Float4, "f8": Float8}
WHOLE = {"i2": 16, "i4": 32, "i8": 64}


def numbers(kind: str) -> st.SearchStrategy:
    if kind in WHOLE:
        return st.integers(-(2 ** (WHOLE[kind] - 1)), 2 ** (WHOLE[kind] - 1) - 1)
    return st.floats(width=32 if kind == "f4" else 64)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Any few columns of any types, some of them arrays; psycopg sends an empty list as text, so none is."""
    n_row, columns = draw(st.integers(0, 4)), {}
    for at in range(draw(st.integers(1, 4))):
        kind, n_element = draw(st.sampled_from(sorted(WRAPPERS))), draw(st.none() | st.integers(1, 4))
        shape = (n_row,) if n_element is None else (n_row, n_element)
        values = draw(st.lists(numbers(kind), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        columns[f"c{at}"] = np.array(values, dtype=kind).reshape(shape)
    return columns


def dumped(column: np.ndarray, row: int) -> bytes:
    """What psycopg sends for the same value; a list of wrapped numbers names its elements' type."""
    wrap = WRAPPERS[column.dtype.str[1:]]
    if column.ndim == 1:
        value: object = wrap(column[row].item())
    else:
        value = [wrap(one) for one in column[row].tolist()]
    dumper = Transformer.from_context(None).get_dumper(value, PyFormat.BINARY)
    return bytes(dumper.dump(value))


class TestPackRows:
    @given(tables())
    def test_packs_as_psycopg_does(self, columns):
        n_row = len(next(iter(columns.values())))
        expected = SIGNATURE
        for row in range(n_row):
            expected += len(columns).to_bytes(2, "big")
            for column in columns.values():
                value = dumped(column, row)
                expected += len(value).to_bytes(4, "big") + value
        assert b"".join(pack_rows(columns)) == expected + TRAILER

    def test_comes_in_pieces_that_hold_every_row_once(self):
        keys = np.arange(2 * ROWS_A_PIECE + 1)
        pieces = list(pack_rows({"key": keys}))
        assert len(pieces) == 5
        records = np.frombuffer(b"".join(pieces[1:-1]), dtype=[("n", ">i2"), ("size", ">i4"), ("key", ">i8")])
        assert records["key"].tolist() == keys.tolist()

    @pytest.mark.parametrize(
        "columns",
        [
            {"a": np.array(["text"])},
            {"a": np.array([True])},
            {"a": np.zeros((1, 2, 3))},
            {"a": np.zeros(2), "b": np.zeros(3)},
            {"a": np.array([1], dtype=np.uint8)},
        ],
    )
    def test_refuses_what_it_cannot_pack(self, columns):
        with pytest.raises(UnpackableColumn) as refused:
            list(pack_rows(columns))
        assert refused.value.code == "copy.column_unpackable"


TYPES = {"small": "smallint", "whole": "bigint", "number": "double precision"}
ODD = {
    "small": np.array([-32768, -1, 0, 32767], dtype=np.int16),
    "whole": np.array([-(2**63), -1, 0, 2**63 - 1], dtype=np.int64),
    "number": np.array([-np.inf, -0.0, 5e-324, 1.7976931348623157e308]),
}


@pytest.fixture
def odd_table(db: None) -> str:
    with connection.cursor() as cursor:
        columns = ", ".join(f"{name} {kind}, {name}s {kind}[]" for name, kind in TYPES.items())
        cursor.execute(f"CREATE TEMP TABLE odd ({columns}) ON COMMIT DROP")
    return "odd"


def store_odd(table: str, n_element: int = 3) -> dict[str, np.ndarray]:
    columns = dict(ODD)
    for name, values in ODD.items():
        columns[f"{name}s"] = np.stack([np.roll(values, at)[:n_element] for at in range(4)])
    copy_columns(table=table, columns=columns)
    return columns


def load_odd(n_element: int = 3, **changed: Field) -> dict[str, np.ndarray]:
    kinds = {"small": "i2", "whole": "i8", "number": "f8"}
    fields = {name: Field(name, kind) for name, kind in kinds.items()}
    fields |= {f"{name}s": Field(f"{name}s", kind, n_element) for name, kind in kinds.items()}
    return load_columns(source="FROM odd", block="coalesce(small, 0) / 2", fields=fields | changed)


class TestThroughPostgresql:
    @pytest.mark.parametrize("n_element", [0, 1, 3])
    def test_odd_values_come_back_as_they_went(self, odd_table, n_element):
        stored = store_odd(odd_table, n_element)
        loaded = load_odd(n_element)
        assert set(loaded) == set(stored)
        order = np.argsort(loaded["small"])
        for name, column in stored.items():
            assert loaded[name].dtype == column.dtype
            np.testing.assert_array_equal(loaded[name][order], column)

    def test_rows_read_the_same_by_sql(self, odd_table):
        store_odd(odd_table)
        with connection.cursor() as cursor:
            cursor.execute("SELECT small, whole, number, smalls, wholes, numbers FROM odd")
            rows = cursor.fetchall()
        names = ("small", "whole", "number")
        for at, row in enumerate(rows):
            assert list(row[:3]) == [ODD[name][at] for name in names]
            assert list(row[3:]) == [np.roll(ODD[name], at)[:3].tolist() for name in names]

    def test_no_rows_are_empty_columns(self, odd_table):
        assert {name: column.shape for name, column in load_odd().items()}["wholes"] == (0, 3)

    @pytest.mark.parametrize("broken", ["small = NULL", "smalls = NULL", "smalls = '{1,NULL,3}'", "smalls = '{1,2}'"])
    def test_a_null_or_another_length_is_refused_and_no_row_is_lost(self, odd_table, broken):
        store_odd(odd_table)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE odd SET {broken} WHERE small = 0")  # noqa: S608 - written above
        with pytest.raises(UnexpectedRows):
            load_odd()

    def test_an_array_of_another_type_is_refused(self, odd_table):
        store_odd(odd_table)
        with pytest.raises(UnexpectedRows, match="smalls"):
            load_odd(smalls=Field("ARRAY['a', 'b', 'c']::char(2)[]", "i2", 3))

    def test_texts_come_beside_their_numbers_whatever_they_hold(self, db):
        names = ["", "Tab\tand\nline", "ßtraße 電", "\\N", "x" * 200]
        for at, name in enumerate(names):
            CSMS.objects.create(code=f"c-{at}", name=name)
        found = load_columns(
            source="FROM aggregator_csms WHERE code <> {not_this}",
            block="id / 2",
            fields={"pk": Field("id", "i8")},
            texts={"name": "name", "code": "code"},
            values={"not_this": "c-1"},
        )
        stored = set(CSMS.objects.exclude(code="c-1").values_list("pk", "name", "code"))
        assert set(zip(*(found[key].tolist() for key in ("pk", "name", "code")), strict=True)) == stored

    def test_a_text_that_is_null_is_refused(self, db):
        CSMS.objects.create(code="c", name="n")
        with pytest.raises(UnexpectedRows):
            load_columns(
                source="FROM aggregator_csms",
                block="id / 2",
                fields={"pk": Field("id", "i8")},
                texts={"name": "NULL::text"},
            )
