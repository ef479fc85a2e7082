"""A statement's files: the CSV as published, and every other format made of it."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from aggregator.core.errors import FlexError
from markets.core import statement as core
from markets.core.statement_file import parse_statement
from markets.files import excel, parquet, pdf
from markets.models import Statement

CSV = "csv"


class StatementAltered(FlexError):
    code = "markets.statement_altered"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format a statement can be taken away in; ``render`` is None for the bytes as published."""

    suffix: str
    title: str
    media_type: str
    render: Callable[[core.Statement], bytes] | None = None


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file as it is handed out."""

    name: str
    media_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


FORMATS = {
    one.suffix: one
    for one in (
        FileFormat(CSV, "CSV", "text/csv; charset=utf-8"),
        FileFormat("xlsx", "Excel", excel.MEDIA_TYPE, excel.render_excel),
        FileFormat("parquet", "Parquet", parquet.MEDIA_TYPE, parquet.render_parquet),
        FileFormat("pdf", "PDF", pdf.MEDIA_TYPE, pdf.render_pdf),
    )
}


def published_bytes(statement: Statement) -> bytes:
    """A statement's CSV, byte for byte as it was published.

    Raises:
        StatementAltered: the stored bytes are not those that were published.
    """
    if bytes_sha256(statement) != statement.sha256:
        raise StatementAltered(f"statement {statement.pk} is not what was published", statement=statement.pk)
    return bytes(statement.content)


def bytes_sha256(statement: Statement) -> str:
    """SHA-256 of a statement's bytes as they are stored now."""
    return hashlib.sha256(bytes(statement.content)).hexdigest()


def statement_file(*, statement: Statement, suffix: str) -> NamedFile:
    """A statement in one of ``FORMATS``; the others say what the CSV says, so they are made of it and nothing else.

    Args:
        statement: with its settlement, event, request and organisation.

    Raises:
        StatementAltered: the stored bytes are not those that were published.
    """
    wanted = FORMATS[suffix]
    content = published_bytes(statement)
    if wanted.render:
        content = wanted.render(parse_statement(content))
    return NamedFile(file_name(statement, suffix), wanted.media_type, content)


def file_name(statement: Statement, suffix: str) -> str:
    """Name a statement's file from what it states, in characters every file system takes."""
    run = statement.settlement_run
    name = f"statement_{run.event.signal.reference}_{statement.organisation.code}_v{run.version}"
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.{suffix}"
