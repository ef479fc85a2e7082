"""Change what a DSRSP states of its own EVSEs, and end its enrolments."""

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from aggregator.core.errors import FlexError
from aggregator.core.fleet_size import KW_PER_MW
from aggregator.core.registration import KW_PER_AMPERE
from aggregator.models import EVSE, Enrolment, Organisation
from aggregator.services.caps import ROUNDING_KW, committed_kw, lock_cap
from aggregator.services.event_log import record_event


class NotInForce(FlexError):
    code = "fleet.not_in_force"


class RatingTooLow(FlexError):
    code = "fleet.rating_too_low"


class AboveCap(FlexError):
    code = "fleet.cap_exceeded"


class EnrolmentEndRefused(FlexError):
    code = "enrolment.end_refused"


def lock_evse(*, organisation: Organisation, pseudonym: str, now: datetime) -> EVSE:
    """The EVSE to change, locked; call it in a transaction, as the platform.

    The cap is locked before it, in the order a registration locks them.

    Raises:
        NotInForce: it is not enrolled with the organisation now.
    """
    lock_cap()
    in_force = Enrolment.objects.across_tenants().filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=now), dsrsp=organisation, starts_at__lte=now
    )
    evses = EVSE.objects.across_tenants().filter(pseudonym=pseudonym, pk__in=in_force.values("evse"))
    evse = evses.select_related("node").select_for_update(of=("self",)).first()
    if evse is None:
        raise NotInForce(f"{pseudonym} is not enrolled with {organisation.code} at {now.isoformat()}", evse=pseudonym)
    return evse


def change_evse(*, evse: EVSE, organisation: Organisation, changes: Mapping[str, object], now: datetime) -> None:
    """Change what is stated of a locked EVSE and note it in the event log; what stays the same is no change.

    Args:
        changes: any of ``rated_kw``, ``scenario``, ``firmware`` and ``delay_max_s``.

    Raises:
        RatingTooLow: its smallest current is more than the rating.
        AboveCap: all enrolled EVSEs together would be above the cap on controllable power.
    """
    before = {name: getattr(evse, name) for name in changes if getattr(evse, name) != changes[name]}
    if not before:
        return
    after = {name: changes[name] for name in before}
    before_kw = committed_kw(now=now)
    for name, value in after.items():
        setattr(evse, name, value)
    min_kw = evse.min_current_a * KW_PER_AMPERE * evse.phases
    if min_kw > evse.rated_kw + 1e-9:
        raise RatingTooLow(
            f"{evse.pseudonym}: {evse.min_current_a:g} A on {evse.phases} phases is {min_kw:.2f} kW, "
            f"above the rating of {evse.rated_kw:g} kW",
            field="rated_kw",
        )
    evse.save(update_fields=sorted(after))
    after_kw, cap_kw = committed_kw(now=now), settings.CONTROLLABLE_CAP_MW * KW_PER_MW
    if after_kw > cap_kw + ROUNDING_KW and after_kw > before_kw + ROUNDING_KW:
        raise AboveCap(
            f"{evse.pseudonym} with {evse.rated_kw:g} kW would take the controllable power to "
            f"{after_kw / KW_PER_MW:.3f} MW, expected at most {settings.CONTROLLABLE_CAP_MW:g} MW",
            field="rated_kw",
        )
    record_event(
        action="evse.changed",
        subject=f"EVSE {evse.pseudonym}",
        organisation=organisation,
        before=before,
        after=after,
        at=now,
    )


def lock_enrolment(*, organisation: Organisation, enrolment_pk: int) -> Enrolment:
    """The organisation's enrolment to change, locked; call it in a transaction, as the platform."""
    own = Enrolment.objects.across_tenants().filter(dsrsp=organisation).select_related("evse", "dsrsp")
    return own.select_for_update(of=("self",)).get(pk=enrolment_pk)


def end_enrolment(*, enrolment: Enrolment, ends_at: datetime, now: datetime) -> None:
    """End a locked enrolment and note it in the event log; the past stays as it was.

    Raises:
        EnrolmentEndRefused: the end is before now or the enrolment's start, or after the end it has.
    """
    earliest = max(now, enrolment.starts_at)
    stands_until = enrolment.ends_at
    if ends_at == stands_until:
        return
    if ends_at < earliest or ends_at <= enrolment.starts_at or (stands_until and ends_at > stands_until):
        until = stands_until.isoformat() if stands_until else "any later time"
        raise EnrolmentEndRefused(
            f"asked to end at {ends_at.isoformat()}, expected {earliest.isoformat()} to {until}", field="ends_at"
        )
    enrolment.ends_at = ends_at
    enrolment.save(update_fields=["ends_at"])
    record_event(
        action="enrolment.ended",
        subject=f"enrolment {enrolment.pk} of {enrolment.evse.pseudonym}",
        organisation=enrolment.dsrsp,
        before={"ends_at": stands_until},
        after={"ends_at": ends_at},
        at=now,
    )
