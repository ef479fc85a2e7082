"""CSV files: what is taken, what is refused, and where the refusal points."""

import gzip
import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.adapters import files
from aggregator.adapters.files import FileRefused, Instant, Limits, Number, Text, read_table

COLUMNS = (
    Text("evse_id"),
    Instant("period_start_utc", starts_half_hour=True),
    Number("energy_kwh", "kWh", 0, 1000),
    Text("note", required=False, may_be_empty=True),
)
HEADER = "evse_id,period_start_utc,energy_kwh"
NO_NUMBERS = (
    *("abc", "NaN", "nan", "inf", "-inf", "Infinity", "0x1A", "1_000", "True", " 5", "5 ", "٥", "1,5", "1e", "--1"),
    *("1e999", "-0.1", "1000.1", "", "１", "5\u00a0", "+", ".", "e5", "5\n"),
)
NO_HALF_HOURS = (
    *("2023-01-01T00:00:00", "2023-01-01 00:00", "2023-01-01", "01/01/2023 00:00Z", "2023-02-30T00:00:00Z"),
    *("2023-01-01T24:00:00Z", "now", "NaT", "", "1672531200", "2023-01-01T00:00:00Zx", "0023-01-01T00:00:00Z"),
    *("2023-01-01T00:00:00 Europe/London", "2101-01-01T00:00:00Z", "2023-01-01T00:15:00Z", "2023-01-01T00:00:01Z"),
    "٢٠٢٣-01-01T00:00:00Z",
)
GOOD = f"{HEADER}\nA,2023-01-01T00:00:00Z,1\n".encode()


def read(text, columns=COLUMNS, **options):
    content = text if isinstance(text, bytes) else text.encode()
    return read_table(io.BytesIO(content), columns, name="file.csv", **options)


def refusal(text, columns=COLUMNS, **options):
    with pytest.raises(FileRefused) as refused:
        read(text, columns, **options)
    return refused.value


