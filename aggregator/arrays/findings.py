"""Findings as rows."""

import json
from collections.abc import Iterable
from datetime import datetime

from aggregator.core.errors import Detail
from aggregator.core.findings import FindingNote
from aggregator.models import Finding, Organisation

ROWS_A_STATEMENT = 2_000
LONGEST_SUBJECT = 200
LONGEST_MESSAGE = 500


def store_findings(
    *, notes: Iterable[FindingNote], source: str, noticed_at: datetime, organisation: Organisation | None = None
) -> int:
    """Store findings of one source and return how many were new: what this source already noted stays one row."""
    known = {
        _key(code, subject, details)
        for code, subject, details in Finding.objects.across_tenants()
        .filter(source=source)
        .values_list("code", "subject", "details")
        .iterator()
    }
    fresh: dict[str, Finding] = {}
    for note in notes:
        key = _key(note.code, note.subject, note.details)
        if key not in known:
            fresh.setdefault(key, _row(note, source, noticed_at, organisation))
    Finding.objects.across_tenants().bulk_create(list(fresh.values()), batch_size=ROWS_A_STATEMENT)
    return len(fresh)


def _key(code: str, subject: str, details: dict[str, Detail]) -> str:
    return json.dumps([code, subject, details], sort_keys=True)


def _row(note: FindingNote, source: str, noticed_at: datetime, organisation: Organisation | None) -> Finding:
    return Finding(
        code=note.code,
        severity=note.severity,
        subject=_within(note.subject, LONGEST_SUBJECT),
        message=_within(note.message, LONGEST_MESSAGE),
        details=note.details,
        source=source,
        organisation=organisation,
        noticed_at=noticed_at,
    )


def _within(text: str, longest: int) -> str:
    """Cut what is too long for its column, visibly."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
