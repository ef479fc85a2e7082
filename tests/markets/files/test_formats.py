import io
import zipfile
from decimal import Decimal

import openpyxl
import pytest
from pyarrow import parquet

from markets.core.statement_columns import FORMAT_2
from markets.core.statement_file import render_statement
from markets.files.excel import render_excel
from markets.files.parquet import render_parquet
from markets.files.pdf import render_pdf
from markets.files.rows import header_facts, total_facts
from tests.markets.files.statements import (
    STARTERS,
    a_statement,
    one_line,
    pdf_lines,
    read_csv,
    read_excel,
    read_parquet,
)

WRITERS = {"csv": render_statement, "xlsx": render_excel, "parquet": render_parquet, "pdf": render_pdf}
LATE = "~"  # sorts after every other text, so that lines stay in order


class TestEveryFormat:
    def test_tells_the_same_row_by_row(self):
        statement = a_statement()
        rows = read_csv(render_statement(statement))

        assert read_excel(render_excel(statement)) == rows
        assert read_parquet(render_parquet(statement)) == rows
        assert (len(rows["LIN"]), len(rows["PER"])) == (2, 53)

    def test_tells_on_paper_what_the_csv_tells(self):
        statement = a_statement()
        rows, drawn = read_csv(render_statement(statement)), pdf_lines(render_pdf(statement))

        money = [line for line in drawn if "502.71" in line and "525.22" in line]
        assert [line[-1] for line in money] == [str(row[-3]) for row in rows["LIN"]]
        assert [(line[0], line[1], line[-4]) for line in money] == [
            ("EVENING/1", unit, "300.1234") for unit in ("fleet-f", "fleet-g")
        ]
        periods = [line for line in drawn if line[0] == "EVENING/1" and line[-1] in ("A", "E", "M")]
        assert [_paper(line) for line in periods] == [_paper([_cell(value) for value in row]) for row in rows["PER"]]

    @pytest.mark.parametrize("name", WRITERS)
    def test_is_the_same_bytes_for_the_same_statement(self, name):
        assert WRITERS[name](a_statement()) == WRITERS[name](a_statement())

    def test_has_the_totals_of_the_trailer(self):
        statement = a_statement()
        _, *trailer = render_statement(statement)[:-1].rpartition(b"\n")[2].decode().split(",")
        totals = dict(zip(("row_count", "sum_delivered_kwh", "sum_net_gbp"), trailer, strict=False))

        cover = openpyxl.load_workbook(io.BytesIO(render_excel(statement)))["Statement"]
        on_cover = {row[0].value: row[1].value for row in cover.iter_rows(max_col=2)}
        metadata = {
            name.decode(): value.decode()
            for name, value in parquet.read_schema(io.BytesIO(render_parquet(statement))).metadata.items()
        }
        drawn = [text for line in pdf_lines(render_pdf(statement)) for text in line]

        assert totals == total_facts(statement)
        assert {name: Decimal(str(on_cover[name])) for name in totals} == {
            name: Decimal(text) for name, text in totals.items()
        }
        assert {name: metadata[name] for name in totals} == totals
        assert {**header_facts(statement), **totals}.items() <= metadata.items()
        assert {totals["row_count"], f"{totals['sum_delivered_kwh']} kWh", f"{totals['sum_net_gbp']} GBP"} <= set(drawn)

    @pytest.mark.parametrize("name", WRITERS)
    def test_takes_a_statement_without_lines(self, name):
        empty = a_statement()
        assert WRITERS[name](type(empty)(empty.header, ()))


def _cell(value):
    return "" if value is None else str(value)


def _paper(cells):
    """What a line on paper tells, empty cells left out and times without their T and Z."""
    return [cell.replace("T", " ").replace(":00Z", "") if cell.endswith("Z") else cell for cell in cells if cell != ""]


