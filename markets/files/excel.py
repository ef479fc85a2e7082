"""A statement as an Excel workbook: a cover with the header and totals, its lines, its periods. No formula, no macro.

A text is stored as a text whatever it starts with, so nothing needs an apostrophe in front. Equal statements give equal
bytes: the one date inside is the statement's own.
"""

import io
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from markets.core.statement import Statement
from markets.core.statement_cells import decimal_cell, time_cell
from markets.core.statement_columns import FORMAT_2, Column, RecordKind, Value
from markets.files.rows import TITLE, header_facts, rows_of, total_facts

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_ROWS = 1_000_000  # a sheet ends at 1,048,576: the rest goes on a further one
N_HEAD = 2  # names, then units
SHEETS: tuple[tuple[str, RecordKind], ...] = (("Lines", "LIN"), ("Periods", "PER"))
_WIDTHS = {"text": 22, "word": 12, "whole": 10, "decimal": 14, "day": 12, "time": 21}
_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


def render_excel(statement: Statement, *, most_rows: int = MOST_ROWS) -> bytes:
    """Render a statement as .xlsx."""
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, _OPTIONS)
    book.set_properties({"title": TITLE, "created": statement.header.as_of_at.replace(tzinfo=None)})
    formats = _Formats(book)
    _write_cover(book.add_worksheet("Statement"), statement, formats)
    for name, kind in SHEETS:
        found = rows_of(statement, kind)
        for number, start in enumerate(range(0, len(found) or 1, most_rows), start=1):
            sheet = book.add_worksheet(name if number == 1 else f"{name} {number}")
            _write_rows(sheet, FORMAT_2.columns(kind), found[start : start + most_rows], formats)
    book.close()
    return target.getvalue()


class _Formats:
    """Number formats by decimals, so that a column looks the same throughout."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self.title: Format = book.add_format({"bold": True, "font_size": 14})
        self.name: Format = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.unit: Format = book.add_format({"italic": True, "font_color": "#555555"})
        self.text: Format = book.add_format({"num_format": "@"})
        self.whole: Format = book.add_format({"num_format": "0"})
        self.decimals = {n: book.add_format({"num_format": f"#,##0.{'0' * n}"}) for n in (2, 4, 6)}


def _write_cover(sheet: Worksheet, statement: Statement, formats: _Formats) -> None:
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 1, 70)
    sheet.write_string(0, 0, TITLE, formats.title)
    row = 2
    for name, text in header_facts(statement).items():
        sheet.write_string(row, 0, name, formats.unit)
        sheet.write_string(row, 1, text, formats.text)
        row += 1
    for name, text in total_facts(statement).items():
        sheet.write_string(row + 1, 0, name, formats.unit)
        _write_number(sheet, row + 1, 1, Decimal(text), text, formats)
        row += 1


def _write_rows(sheet: Worksheet, columns: Sequence[Column], rows: list[tuple[Value, ...]], formats: _Formats) -> None:
    for at, column in enumerate(columns):
        sheet.set_column(at, at, max(_WIDTHS[column.kind], len(column.name) // 2 + 4))
        sheet.write_string(0, at, column.name, formats.name)
        sheet.write_string(1, at, column.unit, formats.unit)
    sheet.freeze_panes(N_HEAD, 0)
    sheet.repeat_rows(0, N_HEAD - 1)
    sheet.set_landscape()
    for row, values in enumerate(rows, start=N_HEAD):
        for at, (column, value) in enumerate(zip(columns, values, strict=True)):
            _write_value(sheet, row, at, column, value, formats)


def _write_value(sheet: Worksheet, row: int, at: int, column: Column, value: Value, formats: _Formats) -> None:
    if value is None:
        return
    if column.kind == "decimal" and isinstance(value, Decimal):
        _write_number(sheet, row, at, value, decimal_cell(value, column.decimals), formats)
    elif isinstance(value, int):
        sheet.write_number(row, at, value, formats.whole)
    else:
        sheet.write_string(row, at, _spelled(value), formats.text)


def _spelled(value: Value) -> str:
    """Times and days as in the CSV: a spreadsheet's own have neither zone nor a spelling of their own."""
    if isinstance(value, datetime):
        return time_cell(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _write_number(sheet: Worksheet, row: int, at: int, value: Decimal, text: str, formats: _Formats) -> None:
    """Write a number; one that Excel's binary numbers would change stands as text, to the last digit."""
    n_decimals = len(text.partition(".")[2])
    if Decimal(f"{float(value):.16G}") == value:
        sheet.write_number(row, at, float(value), formats.decimals[n_decimals] if n_decimals else formats.whole)
    else:
        sheet.write_string(row, at, text, formats.text)