class TestReadTable:
    def test_types_the_columns_and_keeps_the_lines(self):
        table = read(f"{HEADER}\nA,2023-01-01T00:00:00Z,1.5\nB,2023-06-01T01:30:00+01:00,0\n")

        assert table.texts("evse_id").tolist() == ["A", "B"]
        assert (
            table.times("period_start_utc").tolist()
            == np.array(["2023-01-01T00:00:00", "2023-06-01T00:30:00"], dtype="datetime64[s]").tolist()
        )
        assert table.numbers("energy_kwh").tolist() == [1.5, 0.0]
        assert table.texts("note").tolist() == ["", ""]
        assert table.lines.tolist() == [2, 3]

    def test_takes_gzip_bom_crlf_quotes_and_blank_lines_alike(self):
        plain = f"{HEADER}\nA,2023-01-01T00:00:00Z,1\nB,2023-01-01T00:30:00Z,2\n"
        dressed = "\ufeff" + plain.replace("A,", '"A",').replace("\n", "\r\n") + "\r\n"

        for content in (dressed.encode(), gzip.compress(dressed.encode())):
            assert read(content).texts("evse_id").tolist() == read(plain).texts("evse_id").tolist()

    def test_ignores_unknown_columns_and_names_them(self):
        assert read(f"{HEADER},colour,size\nA,2023-01-01T00:00:00Z,1,red,3\n").unknown == ("colour", "size")

    def test_hashes_the_file_as_received(self):
        content = gzip.compress(GOOD)

        assert read(content).sha256 == hashlib.sha256(content).hexdigest()

    def test_gives_a_quoted_line_break_the_line_its_row_starts_on(self):
        columns = (Text("name"), Number("kwh", "kWh", 0, 9))

        error = refusal('name,kwh\nA,1\n"B\nC",2\n', columns)

        assert (error.details["line"], error.details["column"]) == (3, "name")

    @pytest.mark.parametrize("cell", NO_NUMBERS)
    def test_refuses_what_only_looks_like_a_number(self, cell):
        quoted = '"' + cell + '"'

        error = refusal(f"{HEADER}\nA,2023-01-01T00:00:00Z,1\nA,2023-01-01T00:30:00Z,{quoted}\n")

        assert (error.details["line"], error.details["column"]) == (3, "energy_kwh")
        assert error.details["found"] == cell
        assert "line 3, column energy_kwh: found" in error.message
        assert "expected a number of kWh from 0 to 1000" in error.message

    @pytest.mark.parametrize("cell", ["1", "1.", ".5", "+2", "1e2", "-0.0", "1E-3", "007"])
    def test_takes_every_plain_decimal(self, cell):
        assert read(f"{HEADER}\nA,2023-01-01T00:00:00Z,{cell}\n").numbers("energy_kwh")[0] == abs(float(cell))

    @pytest.mark.parametrize("cell", NO_HALF_HOURS)
    def test_refuses_a_time_without_offset_off_the_half_hour_or_no_time_at_all(self, cell):
        error = refusal(f"{HEADER}\nA,{cell},1\n")

        assert (error.details["line"], error.details["column"], error.details["found"]) == (2, "period_start_utc", cell)

    @pytest.mark.parametrize("cell", [" A", "A ", "", "A\x00", "A\tB", "x" * 81])
    def test_refuses_text_with_blanks_around_it_or_control_characters(self, cell):
        error = refusal(f"{HEADER}\n{cell},2023-01-01T00:00:00Z,1\n")

        assert error.details["column"] == "evse_id"

    def test_names_every_bad_value_in_the_order_of_lines(self):
        error = refusal(f"{HEADER}\n ,2023-01-01T00:00:00Z,x\nA,yesterday,1\nA,2023-01-01T00:00:00Z,-1\n")

        assert [(bad.line, bad.column) for bad in error.errors] == [
            (2, "evse_id"),
            (2, "energy_kwh"),
            (3, "period_start_utc"),
            (4, "energy_kwh"),
        ]
        assert error.message.endswith("(and 3 more)")

    def test_points_at_the_right_line_beyond_the_first_piece(self, monkeypatch):
        monkeypatch.setattr(files, "ROWS_A_PIECE", 3)
        rows = [f"A,2023-01-01T00:00:00Z,{number}" for number in range(10)]
        rows[7] = "A,2023-01-01T00:00:00Z,abc"

        assert refusal("\n".join([HEADER, *rows])).details["line"] == 9

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is empty"),
            ("\n\n", "is empty"),
            (HEADER, "a header and no rows"),
            ("evse_id,energy_kwh\nA,1\n", "column period_start_utc: not found"),
            ("evse_id;period_start_utc;energy_kwh\nA;1;2\n", "column evse_id: not found"),
            (f"{HEADER},evse_id\nA,2023-01-01T00:00:00Z,1,B\n", "more than once"),
            (f"{HEADER}\nA,2023-01-01T00:00:00Z\n", "line 2 has 2 fields, expected 3"),
            (f"{HEADER}\nA,2023-01-01T00:00:00Z,1,2\n", "line 2 has 4 fields, expected 3"),
            (f'{HEADER}\n"A,2023-01-01T00:00:00Z,1\n', "is no CSV"),
            (f'{HEADER}\n"A"x,2023-01-01T00:00:00Z,1\n', "is no CSV"),
            (
                GOOD + b"\xff\xfe,2023-01-01T00:00:00Z,1\n",
                "line 3 is not UTF-8",
            ),
            (f"{HEADER}\nA,2023-01-01T00:00:00Z,1\n".encode("utf-16"), "line 1 is not UTF-8"),
            (b"\x1f\x8bnot a gzip archive", "archive is damaged"),
            (gzip.compress(f"{HEADER}\nA,2023-01-01T00:00:00Z,1\n".encode() * 1000)[:-9], "archive is damaged"),
        ],
    )
    def test_refuses_a_file_that_is_no_such_csv(self, text, said):
        assert said in refusal(text).message

    def test_refuses_a_column_named_by_two_of_its_names(self):
        columns = (Number("energy_kwh", "kWh", 0, 9, aliases=("kwh",)),)

        assert "kwh and energy_kwh" in refusal("kwh,energy_kwh\n1,2\n", columns).message

    def test_refuses_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(FileRefused, match="can't be read"):
            read_table(tmp_path / "none.csv", COLUMNS)

    def test_stops_unpacking_a_bomb_at_its_ratio(self):
        bomb = gzip.compress(b"a" * 3_000_000)
        limits = Limits(max_bytes=2**30, max_ratio=20, free_bytes=1000)

        assert "more than 20 times" in refusal(bomb, limits=limits).message

    def test_stops_at_the_cap_of_bytes_packed_or_not(self):
        text = (HEADER + "\n" + "A,2023-01-01T00:00:00Z,1\n" * 4000).encode()
        limits = Limits(max_bytes=50_000, max_ratio=10**6, free_bytes=10**6)

        for content in (text, gzip.compress(text)):
            assert "more than the 50,000 bytes" in refusal(content, limits=limits).message

    def test_lets_a_small_file_repeat_itself(self):
        text = (HEADER + "\n" + "A,2023-01-01T00:00:00Z,1\n" * 20_000).encode()

        assert len(read(gzip.compress(text))) == 20_000

    def test_refuses_an_endless_line(self):
        assert "longer than" in refusal(b"a" * 3_000_000).message

    @given(
        st.lists(
            st.floats(0, 1000).map(repr)
            | st.sampled_from(["nan", "x", " 1", "0x1", "1_0", "", "-1", "1e400", "٣", "True", "1001"]),
            min_size=1,
            max_size=30,
        )
    )
    def test_stores_no_bad_value_as_good(self, cells):
        def is_good(cell):
            return cell not in ("nan", "x", " 1", "0x1", "1_0", "", "-1", "1e400", "٣", "True", "1001")

        text = "\n".join([HEADER, *(f"A,2023-01-01T00:00:00Z,{cell}" for cell in cells)])
        bad = [line for line, cell in enumerate(cells, start=2) if not is_good(cell)]

        if bad:
            assert [error.line for error in refusal(text).errors] == bad
        else:
            assert read(text).numbers("energy_kwh").tolist() == [float(cell) for cell in cells]

    def test_tells_progress_of_all_bytes_and_rows(self):
        class Told:
            n_byte = n_row = 0

            def bytes_read(self, n_byte):
                self.n_byte += n_byte

            def rows_read(self, n_row):
                self.n_row += n_row

        told = Told()
        content = gzip.compress((HEADER + "\nA,2023-01-01T00:00:00Z,1" * 70).encode())
        read(content, progress=told)

        assert (told.n_byte, told.n_row) == (len(content), 70)


class TestNumber:
    def test_keeps_an_empty_cell_apart_from_zero(self):
        columns = (Number("a", "kWh", 0, 9, may_be_empty=True), Number("b", "kWh", 0, 9))

        values = read("a,b\n,1\n0,1\n", columns).numbers("a")

        assert np.isnan(values[0])
        assert values[1] == 0

    def test_refuses_a_fraction_where_a_whole_number_is_asked(self):
        assert (
            "a whole number of phases from 1 to 3"
            in refusal("phases\n1.5\n", (Number("phases", "phases", 1, 3, whole=True),)).message
        )


class TestText:
    def test_refuses_what_is_not_among_the_choices(self):
        assert "one of A, B, C" in refusal("phase\nD\n", (Text("phase", choices=frozenset("ABC")),)).message
