"""Every address of the site and the API, tried by every audience with everybody's ids.

An address is tried with each id its parameters can hold, whoever owns it; a list also with each of its filters and
orders. What comes back may hold no mark of a row that the audience may not read (``world.readers_of``).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from itertools import islice, product
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.people import log_in
from tests.walls.world import KINDS, OWNERS, PEOPLE, World, leaks, readers_of

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
# What a parameter names: a kind of ``World.ids``. Ids of the API say it by their prefix, other names by themselves or
# by the part of the address before them.
PREFIX_KINDS = {"act": "control_act", "enr": "enrolment", "ses": "session", "volumefile": "volume_file"}
NAME_KINDS = {"reference": "request"}
PLACE_KINDS = {
    "network": "node",
    "limits": "node",
    "nodes": "node",
    "organisations": "organisation",
    "csms": "csms",
    "tariffs": "tariff",
    "evses": "evse",
    "statements": "statement",
    "requests": "request",
    "markets": "market",
}
FILTER_KINDS = {"node": "node", "area": "node", "parent": "node", "evse": "evse", "meter": "meter"}
SHARED = {"tariff": ["night"], "csms": ["csms"]}
# What pages take in their query strings.
PAGE_QUERIES = {
    "": {"node": "node", "cycle": "cycle"},
    "fleet/": {"node": "node"},
    "network/": {"open": "node"},
    "people/": {"organisation": "organisation"},
    "people/remove/": {"organisation": "organisation", "username": "person"},
    "machines/": {"organisation": "organisation"},
    "machines/revoke/": {"organisation": "organisation", "client_id": "machine"},
}
OWN_SESSION = ("login/", "logout/", "account/", "act-as/", "confirm/", "lock/", "unlock/", "theme/")
UNCOUNTED = {"aggregator_idempotentrequest"}  # what a request leaves of itself, whatever it did
CONTROL_HEADERS = {"If-Match": "*", "Idempotency-Key": "matrix", "X-CSRFToken": "unchecked"}
WINDOW = {"from": "2026-01-13T00:00:00Z", "to": "2026-01-16T00:00:00Z"}


@dataclass(frozen=True, slots=True)
class Address:
    """One line of the URL configuration."""

    route: str
    view: Any

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(PARAMETER.findall(self.route))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(method for method in ("GET", *UNSAFE) if hasattr(self.view, method.lower()))

    @property
    def is_api(self) -> bool:
        return self.route.startswith("api/")


@dataclass(frozen=True, slots=True)
class Leak:
    person: str
    method: str
    path: str
    marks: tuple[str, ...]


@cache
def addresses() -> tuple[Address, ...]:
    found = [
        Address(route, getattr(pattern.callback, "view_class", getattr(pattern.callback, "cls", pattern.callback)))
        for route, pattern in _patterns(get_resolver(), "")
    ]
    return tuple(sorted(found, key=lambda one: one.route))


def _patterns(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _patterns(entry, route)
        else:
            yield route, entry


def kind_of(address: Address, parameter: str) -> str:
    """The kind of id a parameter holds.

    Raises:
        KeyError: a new address whose parameter nobody has said the kind of yet.
    """
    prefix = getattr(address.view, "id_prefix", "") if parameter == "id" else ""
    if prefix:
        return PREFIX_KINDS.get(prefix, prefix)
    if parameter in ("id", "pk", "code"):
        before = address.route.split(f":{parameter}>")[0].rsplit("/", 2)[-2]
        return PLACE_KINDS[before]
    return NAME_KINDS.get(parameter, parameter)


def values_of(address: Address, parameter: str, world: World) -> list[tuple[str, str]]:
    """(owner, value) of everything a parameter can name; one value of each owner is enough."""
    prefix = getattr(address.view, "id_prefix", "") if parameter == "id" else ""
    kind = kind_of(address, parameter)
    if kind in SHARED:
        return [("", value) for value in SHARED[kind]]
    return [
        (owner, f"{prefix}_{value}" if prefix else value)
        for owner, values in world.ids[kind].items()
        for value in values[:1]
    ]


def paths(address: Address, world: World) -> Iterator[tuple[frozenset[str], str]]:
    """Every path of an address, with the owners of the ids in it."""
    choices = [values_of(address, parameter, world) for parameter in address.parameters]
    for chosen in product(*choices):
        path = "/" + address.route.removeprefix("^").removesuffix("$")
        for _, value in chosen:
            path = PARAMETER.sub(lambda _match, value=value: value, path, count=1)
        yield frozenset(owner for owner, _ in chosen), path


def logged_in(person: str) -> Client:
    return log_in(Client(raise_request_exception=False), User.objects.get(username=person))


def read_everything(world: World, person: str, seen: set[tuple[str, str]]) -> list[Leak]:
    """GET every path of every address as one person; ``seen`` takes (mark, organisation) of all that was read."""
    client = logged_in(person)
    return [leak for address in addresses() for leak in read_address(client, world, person, address, seen)]


def read_address(
    client: Client,
    world: World,
    person: str,
    address: Address,
    seen: set[tuple[str, str]] | None = None,
    *,
    is_varied: bool = True,
) -> list[Leak]:
    """GET every path of an address; with each of its filters and orders, unless it is not to be varied."""
    if "GET" not in address.methods:
        return []
    asked = queries(address, world) if is_varied else islice(queries(address, world), 1)
    return [
        leak
        for query in list(asked)
        for _, path in paths(address, world)
        for leak in _read(client, person, path + query, world, seen)
    ]


def _read(client: Client, person: str, path: str, world: World, seen: set[tuple[str, str]] | None) -> list[Leak]:
    organisation, response = PEOPLE[person][0], client.get(path)
    if response.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR):
        return [Leak(person, "GET", path, (f"answered {response.status_code}, which proves nothing",))]
    text = response.content.decode(errors="replace")
    if seen is not None:
        seen |= {(mark, organisation) for mark, readers in world.marks.items() if mark in text}
    # What was asked for comes back in links and messages; only what the site adds of its own is a leak.
    marks = tuple(sorted(mark for mark in leaks(text, world.marks, organisation) if mark not in path))
    return [Leak(person, "GET", path, marks)] if marks else []


def queries(address: Address, world: World) -> Iterator[str]:
    """The query string of a list: bare, with each filter by each owner's id, and in each of its orders."""
    query = getattr(address.view, "queries", {}).get("GET")
    if query is None:
        yield ""
        for name, kind in PAGE_QUERIES.get(address.route, {}).items():
            yield from (_query({name: values[0]}) for values in world.ids[kind].values())
        return
    fields = query().fields
    needed = WINDOW if "from" in fields and fields["from"].required else {}
    yield _query(needed)
    for name, field in fields.items():
        if name == "order":
            yield from (_query({**needed, "order": word}) for word in field.choices)
        elif name in FILTER_KINDS:
            prefix = f"{field.prefix}_" if hasattr(field, "prefix") else ""
            owned = world.ids[FILTER_KINDS[name]].values()
            yield from (_query({**needed, name: prefix + values[0]}) for values in owned)


