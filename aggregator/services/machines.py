"""API clients of an organisation: registered with a secret told once, and revoked at once."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from oauth2_provider.generators import generate_client_id
from oauth2_provider.models import get_application_model

from aggregator.core.errors import FlexError
from aggregator.core.permissions import SCOPES, scope_actions
from aggregator.models import MachineClient, Organisation
from aggregator.services.event_log import record_event

LONGEST_NAME = 100


class MachineNameRefused(FlexError):
    code = "machines.name_refused"


class ScopesRefused(FlexError):
    code = "machines.scopes_refused"


class NoSuchMachine(FlexError):
    code = "machines.unknown"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client names itself with. The secret is kept nowhere but with the client."""

    client_id: str
    secret: str


def usable_scopes(organisation_kind: str) -> dict[str, str]:
    """What scopes say, of those that an organisation of this kind can use at all."""
    return {name: said for name, (said, _) in SCOPES.items() if scope_actions(frozenset({name}), organisation_kind)}


def register_machine(
    *,
    organisation: Organisation,
    name: str,
    scopes: Collection[str],
    now: datetime,
    known: Credentials | None = None,
) -> Credentials:
    """Make an API client that acts for ``organisation`` within ``scopes``.

    Args:
        known: credentials to take instead of new ones, for a demo that is set up again.

    Returns:
        Its credentials, told this once.

    Raises:
        MachineNameRefused: empty, too long, or another client of the organisation has it.
        ScopesRefused: none, unknown, or such as the organisation's kind can never use.
    """
    _check_scopes(organisation, scopes)
    credentials = known or Credentials(client_id=generate_client_id(), secret=secrets.token_urlsafe(32))
    model = get_application_model()
    with transaction.atomic():
        Organisation.objects.select_for_update().get(pk=organisation.pk)  # two of one name: one wins
        _check_name(organisation, name)
        application = model.objects.create(
            name=name,
            client_id=credentials.client_id,
            client_secret=credentials.secret,  # hashed as it is stored
            client_type=model.CLIENT_CONFIDENTIAL,
            authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS,
        )
        MachineClient.objects.create(
            application=application, organisation=organisation, scopes=sorted(scopes), created_at=now
        )
        record_event(
            action="machine.registered",
            subject=f"machine {credentials.client_id}",
            organisation=organisation,
            after={"name": name, "scopes": sorted(scopes)},
            at=now,
        )
    return credentials


def revoke_machine(*, organisation: Organisation, client_id: str, now: datetime) -> str:
    """End an API client of the organisation; its tokens open nothing from here on.

    Returns:
        Its name.

    Raises:
        NoSuchMachine: the organisation has no such client.
    """
    with transaction.atomic():
        machine = (
            MachineClient.objects.select_related("application")
            .filter(organisation=organisation, application__client_id=client_id)
            .first()
        )
        if machine is None:
            raise NoSuchMachine(f"{organisation.code} has no API client {client_id}")
        name: str = machine.application.name
        scopes = list(machine.scopes)
        machine.application.delete()  # and with it, by the database, the client and every token
        record_event(
            action="machine.revoked",
            subject=f"machine {client_id}",
            organisation=organisation,
            before={"name": name, "scopes": scopes},
            at=now,
        )
    return name


def _check_scopes(organisation: Organisation, scopes: Collection[str]) -> None:
    usable = usable_scopes(organisation.kind)
    refused = sorted(set(scopes) - usable.keys())
    if refused or not scopes:
        asked = ", ".join(refused) or "none"
        raise ScopesRefused(f"{organisation.code} can use the scopes {', '.join(sorted(usable))}; asked: {asked}")


def _check_name(organisation: Organisation, name: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise MachineNameRefused(f"a client's name has 1 to {LONGEST_NAME} characters that can be shown")
    if MachineClient.objects.filter(organisation=organisation, application__name=name).exists():
        raise MachineNameRefused(f"{organisation.code} has an API client {name!r} already")
