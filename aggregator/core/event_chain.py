"""The chain of the event log: each event's hash covers its columns and the hash of the event before it.

A row changed, removed or put in later no longer fits. Somebody who may rewrite every row can also chain them anew;
heads that were noted elsewhere (``Anchor``) still tell.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from aggregator.core.errors import FlexError

GENESIS_SHA256 = "0" * 64
CONTENT = "at, actor, organisation, action, subject, reason, before or after"

Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]


class NotCanonical(FlexError):
    code = "event_log.not_canonical"


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event, as its row holds it."""

    sequence: int
    at: datetime
    actor: str
    organisation_pk: int | None
    action: str
    subject: str
    reason: str
    before: Json
    after: Json
    previous_sha256: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event of a chain."""

    sequence: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head as it was noted outside the database on one UTC day."""

    day: date
    head: Head
    at: datetime


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain no longer holds.

    Attributes:
        sequence: the first event that is altered, missing or put in.
        column: what of it was altered, empty where that cannot be told.
    """

    sequence: int
    column: str
    message: str


NO_EVENT = Head(0, GENESIS_SHA256)


def event_sha256(row: EventRow) -> str:
    """SHA-256 over the row's canonical text: every column but the hash itself."""
    return hashlib.sha256(event_text(row).encode()).hexdigest()


def event_text(row: EventRow) -> str:
    """The row as JSON with sorted keys and no spaces, times in UTC to the microsecond, numbers by their value.

    Raises:
        NotCanonical: a time without an offset, or a number that is not finite.
    """
    if row.at.tzinfo is None:
        raise NotCanonical(f"event {row.sequence} is at {row.at.isoformat()}, expected a time with an offset")
    fields: dict[str, Json] = {
        "sequence": row.sequence,
        "at": row.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": row.actor,
        "organisation": row.organisation_pk,
        "action": row.action,
        "subject": row.subject,
        "reason": row.reason,
        "before": row.before,
        "after": row.after,
        "previous_sha256": row.previous_sha256,
    }
    try:
        return json.dumps(_by_value(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NotCanonical(f"event {row.sequence} holds what JSON has no word for: {error}") from error


def _by_value(value: Json) -> Json:
    """Write 3.0 and 3, 1e16 and its 17 digits alike: a database that keeps decimals gives one back for the other."""
    if isinstance(value, dict):
        return {key: _by_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_by_value(part) for part in value]
    return int(Decimal(repr(value))) if isinstance(value, float) and value.is_integer() else value


def chained(row: EventRow, *, head: Head) -> EventRow:
    """The row as the next one after ``head``, with its hash."""
    placed = replace(row, sequence=head.sequence + 1, previous_sha256=head.sha256)
    return replace(placed, sha256=event_sha256(placed))


def find_break(rows: Sequence[EventRow], *, head: Head, following: EventRow | None = None) -> Break | None:
    """The first place where ``rows`` do not continue the chain from ``head``; None where they do.

    Args:
        rows: by sequence, a piece of the log.
        following: the row after the piece, which says what the piece's last one was hashed to.
    """
    for row, after in zip(rows, [*rows, following][1:], strict=True):
        found = _break_at(row, head, after)
        if found:
            return found
        head = Head(row.sequence, row.sha256)
    return None


def find_anchor_break(anchor: Anchor, *, found: Head | None, head: Head) -> Break | None:
    """Whether an anchored head still is in the log that ends at ``head``; ``found`` is the event of its sequence."""
    noted = anchor.head
    if found == noted:
        return None
    if found is None:
        message = (
            f"event {noted.sequence} was anchored on {anchor.day}, but the log ends with event {head.sequence}: "
            f"events {head.sequence + 1} to {noted.sequence} are missing"
        )
        return Break(head.sequence + 1, "", message)
    message = (
        f"event {noted.sequence} has the hash {found.sha256[:12]}…, anchored on {anchor.day} as {noted.sha256[:12]}…: "
        "it or an event before it was altered and the chain written anew"
    )
    return Break(noted.sequence, "sha256", message)


def _break_at(row: EventRow, head: Head, following: EventRow | None) -> Break | None:
    expected = head.sequence + 1
    fits = event_sha256(row) == row.sha256
    if row.sequence != expected:
        return _out_of_order(row, expected)
    if fits and row.previous_sha256 == head.sha256:
        return None
    if fits:
        return _hashed_anew(row, head, following)
    column = _altered_column(row, head, following)
    said = f"its {column} was altered" if column else f"one of its {CONTENT} was altered"
    return Break(expected, column, f"event {expected} does not fit its hash: {said}")


def _out_of_order(row: EventRow, expected: int) -> Break:
    if event_sha256(replace(row, sequence=expected)) == row.sha256:
        message = f"event {expected} stands as event {row.sequence}: its sequence was altered"
        return Break(expected, "sequence", message)
    if row.sequence < expected:
        return Break(expected, "", f"event {row.sequence} was put in before event {expected}")
    last = row.sequence - 1
    missing = f"event {expected} is" if last == expected else f"events {expected} to {last} are"
    return Break(expected, "", f"{missing} missing: event {row.sequence} follows event {expected - 1}")


def _hashed_anew(row: EventRow, head: Head, following: EventRow | None) -> Break:
    """Two neighbours that each fit their own hash: the one that later events were not chained to is the altered one."""
    own = following is not None and following.previous_sha256 != row.sha256
    if own or head.sequence == 0:
        return Break(row.sequence, "", f"event {row.sequence} was altered or put in, and given a new hash")
    message = (
        f"event {head.sequence} was altered and given a new hash, or event {row.sequence} was put in: event "
        f"{row.sequence} is chained to {row.previous_sha256[:12]}…, not to {head.sha256[:12]}…"
    )
    return Break(head.sequence, "", message)


def _altered_column(row: EventRow, head: Head, following: EventRow | None) -> str:
    """Which column, where one hash over all of them lets that be told; empty otherwise."""
    if event_sha256(replace(row, previous_sha256=head.sha256)) == row.sha256:
        return "previous_sha256"
    if following is not None and following.previous_sha256 == event_sha256(row):
        return "sha256"
    return ""
