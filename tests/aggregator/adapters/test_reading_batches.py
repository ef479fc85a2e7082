import gzip
import json

import numpy as np
import pytest

from aggregator.adapters.bounded import FileRefused
from aggregator.adapters.reading_batches import (
    CSV,
    JSON,
    MAX_ROWS,
    NDJSON,
    BatchRefused,
    TooManyRows,
    parse_reading_batch,
)

AT = "2026-01-14T10:30:00Z"
ROW = {"meter": "m-1", "starts_at": AT, "energy_kwh": 1.5}
HEADER = "meter,starts_at,energy_kwh\n"


def ndjson(*rows) -> bytes:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()


def codes(batch) -> list[tuple[int, str]]:
    return sorted((row.line, row.code) for row in batch.rejected)


class TestParseReadingBatch:
    @pytest.mark.parametrize(
        ("content", "media_type"),
        [
            (ndjson(ROW), NDJSON),
            (json.dumps([ROW]).encode(), JSON),
            (f"{HEADER}m-1,{AT},1.5\n".encode(), CSV),
            (f"energy_kwh,meter,starts_at\r\n1.5,m-1,{AT}".encode(), CSV),
            (f"\ufeff{HEADER}m-1,2026-01-14T11:30:00+01:00,1.50".encode(), CSV),
            (gzip.compress(ndjson(ROW), mtime=0), NDJSON),
            (b"\n" + ndjson(ROW) + b"\n\n", NDJSON),
        ],
    )
    def test_reads_each_form(self, content, media_type):
        batch = parse_reading_batch(content, media_type)
        assert (batch.names_evses, batch.rejected, batch.n_row) == (False, (), 1)
        assert batch.rows.names.tolist() == ["m-1"]
        assert batch.rows.starts_at.tolist() == [np.datetime64("2026-01-14T10:30:00", "s").item()]
        assert batch.rows.energy_kwh.tolist() == [1.5]

    @pytest.mark.parametrize(
        ("row", "code"),
        [
            ({**ROW, "energy_kwh": "1.5"}, "row.malformed"),
            ({**ROW, "energy_kwh": True}, "row.malformed"),
            ({**ROW, "energy_kwh": None}, "row.malformed"),
            ({**ROW, "tenant": "x"}, "row.malformed"),
            ({"meter": "m", "starts_at": AT}, "row.malformed"),
            ({"evse": "evse_1", "starts_at": AT, "energy_kwh": 1}, "row.malformed"),
            ([], "row.malformed"),
            ('{"meter": "a", "meter": "b", "starts_at": "x", "energy_kwh": 1}', "row.malformed"),
            ('{"meter": "a", "starts_at": "x", "energy_kwh": NaN}', "row.malformed"),
            ("[" * 5_000, "row.malformed"),
            ({**ROW, "meter": " m"}, "row.name"),
            ({**ROW, "meter": "m\u0000"}, "row.name"),
            ({**ROW, "meter": "m" * 81}, "row.name"),
            ({**ROW, "starts_at": "2026-01-14T10:30:00"}, "row.starts_at"),
            ({**ROW, "starts_at": "2026-01-14T10:31:00Z"}, "row.starts_at"),
            ({**ROW, "starts_at": "2026-02-30T10:30:00Z"}, "row.starts_at"),
            ('{"meter": "a", "starts_at": "2026-01-14T10:30:00Z", "energy_kwh": 1e999}', "row.energy_kwh"),
        ],
    )
    def test_sets_a_bad_row_aside_and_keeps_the_others(self, row, code):
        batch = parse_reading_batch(ndjson(ROW, row, ROW), NDJSON)
        assert codes(batch) == [(2, code)]
        assert batch.rows.lines.tolist() == [1, 3]

    def test_sets_ragged_rows_of_a_csv_aside(self):
        batch = parse_reading_batch(f'{HEADER}m,{AT},1,2\n"m",{AT},1\nm,{AT}\nm,{AT},\u0661\n'.encode(), CSV)
        assert codes(batch) == [(2, "row.malformed"), (4, "row.malformed"), (5, "row.energy_kwh")]

    @pytest.mark.parametrize(
        ("content", "media_type"),
        [
            (b"", NDJSON),
            (b"\n \n", NDJSON),
            (b"nonsense\n{}\n", NDJSON),
            (b"[]", JSON),
            (b"{}", JSON),
            (b"[1, 2]", JSON),
            (b"[" * 5_000, JSON),
            (b"", CSV),
            (HEADER.encode(), CSV),
            (b"meter,evse,starts_at,energy_kwh\na,b,c,d\n", CSV),
            (b"meter,starts_at,energy_kwh,price\na,b,1,2\n", CSV),
            (f'{HEADER}"m,{AT},1\n'.encode(), CSV),
        ],
    )
    def test_refuses_what_is_no_batch(self, content, media_type):
        with pytest.raises(BatchRefused):
            parse_reading_batch(content, media_type)

    @pytest.mark.parametrize(
        "content", [b"\xff\xfe", gzip.compress(b"a" * 9 * 2**20, mtime=0), gzip.compress(ndjson(ROW), mtime=0)[:-9]]
    )
    def test_refuses_other_bytes_than_text_within_bounds(self, content):
        with pytest.raises(FileRefused):
            parse_reading_batch(content, NDJSON)

    def test_takes_up_to_fifty_thousand_rows(self):
        line = f"m,{AT},1\n"
        assert parse_reading_batch((HEADER + line * MAX_ROWS).encode(), CSV).n_row == MAX_ROWS
        with pytest.raises(TooManyRows):
            parse_reading_batch((HEADER + line * (MAX_ROWS + 1)).encode(), CSV)
