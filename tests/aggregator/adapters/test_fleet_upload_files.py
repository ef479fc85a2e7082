"""A fleet file as a person brings it: every row that can be read, every error of the others, by line."""

import gzip
from datetime import UTC, datetime

import pytest

from aggregator.adapters.fleet_upload_files import FleetFile, read_fleet_file, template_file

HEADER = "evse_id,csms,dsrsp,node,rated_kw,phases,enrolled_from,services"
GOOD = "e1,csms,first,f,7.4,1,2024-01-01T00:00:00Z,routine"


def read(*rows: str, header: str = HEADER) -> FleetFile:
    return read_fleet_file("\n".join([header, *rows, ""]).encode(), "fleet.csv")


def found(file: FleetFile) -> list[tuple[int, str, str]]:
    return [(error.line, error.column, error.found) for error in file.errors]


class TestReadFleetFile:
    def test_reads_what_the_import_command_reads(self):
        file = read(GOOD, "e2,csms,first,f,11,3,,")

        assert [(row.line, row.evse_id, row.rated_kw, row.phases) for row in file.rows] == [
            (2, "e1", 7.4, 1),
            (3, "e2", 11.0, 3),
        ]
        assert (file.errors, file.refused, file.ignored, file.n_row) == ((), "", (), 2)

    @pytest.mark.parametrize(
        ("row", "column", "cell"),
        [
            ("e9,csms,first,f,x,1,,", "rated_kw", "x"),
            ("e9,csms,first,f,7.4,4,,", "phases", "4"),
            ("e9,csms,first,f,7.4,2,,", "phases", "2"),
            ("e9,csms,first,f,7.4,1,2024-01-01,", "enrolled_from", "2024-01-01"),
            ("e9,csms,first,f,7.4,1,,sometimes", "services", "sometimes"),
            (",csms,first,f,7.4,1,,", "evse_id", ""),
            (" e9,csms,first,f,7.4,1,,", "evse_id", " e9"),
            ("e9,csms,first,f,7.4,1", "(row)", "6 fields"),
            ("e9,csms,first,f,7.4,1,,,", "(row)", "9 fields"),
        ],
    )
    def test_names_line_column_and_value_of_each_kind_of_error_and_reads_the_rest(self, row, column, cell):
        file = read(GOOD, row, GOOD.replace("e1", "e3"))

        assert found(file) == [(3, column, cell)]
        assert file.errors[0].expected
        assert [(one.line, one.evse_id) for one in file.rows] == [(2, "e1"), (4, "e3")]

    def test_finds_errors_of_all_kinds_at_once(self):
        file = read("e2,csms,first,f,x,1,,", "e3,csms,first,f,7.4,2,,", "e4,csms", GOOD, "e5,csms,first,f,7.4,1,,odd")

        assert found(file) == [
            (2, "rated_kw", "x"),
            (3, "phases", "2"),
            (4, "(row)", "2 fields"),
            (6, "services", "odd"),
        ]
        assert [row.line for row in file.rows] == [5]

    def test_keeps_line_numbers_after_a_bad_row_of_several_lines(self):
        file = read('"e\n2",csms,first,f,7.4,1,,', GOOD, "e3,csms,first,f,x,1,,")

        assert [(error.line, error.column) for error in file.errors] == [(2, "evse_id"), (5, "rated_kw")]
        assert [row.line for row in file.rows] == [4]

    def test_takes_byte_order_mark_crlf_blank_lines_and_gzip(self):
        content = ("\ufeff" + f"{HEADER}\r\n\r\n{GOOD}\r\n\r\n").encode()

        for packed in (content, gzip.compress(content)):
            file = read_fleet_file(packed, "fleet.csv")
            assert ([row.line for row in file.rows], file.errors, file.refused) == ([3], (), "")

    def test_names_columns_nobody_knows(self):
        assert read(f"{GOOD},red", header=f"{HEADER},colour").ignored == ("colour",)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"\n\n", "is empty"),
            (b"evse_id,csms\ne1,c\n", "column dsrsp: not found"),
            (HEADER.encode(), "holds a header and no rows"),
            (f"{HEADER}\n".encode(), "holds a header and no rows"),
            (f"{HEADER},evse_id\n{GOOD},e1\n".encode(), "more than once"),
            (f"{HEADER}\n".encode() + b"\xff\xfe,csms\n", "line 2 is not UTF-8"),
            (f'{HEADER}\n"e1,csms\n'.encode(), "is no CSV"),
            (b"\x1f\x8b\x08damaged", "archive is damaged"),
            (gzip.compress(b"a" * 65 * 2**20), "unpacks to more than 50 times"),
            (b"PK\x03\x04\x00\x00\xff", "is not UTF-8"),
        ],
    )
    def test_says_why_a_file_can_not_be_read(self, content, said):
        file = read_fleet_file(content, "fleet.csv")

        assert said in file.refused
        assert (file.rows, file.errors) == ((), ())

    def test_gives_up_reading_rows_where_there_are_only_errors(self):
        file = read("e1,csms,first,f,x,1,,", "e2,csms")

        assert (file.rows, len(file.errors), file.n_row) == ((), 2, 2)

    def test_stays_within_bounds_when_every_row_is_wrong(self):
        file = read(*["e1,csms,first,f,x,1,,"] * 20_000)

        assert len(file.errors) == 3_000
        assert file.rows == ()


class TestTemplateFile:
    def test_is_a_file_that_can_be_read(self):
        file = read_fleet_file(template_file(dsrsp="first", enrolled_from=datetime(2026, 1, 1, tzinfo=UTC)), "t.csv")

        assert (file.errors, file.refused, file.ignored) == ((), "", ())
        assert [row.dsrsp for row in file.rows] == ["first", "first"]
        assert [row.services for row in file.rows] == [("routine",), ("routine", "response")]
