"""The file of the demo's log-ins: for people to read, and read back so that it stays valid for a new database."""

import os
import re
from base64 import b32decode, b32encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PEOPLE_HEADING = "Demo log-ins, made by seed_demo on this machine (name, password, role):"
FACTORS_HEADING = "Second factors (name, secret for an authenticator app, recovery codes); without an app,"
FACTORS_HINT = "`.venv/bin/python manage.py demo_code NAME` shows the code that NAME logs in with now:"
CLIENTS_HEADING = "API clients (client_id, client_secret, organisation), for POST /api/v1/token/:"
# People stand two columns in, all else four: so a line says by itself what it is.
PERSON = re.compile(r"^  (?P<name>\S+) +(?P<password>\S+)  ")
FACTOR = re.compile(r"^    (?P<name>\S+) +(?P<secret>[A-Z2-7]{32}) +(?P<recovery>[a-z2-7]{8}( [a-z2-7]{8})*)$")
CLIENT = re.compile(r"^    (?P<client_id>demo-(?P<organisation>\S+)) +(?P<secret>\S+)  ")


@dataclass(frozen=True, slots=True)
class LogIn:
    """What a demo person logs in with.

    Attributes:
        secret: of the authenticator, in base 32; empty where a file of before has none.
        recovery: recovery codes as first made; used ones are not crossed out.
    """

    password: str
    secret: str = ""
    recovery: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The secret in hexadecimal, as devices keep it."""
        return b32decode(self.secret).hex()


@dataclass(frozen=True, slots=True)
class DemoFile:
    """Log-ins by user name, client secrets by the organisation's code."""

    people: Mapping[str, LogIn] = field(default_factory=dict)
    clients: Mapping[str, str] = field(default_factory=dict)


def secret_of(key: str) -> str:
    """A hexadecimal key as authenticator apps take it."""
    return b32encode(bytes.fromhex(key)).decode()


def client_id_of(organisation: str) -> str:
    return f"demo-{organisation}"


def read_demo_file(path: Path) -> DemoFile:
    """What the file holds; nothing where there is none."""
    lines = path.read_text().splitlines() if path.is_file() else []
    factors = {match["name"]: match for match in map(FACTOR.match, lines) if match}
    people = {match["name"]: match["password"] for match in map(PERSON.match, lines) if match}
    return DemoFile(
        people={
            name: LogIn(password, factors[name]["secret"], tuple(factors[name]["recovery"].split()))
            if name in factors
            else LogIn(password)
            for name, password in people.items()
        },
        clients={match["organisation"]: match["secret"] for match in map(CLIENT.match, lines) if match},
    )


def write_demo_file(path: Path, kept: DemoFile, *, roles: Mapping[str, str], organisations: Mapping[str, str]) -> None:
    """Replace the file in one step; only its owner may read it, from its first byte on.

    Args:
        roles: what stands behind each person's password.
        organisations: names by code.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(_lines(kept, roles, organisations)))
    draft.replace(path)


def people_part(text: str) -> str:
    """The file's first part, names and passwords: what is shown when the site starts."""
    return text.split("\n\n", 1)[0].rstrip()


def _lines(kept: DemoFile, roles: Mapping[str, str], organisations: Mapping[str, str]) -> Iterator[str]:
    yield PEOPLE_HEADING
    yield from _table(2, [(name, person.password, roles[name]) for name, person in kept.people.items()])
    yield from ("", FACTORS_HEADING, FACTORS_HINT)
    yield from _table(4, [(name, one.secret, " ".join(one.recovery)) for name, one in kept.people.items()])
    yield from ("", CLIENTS_HEADING)
    clients = [(client_id_of(code), secret, organisations[code]) for code, secret in kept.clients.items()]
    yield from _table(4, clients)
    yield ""


def _table(indent: int, rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    first, second = (max(len(row[column]) for row in rows) + 2 for column in (0, 1))
    for name, secret, rest in rows:
        yield f"{'':{indent}}{name:<{first}}{secret:<{second}}{rest}"
