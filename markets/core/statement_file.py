"""A statement as a CSV file that an operator's loader can check alone.

Records, in order: ``HDR``; ``COL`` naming the columns of ``LIN`` and of ``PER``, each followed by ``UNI`` with their
units; for each line one ``LIN`` (the money) and one ``PER`` per settlement period (the volumes); ``TRL`` with counts,
sums and the SHA-256 of every byte before it. UTF-8, LF, decimal points, UTC times; the same statement gives the same
bytes. Format 1, without units and with other names, is read and written as it was.

Source: docs/methods/settlement.md, docs/formats.md
"""

from aggregator.core.csv_text import write_record
from markets.core.statement import InvalidStatement, Statement
from markets.core.statement_cells import Cells, StatementFileInvalid, read_records
from markets.core.statement_columns import FORMAT_VERSION, LAYOUTS, Layout
from markets.core.statement_records import (
    HDR_COLUMNS,
    TRL_COLUMNS,
    column_records,
    first_body_record,
    header_cells,
    line_cells,
    period_cells,
    read_header,
    read_lines,
    trailer_cells,
)


def render_statement(statement: Statement, *, format_version: str = FORMAT_VERSION) -> bytes:
    """Render a statement; equal statements give equal bytes.

    Args:
        format_version: a key of ``LAYOUTS``; format 1 has no place for ``evse_ref``.
    """
    layout = LAYOUTS[format_version]
    records = [header_cells(statement.header, layout), *column_records(layout)]
    for line in statement.lines:
        records.append(line_cells(line, layout))
        records.extend(period_cells(line, period, layout) for period in line.periods)
    body = b"".join(write_record(cells) for cells in records)
    return body + write_record(trailer_cells(statement, body))


def format_version_of(data: bytes) -> str:
    """Which format a statement file says it is in.

    Raises:
        StatementFileInvalid: no statement file, or a format that is not known.
    """
    return _layout(_records(data)[0]).format_version


def parse_statement(data: bytes) -> Statement:
    """Read a statement file of any format back, and check it.

    Checked in this order: encoding and line ends, header and columns, trailer and row count, each record and its
    sums, the trailer's sums, the SHA-256, and at last that the bytes are the ones ``render_statement`` writes.

    Raises:
        StatementFileInvalid: the first thing found wrong, with ``record`` (from 1) and ``column`` where it has them.
    """
    records = _records(data)
    layout = _layout(records[0])
    header = read_header(records[0], layout)
    _check_columns(records, layout)
    trailer = records[-1][1:]
    Cells(TRL_COLUMNS, trailer, record=len(records))
    body_records = records[first_body_record(layout) - 1 : -1]
    _check_total("row_count", trailer[0], str(len(body_records)))
    try:
        statement = Statement(header, tuple(read_lines(body_records, layout)))
    except InvalidStatement as error:
        raise StatementFileInvalid(f"the lines do not make a statement: {error.message}") from error
    body = data[: data[:-1].rfind(b"\n") + 1]
    for name, found, expected in zip(TRL_COLUMNS, trailer, trailer_cells(statement, body)[1:], strict=True):
        _check_total(name, found, expected)
    if render_statement(statement, format_version=layout.format_version) != data:
        raise StatementFileInvalid("counts, sums and SHA-256 hold, but the file is not in its one canonical spelling")
    return statement


def in_format_of(published: bytes, made: bytes) -> bytes:
    """A file made now in the format of one published before, so that the two can be compared.

    As it is where the published one is not of a known format: then they differ anyway.
    """
    try:
        format_version = format_version_of(published)
    except StatementFileInvalid:
        return made
    return render_statement(parse_statement(made), format_version=format_version)


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


def _layout(header: list[str]) -> Layout:
    return LAYOUTS[Cells(HDR_COLUMNS, header[1:], record=1).one_of("format_version", *LAYOUTS)]


def _check_columns(records: list[list[str]], layout: Layout) -> None:
    for number, columns in enumerate(column_records(layout), start=2):
        if len(records) <= number or records[number - 1] != columns:
            what = "name" if columns[0] == "COL" else "give the units of"
            raise StatementFileInvalid(
                f"record {number} must {what} the {columns[1]} columns of format {layout.format_version}", record=number
            )


def _check_total(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise StatementFileInvalid(f"the trailer's {name} is {found[:80]!r}, the file gives {expected}", column=name)
