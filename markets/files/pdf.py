"""A statement as a PDF for reading: cover with totals, then lines and periods in tables that repeat their head.

Pages are laid out first, as plain values, and drawn after; so each can say of how many it is. Equal statements give
equal bytes: no clock, no random number, nothing compressed.

The fonts are those every reader has, so a character outside Windows-1252 is spelled as its number, ``<U+0141>``; the
other formats hold it as it is.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfgen.canvas import Canvas

from markets.core.statement import Statement
from markets.core.statement_cells import decimal_cell
from markets.core.statement_columns import FORMAT_2, Column, RecordKind, Value
from markets.files.paper import BOLD, GREY, PLAIN, SIZE, Page, Rule, Text, shown_text, wrapped
from markets.files.rows import TITLE, rows_of, total_facts

MEDIA_TYPE = "application/pdf"
WIDTH, HEIGHT = landscape(A4)
MARGIN = 36.0
LEFT, RIGHT, TOP, BOTTOM = MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN, MARGIN + 18
LEADING, PAD = 8.6, 3.0


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table on paper.

    Attributes:
        name: of the statement's column.
        title: what stands above it.
        share: of the page's width, against the other columns of the table.
    """

    name: str
    title: str
    share: float


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    kind: RecordKind
    columns: tuple[TableColumn, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A column on paper: which value of a row it shows, its left edge and its width."""

    column: Column
    at: int
    title: str
    x: float
    width: float


_ORDER = (TableColumn("order_reference", "Order", 2.6), TableColumn("unit_ref", "Unit", 1.8))
_EVSE = TableColumn("evse_ref", "EVSE", 1.5)
TABLES = (
    Table(
        "Lines: energy and money",
        "LIN",
        (
            *_ORDER,
            TableColumn("ordered_kwh", "Ordered", 1.3),
            TableColumn("delivered_kwh", "Delivered", 1.3),
            TableColumn("counted_ordered_kwh", "Ordered, counted", 1.3),
            TableColumn("counted_delivered_kwh", "Delivered, counted", 1.3),
            TableColumn("performance_factor", "Performance factor", 1.4),
            TableColumn("price", "Price", 1.3),
            TableColumn("full_value", "Full value", 1.3),
            TableColumn("penalty", "Penalty", 1.3),
            TableColumn("net_settlement", "Net settlement", 1.4),
        ),
    ),
    Table(
        "Lines: what they stand on",
        "LIN",
        (
            *_ORDER,
            _EVSE,
            TableColumn("contract_id", "Contract", 1.7),
            TableColumn("product", "Product", 1.7),
            TableColumn("congestion_point", "Congestion point", 1.5),
            TableColumn("direction", "Direction", 1.2),
            TableColumn("interval_start", "Start", 1.75),
            TableColumn("interval_end", "End", 1.75),
            TableColumn("baseline_reference", "Baseline", 1.8),
            TableColumn("performance_reference", "Performance rule", 1.8),
            TableColumn("n_baseline_days", "Baseline days", 1.25),
            TableColumn("note", "Note", 2.2),
        ),
    ),
    Table(
        "Settlement periods",
        "PER",
        (
            *_ORDER,
            _EVSE,
            TableColumn("settlement_date", "Settlement date", 1.2),
            TableColumn("period", "Period", 0.8),
            TableColumn("interval_start", "Start", 1.75),
            TableColumn("interval_end", "End", 1.75),
            TableColumn("baseline_power", "Baseline power", 1.2),
            TableColumn("ordered_flex_power", "Ordered power", 1.2),
            TableColumn("actual_power", "Actual power", 1.2),
            TableColumn("delivered_flex_power", "Delivered power", 1.2),
            TableColumn("power_deficiency", "Deficiency", 1.2),
            TableColumn("delivered_kwh", "Delivered", 1.2),
            TableColumn("meter_quality", "Quality", 0.8),
        ),
    ),
)


def render_pdf(statement: Statement) -> bytes:
    """Render a statement as PDF."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=(WIDTH, HEIGHT), invariant=1, pageCompression=0)
    header = statement.header
    canvas.setTitle(shown_text(f"{TITLE} {header.run_id}"))
    canvas.setAuthor("Headroom")
    canvas.setSubject(shown_text(f"for {header.tenant}, version {header.version}"))
    pages = lay_out(statement)
    for number, page in enumerate(pages, start=1):
        _draw(canvas, [*page, *_foot(statement, number, len(pages))])
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def lay_out(statement: Statement) -> list[Page]:
    """Every page but its foot: the cover, then each table on as many pages as it needs."""
    pages = [_cover(statement)]
    y = pages[0][-1].y - 30
    for table in TABLES:
        found = rows_of(statement, table.kind)
        if found:
            y = _lay_table(pages, table, found, y) - 24
    return pages


def _cover(statement: Statement) -> Page:
    header, totals = statement.header, total_facts(statement)
    page: Page = [Text(LEFT, TOP - 20, TITLE, BOLD, 20)]
    facts = (
        ("Addressed to", header.tenant),
        ("Run", header.run_id),
        ("Version", str(header.version)),
        ("Period", f"{_time(header.period_from_at)} to {_time(header.period_to_at)} UTC"),
        ("Readings known by", f"{_time(header.as_of_at)} UTC"),
        ("SHA-256 of the inputs", header.input_sha256),
        ("Lines and periods", totals["row_count"]),
        ("Energy delivered", f"{totals['sum_delivered_kwh']} kWh"),
    )
    y = TOP - 52
    for label, text in facts:
        page.append(Text(LEFT, y, label, PLAIN, 9, GREY))
        for part in wrapped(text, RIGHT - LEFT - 130, PLAIN, 9):
            page.append(Text(LEFT + 130, y, part, PLAIN, 9))
            y -= 11
        y -= 4
    page.append(Text(LEFT, y - 6, "Net settlement", BOLD, 12))
    page.append(Text(LEFT + 130, y - 6, f"{totals['sum_net_gbp']} {shown_text(header.currency)}", BOLD, 12))
    said = "Powers are means of a half-hour. Baseline and actual power: import positive. Delivered: positive as asked."
    page.append(Text(LEFT, y - 26, said, PLAIN, SIZE + 1, GREY))
    return page


def _lay_table(pages: list[Page], table: Table, rows: Sequence[tuple[Value, ...]], y: float) -> float:
    """Add a table from ``y`` downwards, on new pages as needed; where it ended."""
    placed = _placed(table)
    head = _head_lines(placed)
    head_height = 18 + len(head) * LEADING
    cells = [_cell_lines(placed, values) for values in rows]
    if y - head_height - len(max(cells[0], key=len)) * LEADING < BOTTOM:
        pages.append([])
        y = TOP
    y = _add_head(pages[-1], table.title, head, y)
    for row in cells:
        height = max(len(lines) for lines in row) * LEADING + 1.4
        if y - height < BOTTOM:
            pages.append([])
            y = _add_head(pages[-1], f"{table.title}, continued", head, TOP)
        for one, lines in zip(placed, row, strict=True):
            depths = enumerate(lines, start=1)
            pages[-1].extend(_aligned(one, y - depth * LEADING + 1.6, text) for depth, text in depths if text)
        y -= height
    return y


def _placed(table: Table) -> list[Placed]:
    keyed = {column.name: (at, column) for at, column in enumerate(FORMAT_2.columns(table.kind))}
    total = sum(column.share for column in table.columns)
    placed, x = [], LEFT
    for shown in table.columns:
        width = (RIGHT - LEFT) * shown.share / total
        at, column = keyed[shown.name]
        placed.append(Placed(column, at, shown.title, x, width))
        x += width
    return placed


def _head_lines(placed: Sequence[Placed]) -> list[list[Text]]:
    """Titles above units, all ending on one line, as texts from y = 0 downwards."""
    stacked = [
        [*wrapped(one.title, one.width - 2 * PAD, BOLD, SIZE), *([one.column.unit] if one.column.unit else [])]
        for one in placed
    ]
    deepest = max(map(len, stacked))
    return [
        [
            _aligned(one, -(depth + 1) * LEADING, lines[depth - deepest + len(lines)], BOLD)
            for one, lines in zip(placed, stacked, strict=True)
            if depth >= deepest - len(lines)
        ]
        for depth in range(deepest)
    ]


def _add_head(page: Page, title: str, head: list[list[Text]], y: float) -> float:
    page.append(Text(LEFT, y - 10, title, BOLD, 10))
    top = y - 15
    for texts in head:
        page.extend(replace(one, y=top + one.y, grey=GREY) for one in texts)
    bottom = top - len(head) * LEADING - 3
    page.append(Rule(bottom))
    return bottom - 1


def _cell_lines(placed: Sequence[Placed], values: tuple[Value, ...]) -> list[tuple[str, ...]]:
    return [wrapped(_spelled(values[one.at], one.column), one.width - 2 * PAD, PLAIN, SIZE) for one in placed]


def _aligned(one: Placed, y: float, text: str, font: str = PLAIN) -> Text:
    is_right = one.column.kind in ("decimal", "whole")
    return Text(one.x + one.width - PAD if is_right else one.x + PAD, y, text, font, SIZE, right=is_right)


def _spelled(value: Value, column: Column) -> str:
    if isinstance(value, Decimal):
        return decimal_cell(value, column.decimals)
    if isinstance(value, datetime):
        return _time(value)
    return value.isoformat() if isinstance(value, date) else "" if value is None else str(value)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}" + (f":{at:%S}" if at.second else "")


def _foot(statement: Statement, number: int, n_page: int) -> Iterator[Text | Rule]:
    header = statement.header
    said = wrapped(f"{header.run_id}, version {header.version}, {header.tenant}", RIGHT - LEFT - 80, PLAIN, SIZE)[0]
    yield Rule(MARGIN + 10, 0.3)
    yield Text(LEFT, MARGIN, said, grey=GREY)
    yield Text(RIGHT, MARGIN, f"Page {number} of {n_page}", grey=GREY, right=True)


def _draw(canvas: Canvas, page: Page) -> None:
    pen = None
    for thing in page:
        if isinstance(thing, Rule):
            canvas.setLineWidth(thing.width)
            canvas.line(LEFT, thing.y, RIGHT, thing.y)
            continue
        if pen != (thing.font, thing.size, thing.grey):
            pen = (thing.font, thing.size, thing.grey)
            canvas.setFont(thing.font, thing.size)
            canvas.setFillGray(thing.grey)
        (canvas.drawRightString if thing.right else canvas.drawString)(thing.x, thing.y, thing.text)
