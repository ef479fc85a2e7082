"""Requests of the control room: taken as stated, or refused with a reason."""

from datetime import UTC, datetime, timedelta
from math import isfinite

from django.db import transaction

from aggregator.arrays.network import find_node
from aggregator.core.errors import FlexError
from aggregator.models import Organisation
from dispatch.models import TargetSignal

WINDOW_STEP = timedelta(minutes=30)
LONGEST_WINDOW = timedelta(hours=24)
LONGEST_REFERENCE = 80
STATED = (
    "node",
    "starts_at",
    "ends_at",
    "direction",
    "kind",
    "target_kw",
    "shortfall_gbp_per_kwh",
    "issued_by",
)


class TargetRefused(FlexError):
    code = "dispatch.target_refused"


def receive_target(
    *,
    reference: str,
    node_code: str,
    starts_at: datetime,
    ends_at: datetime,
    direction: str,
    kind: str,
    target_kw: float,
    shortfall_gbp_per_kwh: float,
    issued_by: Organisation,
    received_at: datetime,
) -> TargetSignal:
    """Store a request; the same reference with the same content again changes nothing, however late it is repeated.

    Raises:
        UnknownNode, TargetRefused: as for ``check_target``.
    """
    asked = check_target(
        reference=reference,
        node_code=node_code,
        starts_at=starts_at,
        ends_at=ends_at,
        direction=direction,
        kind=kind,
        target_kw=target_kw,
        shortfall_gbp_per_kwh=shortfall_gbp_per_kwh,
        issued_by=issued_by,
        received_at=received_at,
    )
    if asked.pk:
        return asked
    stated = {name: getattr(asked, name) for name in STATED}
    with transaction.atomic():
        signal, is_new = TargetSignal.objects.get_or_create(
            reference=reference, defaults={**stated, "received_at": received_at}
        )
    if not is_new:
        _refuse_other_content(signal, stated)
    return signal


def check_target(
    *,
    reference: str,
    node_code: str,
    starts_at: datetime,
    ends_at: datetime,
    direction: str,
    kind: str,
    target_kw: float,
    shortfall_gbp_per_kwh: float,
    issued_by: Organisation,
    received_at: datetime,
) -> TargetSignal:
    """The request as it would be stored, without storing it; the stored one where it was received before.

    Raises:
        UnknownNode: no node has this code.
        TargetRefused: no reference, or too long a one; a window in the past, empty, off the half-hour or over 24 h; a
            target or price that is negative or not finite; an unknown direction or kind; a node of another DNO; or a
            reference that was used for something else.
    """
    _refuse_reference(reference)
    starts_at, ends_at = _window(reference, starts_at, ends_at)
    _refuse_numbers(reference, target_kw=target_kw, shortfall_gbp_per_kwh=shortfall_gbp_per_kwh)
    _refuse_words(reference, direction, kind)
    node = find_node(node_code)
    if node.organisation_id != issued_by.pk:
        raise TargetRefused(
            f"request {reference}: node {node_code} is not {issued_by.code}'s", field="node_code", value=node_code
        )
    stated = {
        "node": node,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "direction": direction,
        "kind": kind,
        "target_kw": target_kw,
        "shortfall_gbp_per_kwh": shortfall_gbp_per_kwh,
        "issued_by": issued_by,
    }
    known = TargetSignal.objects.filter(reference=reference).first()
    if known is not None:
        _refuse_other_content(known, stated)
        return known
    _refuse_past(reference, starts_at, received_at)
    return TargetSignal(reference=reference, received_at=received_at, **stated)


def _refuse_reference(reference: str) -> None:
    if not reference.strip() or len(reference) > LONGEST_REFERENCE:
        raise TargetRefused(
            f"a request needs a reference of 1 to {LONGEST_REFERENCE} characters, found {len(reference.strip())}",
            field="reference",
        )


def _window(reference: str, starts_at: datetime, ends_at: datetime) -> tuple[datetime, datetime]:
    """The window in UTC: two London times apart by the wall clock are not always that far apart."""
    for field, at in (("starts_at", starts_at), ("ends_at", ends_at)):
        if at.tzinfo is None:
            raise TargetRefused(f"request {reference}: {field} {at.isoformat()} has no offset", field=field)
        if at.astimezone(UTC).minute % 30 or at.second or at.microsecond:
            raise TargetRefused(
                f"request {reference}: {field} is {at.isoformat()}, expected a half-hour boundary", field=field
            )
    starts_at, ends_at = starts_at.astimezone(UTC), ends_at.astimezone(UTC)
    if not WINDOW_STEP <= ends_at - starts_at <= LONGEST_WINDOW:
        raise TargetRefused(
            f"request {reference}: the window {starts_at.isoformat()} to {ends_at.isoformat()} must last half an hour "
            "to 24 hours",
            field="ends_at",
        )
    return starts_at, ends_at


def _refuse_past(reference: str, starts_at: datetime, received_at: datetime) -> None:
    if starts_at <= received_at:
        raise TargetRefused(
            f"request {reference}: the window starts at {starts_at.isoformat()}, which is past at "
            f"{received_at.isoformat()}",
            field="starts_at",
            value=starts_at.isoformat(),
        )


def _refuse_numbers(reference: str, **numbers: float) -> None:
    for field, value in numbers.items():
        if not isfinite(value) or value < 0:
            raise TargetRefused(
                f"request {reference}: {field} is {value}, expected a finite number of at least 0",
                field=field,
                value=str(value),
            )


def _refuse_words(reference: str, direction: str, kind: str) -> None:
    for field, value, known in (
        ("direction", direction, TargetSignal.Direction.values),
        ("kind", kind, TargetSignal.Kind.values),
    ):
        if value not in known:
            raise TargetRefused(
                f"request {reference}: {field} is {value!r}, expected one of {', '.join(known)}",
                field=field,
                value=value,
            )


def _refuse_other_content(signal: TargetSignal, asked: dict[str, object]) -> None:
    if signal.issued_by_id != getattr(asked["issued_by"], "pk", None):
        # What another operator asked for is not told.
        raise TargetRefused(f"request {signal.reference}: the reference is taken", field="reference")
    for field, value in asked.items():
        if getattr(signal, field) != value:
            raise TargetRefused(
                f"request {signal.reference} was received with {field} {getattr(signal, field)}, now {value}; "
                "a changed request needs a reference of its own",
                field=field,
            )
