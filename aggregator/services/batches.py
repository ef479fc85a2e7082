"""Deliveries of facts: each is one batch, and the same content again is the same batch."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from aggregator.arrays.findings import store_findings
from aggregator.core.findings import FindingNote, count_by_code
from aggregator.models import Batch, Organisation

PLATFORM = "platform"
LONGEST_SOURCE = 300
LOCK_SPACE = int.from_bytes(hashlib.sha256(b"aggregator ingest").digest()[:4], "big", signed=True)


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a delivery: accepted + duplicate + quarantined is what was delivered.

    Attributes:
        n_accepted: stored; ``n_revised`` of them replace another value known before.
        n_duplicate: known already, so nothing was written for them.
        n_quarantined: set aside; each is among the findings.
        findings: every oddity, kept or set aside.
    """

    batch: Batch
    n_accepted: int
    n_duplicate: int
    n_quarantined: int
    n_revised: int = 0
    findings: tuple[FindingNote, ...] = field(default=())

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.n_accepted,
            "revised": self.n_revised,
            "duplicate": self.n_duplicate,
            "quarantined": self.n_quarantined,
        }


def platform_organisation() -> Organisation:
    """The organisation deliveries belong to that are nobody's own; made on first use."""
    return Organisation.objects.get_or_create(
        code=PLATFORM, defaults={"name": "Platform", "kind": Organisation.Kind.PLATFORM}
    )[0]


def lock_ingest(organisation: Organisation) -> None:
    """Let one delivery of an organisation write at a time, until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_SPACE, organisation.pk])


def open_batch(
    *, kind: Batch.Kind, organisation: Organisation, source: str, sha256: str, received_at: datetime, part: str = ""
) -> tuple[Batch, bool]:
    """The batch of this content, and whether it was delivered before. Take ``lock_ingest`` first.

    Args:
        part: what of the content is meant, or how it is read, where that can differ (a column, a backfill).
    """
    suffix = f" [{part}]" if part else ""
    same = Batch.objects.filter(kind=kind, organisation=organisation, sha256=sha256)
    known = (
        (same.filter(source__endswith=suffix) if part else same.exclude(source__endswith="]")).order_by("pk").first()
    )
    if known:
        return known, True
    stated = source[: LONGEST_SOURCE - len(suffix)].rstrip("]") + suffix
    batch = Batch(kind=kind, organisation=organisation, source=stated, sha256=sha256, received_at=received_at)
    batch.save()
    return batch, False


def close_batch(result: IngestResult, *, noticed_at: datetime, is_replay: bool) -> IngestResult:
    """Store the findings of a delivery and, the first time, its counts."""
    batch = result.batch
    store_findings(
        notes=result.findings, source=f"batch:{batch.pk}", noticed_at=noticed_at, organisation=batch.organisation
    )
    if not is_replay:
        batch.counts = {**result.counts(), "findings": count_by_code(result.findings)}
        batch.save(update_fields=["counts"])
    return result
