"""The demo's organisations, the people who log in for them and their API clients; secrets are made on this machine."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from aggregator.core.errors import FlexError
from aggregator.models import MachineClient, Membership, Organisation
from aggregator.services.batches import PLATFORM, platform_organisation
from aggregator.services.machines import Credentials, register_machine, revoke_machine, usable_scopes
from aggregator.services.second_factor import replace_recovery_codes
from markets.services.demo_file import DemoFile, LogIn, client_id_of, read_demo_file, secret_of, write_demo_file

DNO, MARKET = "northmoor-networks", "moorside-market"
ORGANISATIONS = (
    (DNO, "Northmoor Networks", Organisation.Kind.DNO),
    ("amber-vale", "Amber Vale Flexibility", Organisation.Kind.DSRSP),
    ("tern-hollow", "Tern Hollow Energy", Organisation.Kind.DSRSP),
    (MARKET, "Moorside Flexibility Market", Organisation.Kind.MARKET_OPERATOR),
)
WITH_CLIENT = ("amber-vale", "tern-hollow", DNO)
N_RECOVERY_CODE = 5


class NoSuchDemoPerson(FlexError):
    code = "demo.no_such_person"


@dataclass(frozen=True, slots=True)
class DemoPerson:
    name: str
    role: Membership.Role
    organisation: str


PEOPLE = (
    DemoPerson("amber.operator", Membership.Role.OPERATOR, "amber-vale"),
    DemoPerson("tern.operator", Membership.Role.OPERATOR, "tern-hollow"),
    DemoPerson("amber.admin", Membership.Role.ADMIN, "amber-vale"),
    DemoPerson("northmoor.control", Membership.Role.CONTROL_ROOM_OPERATOR, DNO),
    DemoPerson("northmoor.supervisor", Membership.Role.CONTROL_ROOM_SUPERVISOR, DNO),
    DemoPerson("moorside.market", Membership.Role.MARKET_OPERATOR, MARKET),
    DemoPerson("moorside.second", Membership.Role.MARKET_OPERATOR, MARKET),
    DemoPerson("platform.admin", Membership.Role.PLATFORM_ADMIN, PLATFORM),
    DemoPerson("auditor", Membership.Role.AUDITOR, PLATFORM),
)


def register_demo_organisations() -> dict[str, Organisation]:
    """The demo's organisations by code, made where they are missing; the platform's own is among them."""
    made = [
        Organisation.objects.get_or_create(code=code, defaults={"name": name, "kind": kind})[0]
        for code, name, kind in ORGANISATIONS
    ]
    return {organisation.code: organisation for organisation in (*made, platform_organisation())}


def seed_log_ins(*, organisations: Mapping[str, Organisation], path: Path, now: datetime) -> int:
    """Give each demo person a log-in with a second factor, and write them to ``path``, readable by its owner only.

    What ``path`` holds is kept, also for a new database; what nobody knows any more is made anew. API clients of the
    DSRSPs and the DNO stand in the same file.

    Returns:
        Log-ins made or renewed.
    """
    known = read_demo_file(path)
    kept = _completed(known)
    with transaction.atomic():
        n_set = sum(
            _log_in(person, kept.people[person.name], known.people.get(person.name), organisations[person.organisation])
            for person in PEOPLE
        )
        for code in WITH_CLIENT:
            _client(organisations[code], kept.clients[code], is_known=code in known.clients, now=now)
    if kept != known:
        roles = {one.name: f"{one.role.label}, {organisations[one.organisation].name}" for one in PEOPLE}
        names = {code: organisation.name for code, organisation in organisations.items()}
        write_demo_file(path, kept, roles=roles, organisations=names)
    return n_set


def demo_code(*, name: str, path: Path, now: datetime) -> tuple[str, int]:
    """The code a demo person's authenticator shows now, and for how many seconds still.

    Raises:
        NoSuchDemoPerson: the file of demo log-ins has no such name, or no secret for it.
    """
    people = read_demo_file(path).people
    if name not in people or not people[name].secret:
        raise NoSuchDemoPerson(f"{path} has the names {', '.join(sorted(people)) or 'of nobody'}; asked: {name}")
    totp = TOTP(bytes.fromhex(people[name].key))
    totp.time = now.timestamp()
    return f"{totp.token():06d}", totp.step - int(now.timestamp()) % totp.step


def _completed(known: DemoFile) -> DemoFile:
    """What is known, and new secrets for all that is not."""
    return DemoFile(
        people={person.name: _complete(known.people.get(person.name)) for person in PEOPLE},
        clients={code: known.clients.get(code) or secrets.token_urlsafe(32) for code in WITH_CLIENT},
    )


def _complete(known: LogIn | None) -> LogIn:
    return LogIn(
        password=known.password if known else secrets.token_urlsafe(12),
        secret=(known and known.secret) or secret_of(default_key()),
        recovery=(known and known.recovery) or tuple(StaticToken.random_token() for _ in range(N_RECOVERY_CODE)),
    )


def _log_in(person: DemoPerson, kept: LogIn, known: LogIn | None, organisation: Organisation) -> bool:
    """Make or renew one log-in where needed; say whether anything of it was set."""
    user, is_new = get_user_model().objects.get_or_create(username=person.name)
    sets_password = is_new or known is None
    if sets_password:
        user.set_password(kept.password)
        user.save()
    Membership.objects.get_or_create(user=user, organisation=organisation, defaults={"role": person.role})
    sets_factor = _second_factor(user, kept, is_known=known is not None and bool(known.secret))
    return sets_password or sets_factor


def _second_factor(user: User, kept: LogIn, *, is_known: bool) -> bool:
    """Set up authenticator and recovery codes where there are none, or none that anybody knows."""
    devices = TOTPDevice.objects.filter(user=user)
    if is_known and devices.exists():
        return False
    devices.delete()
    TOTPDevice.objects.create(user=user, name="Authenticator", key=kept.key)
    replace_recovery_codes(user=user, codes=kept.recovery)
    return True


def _client(organisation: Organisation, secret: str, *, is_known: bool, now: datetime) -> None:
    """Register an API client with every scope its organisation can use, unless it stands with the secret known."""
    client_id = client_id_of(organisation.code)
    stands = MachineClient.objects.filter(application__client_id=client_id).exists()
    if stands and is_known:
        return
    if stands:
        revoke_machine(organisation=organisation, client_id=client_id, now=now)
    register_machine(
        organisation=organisation,
        name="Demo client",
        scopes=usable_scopes(organisation.kind).keys(),
        now=now,
        known=Credentials(client_id=client_id, secret=secret),
    )
