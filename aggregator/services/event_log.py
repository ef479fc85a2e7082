"""Keep the event log: who did what to what, why, and how it was before and after."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from aggregator.core.event_chain import (
    NO_EVENT,
    Anchor,
    Break,
    EventRow,
    Head,
    Json,
    chained,
    find_anchor_break,
    find_break,
)
from aggregator.models import Event, Organisation, actor, as_platform
from aggregator.services.anchors import AnchorsUnreadable, append_anchor, read_anchors
from aggregator.services.turns import take_turn

ROWS_A_PIECE = 2_000
LONGEST = {"actor": 200, "action": 60, "subject": 200, "reason": 500}
COLUMNS = (
    "sequence",
    "at",
    "actor",
    "organisation_id",
    "action",
    "subject",
    "reason",
    "before",
    "after",
    "previous_sha256",
    "sha256",
)


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a walk through the whole log found.

    Attributes:
        broken: the first event that is altered, missing or put in; None where the log is intact.
    """

    n_event: int
    n_anchor: int
    head: Head
    broken: Break | None

    @property
    def is_intact(self) -> bool:
        return self.broken is None


def record_event(
    *,
    action: str,
    subject: str,
    organisation: Organisation | None = None,
    reason: str = "",
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    at: datetime,
) -> Event:
    """Add one event to the log, in the transaction of what it records; the actor is ``acting.actor()``.

    Call it last in that transaction: from here to its end nobody else can add an event. Texts too long for their
    column are cut, and characters a database cannot keep are replaced, so that no event is lost for its wording.

    Args:
        subject: what it was done to, as a kind and a name: ``node F1``, ``product su v2``.
        before, after: the facts that changed; dates and Decimals are kept as text.

    Raises:
        NotCanonical: ``at`` has no offset, or a number is not finite.
    """
    row = EventRow(
        sequence=0,
        at=at,
        actor=_text("actor", actor()),
        organisation_pk=organisation.pk if organisation else None,
        action=_text("action", action),
        subject=_text("subject", subject),
        reason=_text("reason", reason),
        before=_as_json(before),
        after=_as_json(after),
        previous_sha256="",
    )
    # The log is one chain for all tenants, so whoever acts, its end must be seen and added to.
    with transaction.atomic(), as_platform():
        take_turn("event log")
        row = chained(row, head=log_head())
        event = Event(
            sequence=row.sequence,
            at=row.at,
            actor=row.actor,
            organisation=organisation,
            action=row.action,
            subject=row.subject,
            reason=row.reason,
            before=row.before,
            after=row.after,
            previous_sha256=row.previous_sha256,
            sha256=row.sha256,
        )
        event.save(force_insert=True)
    return event


def log_head() -> Head:
    """The newest event of all; sequence 0 where there is none."""
    newest = Event.objects.across_tenants().order_by("-sequence").values_list("sequence", "sha256").first()
    return Head(*newest) if newest else NO_EVENT


def verify_events() -> LogReport:
    """Walk the whole log, a piece at a time, and hold it against the anchors noted outside the database.

    Raises:
        AnchorsUnreadable: the file of anchors is not what ``anchor_events`` writes.
    """
    anchors = read_anchors(settings.EVENT_ANCHOR_FILE)
    head, n_event, heads = NO_EVENT, 0, {}
    wanted = {anchor.head.sequence for anchor in anchors}
    with as_platform():
        for rows, following in _pieces():
            broken = find_break(rows, head=head, following=following)
            if broken:
                return LogReport(n_event + len(rows), len(anchors), head, broken)
            heads.update({row.sequence: Head(row.sequence, row.sha256) for row in rows if row.sequence in wanted})
            head, n_event = Head(rows[-1].sequence, rows[-1].sha256), n_event + len(rows)
    broken = _anchors_broken(anchors, heads, head)
    return LogReport(n_event, len(anchors), head, broken)


def anchor_events(*, now: datetime) -> Anchor | None:
    """Note the log's head outside the database, once a UTC day; asked again that day, give back what was noted.

    Returns:
        None while there is no event.

    Raises:
        AnchorsUnreadable: the file of anchors is not what this function writes.
    """
    with transaction.atomic(), as_platform():
        take_turn("event anchors")
        noted = [anchor for anchor in read_anchors(settings.EVENT_ANCHOR_FILE) if anchor.day == now.date()]
        if noted:
            return noted[-1]
        head = log_head()
        if head == NO_EVENT:
            return None
        anchor = Anchor(day=now.date(), head=head, at=now)
        append_anchor(settings.EVENT_ANCHOR_FILE, anchor)
        return anchor


def newest_anchor() -> Anchor | None:
    """The head noted last outside the database; None where none was, or where the notes can't be read."""
    try:
        anchors = read_anchors(settings.EVENT_ANCHOR_FILE)
    except AnchorsUnreadable:
        return None
    return anchors[-1] if anchors else None


def anchor_events_job(*, now: datetime) -> dict[str, object]:
    """Do the job kind ``anchor_events``."""
    anchor = anchor_events(now=now)
    return {"sequence": anchor.head.sequence, "sha256": anchor.head.sha256} if anchor else {}


def _anchors_broken(anchors: tuple[Anchor, ...], heads: Mapping[int, Head], head: Head) -> Break | None:
    """The break at the lowest sequence that any anchor tells of."""
    broken = [find_anchor_break(anchor, found=heads.get(anchor.head.sequence), head=head) for anchor in anchors]
    return min((one for one in broken if one), key=lambda one: one.sequence, default=None)


def _pieces() -> Iterator[tuple[list[EventRow], EventRow | None]]:
    """The log in pieces of up to ``ROWS_A_PIECE``, each with the row after it."""
    after = -(2**62)  # rows numbered below 1 can only have been put in; they are found too
    while True:
        found = Event.objects.across_tenants().filter(sequence__gt=after).order_by("sequence")
        rows = [EventRow(*values) for values in found.values_list(*COLUMNS)[: ROWS_A_PIECE + 1]]
        if not rows:
            return
        piece, following = rows[:ROWS_A_PIECE], rows[ROWS_A_PIECE:]
        yield piece, following[0] if following else None
        after = piece[-1].sequence


def _text(column: str, text: str) -> str:
    kept = _keepable(text)
    return kept if len(kept) <= LONGEST[column] else kept[: LONGEST[column] - 1] + "…"


def _as_json(facts: Mapping[str, object] | None) -> Json:
    """The facts as the row gives them back."""
    if facts is None:
        return None
    plain: Json = json.loads(json.dumps(dict(facts), cls=DjangoJSONEncoder))
    return _keepable_json(plain)


def _keepable_json(value: Json) -> Json:
    if isinstance(value, str):
        return _keepable(value)
    if isinstance(value, dict):
        return {_keepable(key): _keepable_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_keepable_json(part) for part in value]
    return value


def _keepable(text: str) -> str:
    """The text without what PostgreSQL cannot keep: NUL, and half a surrogate pair."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
