"""The demo's organisations and the people who log in for them, with passwords made on this machine."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth import get_user_model
from django.db import transaction

from aggregator.models import Membership, Organisation
from aggregator.services.batches import PLATFORM, platform_organisation

DNO, MARKET = "northmoor-networks", "moorside-market"
ORGANISATIONS = (
    (DNO, "Northmoor Networks", Organisation.Kind.DNO),
    ("amber-vale", "Amber Vale Flexibility", Organisation.Kind.DSRSP),
    ("tern-hollow", "Tern Hollow Energy", Organisation.Kind.DSRSP),
    (MARKET, "Moorside Flexibility Market", Organisation.Kind.MARKET_OPERATOR),
)
HEADING = "Demo log-ins, made by seed_demo on this machine (name, password, role):"
LINE = re.compile(r"^  (?P<name>\S+) +(?P<password>\S+)  ")


@dataclass(frozen=True, slots=True)
class DemoPerson:
    name: str
    role: Membership.Role
    organisation: str


PEOPLE = (
    DemoPerson("amber.operator", Membership.Role.OPERATOR, "amber-vale"),
    DemoPerson("tern.operator", Membership.Role.OPERATOR, "tern-hollow"),
    DemoPerson("northmoor.control", Membership.Role.CONTROL_ROOM_OPERATOR, DNO),
    DemoPerson("moorside.market", Membership.Role.MARKET_OPERATOR, MARKET),
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


def seed_log_ins(*, organisations: Mapping[str, Organisation], path: Path) -> int:
    """Give each demo person a log-in, and write names and passwords to ``path``, readable by its owner only.

    A password that ``path`` holds is kept, also for a new database; a person whose password nobody knows any more
    gets a new one.

    Returns:
        Log-ins made or renewed.
    """
    known = read_log_ins(path)
    passwords = {person.name: known.get(person.name) or secrets.token_urlsafe(12) for person in PEOPLE}
    with transaction.atomic():
        n_set = sum(
            _log_in(person, passwords[person.name], organisations[person.organisation], is_known=person.name in known)
            for person in PEOPLE
        )
    if passwords != known:
        _write(path, [_line(person, passwords[person.name], organisations) for person in PEOPLE])
    return n_set


def read_log_ins(path: Path) -> dict[str, str]:
    """Passwords by name; none where there is no such file."""
    if not path.is_file():
        return {}
    found = [LINE.match(line) for line in path.read_text().splitlines()]
    return {match["name"]: match["password"] for match in found if match}


def _log_in(person: DemoPerson, password: str, organisation: Organisation, *, is_known: bool) -> bool:
    """Make or renew one log-in where needed; say whether its password was set."""
    user, is_new = get_user_model().objects.get_or_create(username=person.name)
    if is_new or not is_known:
        user.set_password(password)
        user.save()
    Membership.objects.get_or_create(user=user, organisation=organisation, defaults={"role": person.role})
    return is_new or not is_known


def _line(person: DemoPerson, password: str, organisations: Mapping[str, Organisation]) -> str:
    role = f"{person.role.label}, {organisations[person.organisation].name}"
    return f"  {person.name:<20}{password:<20}{role}"


def _write(path: Path, lines: Sequence[str]) -> None:
    """Replace the file in one step; it is private from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join([HEADING, *lines, ""]))
    draft.replace(path)
