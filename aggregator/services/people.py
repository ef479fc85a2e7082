"""People and their roles: who may give and take them, and what must never happen to an organisation's last admin."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.core.permissions import KIND_ROLES, Action, Role, role_actions
from aggregator.models import Membership, Organisation
from aggregator.services.event_log import record_event

LONGEST_NAME = 150


class NoSuchPerson(FlexError):
    code = "people.unknown"


class PersonNameRefused(FlexError):
    code = "people.name_refused"


class RoleRefused(FlexError):
    code = "people.role_refused"


class OwnRole(FlexError):
    code = "people.own_role"


class NotYourOrganisation(FlexError):
    code = "people.not_your_organisation"


class LastAdmin(FlexError):
    code = "people.last_admin"


@dataclass(frozen=True, slots=True)
class Manager:
    """Who gives or takes a role, acting for which organisation; the command line is None instead."""

    user_pk: int
    organisation: Organisation


def may_manage(manager: Organisation, organisation: Organisation) -> bool:
    """Whether people acting for ``manager`` may give and take roles, and register clients, of ``organisation``."""
    return manager.pk == organisation.pk or manager.kind == Organisation.Kind.PLATFORM


def find_person(username: str) -> User:
    """Who logs in under this name.

    Raises:
        NoSuchPerson: nobody.
    """
    user = get_user_model().objects.filter(username=username).first() if "\x00" not in username else None
    if user is None:
        raise NoSuchPerson(f"nobody logs in as {username!r}")
    return user


def give_role(
    *, username: str, organisation: Organisation, role: str, manager: Manager | None, now: datetime
) -> Membership:
    """Make a person act for an organisation in a role, or change the role they have.

    Raises:
        NotYourOrganisation, OwnRole: what a manager may not do.
        NoSuchPerson: nobody logs in under this name.
        RoleRefused: the organisation's kind does not have this role.
        LastAdmin: nobody would be left to manage the organisation's people.
    """
    if role not in KIND_ROLES[organisation.kind]:
        raise RoleRefused(f"roles of {organisation.code} are {', '.join(KIND_ROLES[organisation.kind])}; asked: {role}")
    user = _person(username, organisation, manager)
    with transaction.atomic():
        present = _membership(user, organisation)
        before = {"role": present.role} if present else None
        if present and present.role != role:
            _check_not_last(present, organisation, new_role=role)
        given, _ = Membership.objects.update_or_create(user=user, organisation=organisation, defaults={"role": role})
        if before != {"role": role}:
            record_event(
                action="role.given",
                subject=f"person {username}",
                organisation=organisation,
                before=before,
                after={"role": role},
                at=now,
            )
    return given


def take_role(*, username: str, organisation: Organisation, manager: Manager | None, now: datetime) -> None:
    """End a person's membership; their sessions act for the organisation no more, from their next request.

    Raises:
        NotYourOrganisation, OwnRole: what a manager may not do.
        NoSuchPerson: nobody of this name acts for the organisation.
        LastAdmin: nobody would be left to manage the organisation's people.
    """
    user = _person(username, organisation, manager)
    with transaction.atomic():
        present = _membership(user, organisation)
        if present is None:
            raise NoSuchPerson(f"{username} does not act for {organisation.code}")
        _check_not_last(present, organisation, new_role="")
        present.delete()
        record_event(
            action="role.taken",
            subject=f"person {username}",
            organisation=organisation,
            before={"role": present.role},
            at=now,
        )


def make_person(*, username: str, organisation: Organisation | None, now: datetime) -> tuple[User, str]:
    """Make a log-in under a new name; its second factor is set up at the first log-in.

    Args:
        organisation: whose event log tells of it.

    Returns:
        The person, and a password told this once.

    Raises:
        PersonNameRefused: somebody has the name, or it holds more than letters, digits and @.+-_.
    """
    model = get_user_model()
    try:
        model.username_validator(username)
    except ValidationError:
        raise PersonNameRefused("a user name holds letters, digits and @ . + - _ only") from None
    if len(username) > LONGEST_NAME or model.normalize_username(username) != username:
        raise PersonNameRefused(f"a user name has up to {LONGEST_NAME} characters, each in its common form")
    password = secrets.token_urlsafe(16)
    with transaction.atomic():
        user = model(username=username)
        user.set_password(password)
        if model.objects.filter(username__iexact=username).exists():
            raise PersonNameRefused(f"somebody logs in as {username} already, in these or other capitals")
        user.save()
        record_event(action="person.made", subject=f"person {username}", organisation=organisation, at=now)
    return user, password


def _person(username: str, organisation: Organisation, manager: Manager | None) -> User:
    if manager and not may_manage(manager.organisation, organisation):
        raise NotYourOrganisation(f"{manager.organisation.code} does not manage the people of {organisation.code}")
    user = find_person(username)
    if manager and manager.user_pk == user.pk:
        raise OwnRole("one's own role is given and taken by somebody else")
    return user


def _membership(user: User, organisation: Organisation) -> Membership | None:
    """What the person is there now; the organisation is locked, so that two admins cannot remove each other."""
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    return Membership.objects.filter(user=user, organisation=organisation).first()


def _check_not_last(leaving: Membership, organisation: Organisation, *, new_role: str) -> None:
    def manages(role: str) -> bool:
        return bool(role) and Action.MANAGE_PEOPLE in role_actions(Role(role), organisation.kind)

    if not manages(leaving.role) or manages(new_role):
        return
    others = Membership.objects.filter(organisation=organisation, user__is_active=True).exclude(pk=leaving.pk)
    if not any(manages(role) for role in others.values_list("role", flat=True)):
        raise LastAdmin(f"{leaving.user} is the last who can manage the people of {organisation.code}")
