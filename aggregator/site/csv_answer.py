"""Tables people take away as CSV: text a spreadsheet would run is guarded, numbers are numbers, times are UTC."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from django.http import HttpResponse

from aggregator.core.csv_text import text_cell, write_record

Cell = str | int | float | datetime | date | None


def csv_answer(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> HttpResponse:
    """A file to download; ``name`` must be plain ASCII."""
    content = b"".join(write_record(map(cell, record)) for record in (header, *rows))
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def cell(value: Cell) -> str:
    """One value as text; only text is guarded."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return text_cell(value) if isinstance(value, str) else str(value)
