"""Findings as rows."""

import json
from collections.abc import Iterable
from datetime import datetime

from aggregator.arrays.copy_in import copy_into
from aggregator.core.errors import Detail
from aggregator.core.findings import FindingNote
from aggregator.models import Finding, Organisation

COLUMNS = ("code", "severity", "subject", "message", "details", "source", "noticed_at", "organisation_id")
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
    n_fresh, owner = 0, organisation.pk if organisation else None
    with copy_into(table="aggregator_finding", columns=COLUMNS) as copy:
        for note in notes:
            key = _key(note.code, note.subject, note.details)
            if key not in known:
                known.add(key)
                copy.write_row((*_row(note), source, noticed_at, owner))
                n_fresh += 1
    return n_fresh


def _key(code: str, subject: str, details: dict[str, Detail]) -> str:
    return json.dumps([code, subject, details], sort_keys=True)


def _row(note: FindingNote) -> tuple[str, ...]:
    subject, message = _within(note.subject, LONGEST_SUBJECT), _within(note.message, LONGEST_MESSAGE)
    return note.code, note.severity, subject, message, json.dumps(note.details)


def _within(text: str, longest: int) -> str:
    """Cut what is too long for its column, visibly."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
