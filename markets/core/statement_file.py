"""A statement as a CSV file that an operator's loader can check alone.

Records, in order: ``HDR``; ``COL`` naming the columns of ``LIN`` and of ``PER``; for each line one ``LIN``
(the money) and one ``PER`` per settlement period (the volumes); ``TRL`` with counts, sums and the SHA-256 of
every byte before it. UTF-8, LF, decimal points, UTC times; the same statement gives the same bytes.

Source: docs/methods/settlement.md
"""

from aggregator.core.csv_text import write_record
from markets.core.statement import InvalidStatement, Statement
from markets.core.statement_cells import Cells, StatementFileInvalid, read_records
from markets.core.statement_records import (
    FIRST_BODY_RECORD,
    FORMAT_VERSION,
    LIN_COLUMNS,
    PER_COLUMNS,
    TRL_COLUMNS,
    header_cells,
    line_cells,
    period_cells,
    read_header,
    read_lines,
    trailer_cells,
)


def render_statement(statement: Statement) -> bytes:
    """Render a statement; equal statements give equal bytes."""
    records = [header_cells(statement.header), ["COL", "LIN", *LIN_COLUMNS], ["COL", "PER", *PER_COLUMNS]]
    for line in statement.lines:
        records.append(line_cells(line))
        refs = {"order_reference": line.order_reference, "unit_ref": line.unit_ref}
        records.extend(period_cells(period, **refs) for period in line.periods)
    body = b"".join(write_record(cells) for cells in records)
    return body + write_record(trailer_cells(statement, body))


def parse_statement(data: bytes) -> Statement:
    """Read a statement file back, and check it.

    Checked in this order: encoding and line ends, header and columns, trailer and row count, each record and its
    sums, the trailer's sums, the SHA-256, and at last that the bytes are the ones ``render_statement`` writes.

    Raises:
        StatementFileInvalid: the first thing found wrong, with ``record`` (from 1) and ``column`` where it has them.
    """
    records = _records(data)
    header = read_header(records[0])
    _check_columns(records)
    trailer = records[-1][1:]
    Cells(TRL_COLUMNS, trailer, record=len(records))
    body_records = records[FIRST_BODY_RECORD - 1 : -1]
    _check_total("row_count", trailer[0], str(len(body_records)))
    try:
        statement = Statement(header, tuple(read_lines(body_records)))
    except InvalidStatement as error:
        raise StatementFileInvalid(f"the lines do not make a statement: {error.message}") from error
    body = data[: data[:-1].rfind(b"\n") + 1]
    for name, found, expected in zip(TRL_COLUMNS, trailer, trailer_cells(statement, body)[1:], strict=True):
        _check_total(name, found, expected)
    if render_statement(statement) != data:
        raise StatementFileInvalid("counts, sums and SHA-256 hold, but the file is not in its one canonical spelling")
    return statement


def _records(data: bytes) -> list[list[str]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise StatementFileInvalid(f"not UTF-8 at byte {error.start}") from error
    if text.partition("\n")[0].endswith("\r"):
        raise StatementFileInvalid("records end in CR LF, LF alone is expected")
    if not text.endswith("\n"):
        raise StatementFileInvalid("the last record is cut off: no LF at the end of the file")
    records = read_records(text)
    for number, kind, cells in ((1, "HDR", records[0]), (len(records), "TRL", records[-1])):
        if not cells or cells[0] != kind:
            raise StatementFileInvalid(f"record {number} must be {kind}, found {cells[:1]}", record=number)
    return records


def _check_columns(records: list[list[str]]) -> None:
    for number, columns in ((2, ["COL", "LIN", *LIN_COLUMNS]), (3, ["COL", "PER", *PER_COLUMNS])):
        if len(records) < FIRST_BODY_RECORD or records[number - 1] != columns:
            raise StatementFileInvalid(
                f"record {number} must name the {columns[1]} columns of format {FORMAT_VERSION}", record=number
            )


def _check_total(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise StatementFileInvalid(f"the trailer's {name} is {found[:80]!r}, the file gives {expected}", column=name)
