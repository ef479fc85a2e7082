"""What the event log keeps of people's comings and goings."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from aggregator.models import Event, known_as
from aggregator.queries import memberships_of
from aggregator.services.event_log import record_event

UNKNOWN = "an unknown name"


def record_of_person(
    *,
    action: str,
    user: User,
    at: datetime,
    by_themselves: bool = True,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> Event:
    """Record an act on a person's log-in, in the log of the organisation they act for first.

    Args:
        by_themselves: the person is who acts, also where the session does not know them yet; else ``acting.actor()``.
    """
    membership = memberships_of(user).first()
    who = known_as(f"person:{user.get_username()}") if by_themselves else nullcontext()
    with who, transaction.atomic():
        return record_event(
            action=action,
            subject=f"person {user.get_username()}",
            organisation=membership.organisation if membership else None,
            before=before,
            after=after,
            at=at,
        )


def record_refusal(*, action: str, username: str, address: str, at: datetime) -> Event:
    """Record a failed log-in or a lock-out.

    A name nobody has is not kept: it may be a password typed into the wrong field, and the log is never erased.
    """
    user = get_user_model().objects.filter(username=username).first()
    facts = {"address": address}
    if user is not None:
        return record_of_person(action=action, user=user, at=at, by_themselves=False, after=facts)
    with transaction.atomic():
        return record_event(action=action, subject=f"person {UNKNOWN}", after=facts, at=at)