def _query(asked: dict[str, str]) -> str:
    return f"?{urlencode(asked)}" if asked else ""


def change_everything(world: World, person: str) -> list[Leak]:
    """Every unsafe method on every address with ids of owners the person has nothing to do with; what changed."""
    organisation = PEOPLE[person][0]
    client = logged_in(person)
    found = []
    for address in addresses():
        foreign = [path for owners, path in paths(address, world) if owners and not owners & related(organisation)]
        if not foreign or address.route.startswith(OWN_SESSION):
            continue
        before = fingerprint()
        for path, method in product(foreign, UNSAFE):
            response = client.generic(method, path, b"{}", "application/json", headers=CONTROL_HEADERS)
            if response.status_code < HTTPStatus.MULTIPLE_CHOICES:
                found.append(Leak(person, method, path, (f"answered {response.status_code}",)))
        after = fingerprint()
        if before != after:
            changed = tuple(table for table in before if before[table] != after[table])
            found.append(Leak(person, "unsafe", address.route, changed))
    return found


def related(organisation: str) -> set[str]:
    """Owners some of whose rows an organisation may read: a refusal is then for another reason than whose they are."""
    return {owner for kind in KINDS for owner in OWNERS if organisation in readers_of(kind, owner)} | {organisation}


def fingerprint() -> dict[str, str]:
    """A digest of every table's rows: what a refused request must leave as it was."""
    tables = [table for table in connection.introspection.table_names() if table.startswith(("agg", "dis", "mar"))]
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(set(tables) - UNCOUNTED):
            cursor.execute(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t")  # noqa: S608
            found[table] = cursor.fetchone()[0]
    return found
