"""Take in charging sessions: the sound and the odd but usable are stored, the rest is set aside and counted."""

from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.enrolments import NOT_ENROLLED, dsrsp_at
from aggregator.arrays.sessions import compare_sessions, match_evses, store_sessions
from aggregator.core.errors import FlexError
from aggregator.core.intervals import to_datetime64
from aggregator.core.session_rows import SessionRows, classify_rows, notes_of_classes, notes_of_evses, notes_of_rows
from aggregator.core.sessions import ImpossibleSession
from aggregator.core.types import TimeArray
from aggregator.models import CSMS, Batch, Organisation
from aggregator.services.batches import IngestResult, close_batch, lock_ingest, open_batch

UNKNOWN = -1


class UnknownCsms(FlexError):
    code = "session.unknown_csms"


def ingest_sessions(
    *,
    organisation: Organisation,
    source: str,
    sha256: str,
    received_at: datetime,
    rows: SessionRows,
    csms_code: str | None = None,
    backfill: bool = False,
) -> IngestResult:
    """Store sessions; each belongs to the DSRSP its EVSE was enrolled with at plug-in.

    A session is known by EVSE, connector, reference and plug-in: again and alike it is a duplicate, again with another
    end or energy a finding, and the stored one stays.

    Args:
        organisation: who delivers.
        received_at: when the rows became known to us.
        csms_code: whose ids the rows name their EVSEs by; None searches all CSMSs.
        backfill: state that each session was known when it ended, if that was earlier.

    Raises:
        ImpossibleSession: an energy that is none, or too many impossible ones; the message names the line.
        AmbiguousEvse: two CSMSs have an EVSE of this id, and none was named.
        UnknownCsms: no CSMS has this code.
    """
    if csms_code is not None and not CSMS.objects.filter(code=csms_code).exists():
        raise UnknownCsms(f"no CSMS has the code {csms_code!r}", csms=csms_code)
    match = match_evses(refs=rows.evse_refs, csms_code=csms_code)
    try:
        classified = classify_rows(rows, rated_kw=match.rated_kw)
    except ImpossibleSession as error:
        raise _by_line(error, rows, source) from error
    is_named = rows.evse_refs != ""
    is_unknown = is_named & (match.evse_pks == UNKNOWN)
    organisation_pks = dsrsp_at(evse_pks=match.evse_pks, at=rows.plug_in_at)
    is_unenrolled = is_named & ~is_unknown & (organisation_pks == NOT_ENROLLED)
    is_usable = classified.is_kept & ~is_unknown & ~is_unenrolled
    with transaction.atomic():
        lock_ingest(organisation)
        batch, is_replay = open_batch(
            kind=Batch.Kind.SESSIONS, organisation=organisation, source=source, sha256=sha256, received_at=received_at
        )
        known = compare_sessions(rows=rows, evse_pks=match.evse_pks, chosen=is_usable)
        n_new = store_sessions(
            batch_pk=batch.pk,
            rows=rows,
            chosen=is_usable & ~known.is_known,
            evse_pks=match.evse_pks,
            organisation_pks=organisation_pks,
            received_at=_known_at(rows, received_at, backfill=backfill),
        )
        differs = is_usable & known.is_known & ~known.is_same
        n_quarantined = int((~is_usable | differs).sum())
        result = IngestResult(
            batch=batch,
            n_accepted=n_new,
            n_duplicate=len(rows) - n_new - n_quarantined,
            n_quarantined=n_quarantined,
            findings=(
                *notes_of_classes(rows, classified),
                *notes_of_evses(rows, is_unknown, "session.unknown_evse"),
                *notes_of_evses(rows, is_unenrolled, "session.not_enrolled"),
                *notes_of_rows(rows, differs, "session.differs"),
            ),
        )
        return close_batch(result, noticed_at=received_at, is_replay=is_replay)


def _by_line(error: ImpossibleSession, rows: SessionRows, source: str) -> ImpossibleSession:
    """The same refusal, with the line of the source in place of the row."""
    facts = error.details
    line = int(rows.lines[int(facts["row"] or 0)])
    return ImpossibleSession(
        f"{source}: line {line}, column {facts['field']}: found {facts['value']}, expected {facts['expected']}",
        **{**facts, "line": line},
    )


def _known_at(rows: SessionRows, received_at: datetime, *, backfill: bool) -> TimeArray:
    """(n_row,) when each row became known."""
    arrived = np.full(len(rows), to_datetime64(received_at))
    return np.fmin(arrived, rows.plug_out_at.astype("datetime64[us]")) if backfill else arrived