class TestText:
    """A text is a text in every format, however it starts."""

    @pytest.mark.parametrize("starter", STARTERS)
    @pytest.mark.parametrize("rest", ["1+1", "cmd|' /C calc'!A0", 'HYPERLINK("http://x","y")', "http://x"])
    def test_is_never_a_formula_and_comes_back_whole(self, starter, rest):
        text = starter + rest
        hostile = a_statement(one_line(text=text, unit_ref=text, n_period=1), tenant=text)
        book = openpyxl.load_workbook(io.BytesIO(render_excel(hostile)))
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]

        assert {cell.data_type for cell in cells} == {"s", "n"}
        assert not any(cell.hyperlink for cell in cells)
        assert b"<f>" not in b"".join(_parts(render_excel(hostile)).values())
        rows = read_csv(render_statement(hostile))
        assert rows["LIN"][0][0] == text
        assert read_parquet(render_parquet(hostile)) == rows
        assert _unescaped(read_excel(render_excel(hostile))) == rows
        assert render_pdf(hostile)

    def test_stands_behind_an_apostrophe_only_where_a_spreadsheet_would_run_it(self):
        told = render_statement(a_statement(one_line(text="=1+1", unit_ref="x", n_period=1)))

        assert b"LIN,'=1+1," in told
        assert b",-2.7501," in render_statement(a_statement())  # a number stays one

    def test_that_paper_cannot_show_is_spelled_by_its_number(self):
        drawn = pdf_lines(render_pdf(a_statement(one_line("fleet-\u0141\t\u00e9\u00a3", n_period=1))))

        assert any("fleet-<U+0141>" in text.replace("\n", "") for line in drawn for text in line)
        assert any("é£" in text for line in drawn for text in line)


def _unescaped(rows):
    """Excel's own spelling of control characters."""
    return {
        kind: [tuple(openpyxl.utils.escape.unescape(v) if isinstance(v, str) else v for v in row) for row in found]
        for kind, found in rows.items()
    }


def _parts(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class TestRenderExcel:
    def test_holds_no_macro_no_link_and_one_date(self):
        parts = _parts(render_excel(a_statement()))

        assert not any("vba" in name or "external" in name.lower() for name in parts)
        assert parts["docProps/core.xml"].count(b"2026-11-15T09:30:01Z") == 2
        with zipfile.ZipFile(io.BytesIO(render_excel(a_statement()))) as archive:
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    def test_keeps_as_text_a_number_that_its_numbers_would_change(self):
        vast = Decimal("999999999999999.9999")
        statement = a_statement(one_line(counted_ordered_kwh=vast, n_period=1))
        (row,) = read_excel(render_excel(statement))["LIN"]

        assert row[[column.key for column in FORMAT_2.lines].index("counted_ordered_kwh")] == vast

    def test_goes_on_to_a_further_sheet_where_one_is_full(self):
        book = openpyxl.load_workbook(io.BytesIO(render_excel(a_statement(), most_rows=25)))

        assert book.sheetnames == ["Statement", "Lines", "Periods", "Periods 2", "Periods 3"]
        assert [book[name].max_row - 2 for name in book.sheetnames[2:]] == [25, 25, 3]


class TestRenderParquet:
    def test_has_types_and_units(self):
        schema = parquet.read_schema(io.BytesIO(render_parquet(a_statement())))
        types = {field.name: str(field.type) for field in schema}

        assert types["net_settlement"] == "decimal128(18, 2)"
        assert types["delivered_kwh"] == "decimal128(20, 4)"
        assert types["interval_start"] == "timestamp[ms, tz=UTC]"
        assert (types["settlement_date"], types["period"], types["note"]) == ("date32[day]", "int32", "string")

    def test_adds_up_to_the_total(self):
        table = parquet.read_table(io.BytesIO(render_parquet(a_statement())))

        assert sum(filter(None, table["net_settlement"].to_pylist())) == Decimal("1005.42")


class TestRenderPdf:
    def test_repeats_the_head_of_a_table_on_each_of_its_pages(self):
        data = render_pdf(a_statement(*(one_line(f"fleet-{n:02d}") for n in range(6)), n_day=2))
        lines = pdf_lines(data)
        titles = [line[0] for line in lines if line[0].startswith("Settlement periods")]
        feet = [line[-1] for line in lines if line[-1].startswith("Page ")]

        assert titles[0] == "Settlement periods"
        assert len(titles) > 3
        assert set(titles[1:]) == {"Settlement periods, continued"}
        assert sum("Quality" in line for line in lines) == len(titles)
        assert feet == [f"Page {n} of {len(feet)}" for n in range(1, len(feet) + 1)]

    def test_tells_no_clock(self):
        data = render_pdf(a_statement())

        assert b"D:20000101000000" in data

    def test_breaks_a_text_that_no_column_holds(self):
        long = "x" * 1_000
        lines = pdf_lines(render_pdf(a_statement(one_line(unit_ref="y" * 400, note=long, n_period=2))))

        assert sum(text.count("x") for line in lines for text in line if set(text) == {"x"}) == 1_000
