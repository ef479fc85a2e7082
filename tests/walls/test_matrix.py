"""No audience reads or changes another's rows, whatever address, filter, order or id it tries.

The queries are tried with row-level security open, so that each scope filter must hold by itself; row-level security
is tried by itself in ``test_row_security.py``. What is tried here is generated from the URL configuration: a new
address is in it as soon as it is there, and fails until somebody says what its parameters name.
"""

import inspect
import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from itertools import chain
from typing import Any

import pytest
from django.test import Client

import aggregator.queries
import dispatch.queries
import flex.walls
import markets.queries
from aggregator.models import MeterDay, as_platform
from tests.walls.matrix import (
    CONTROL_HEADERS,
    Address,
    addresses,
    change_everything,
    fingerprint,
    logged_in,
    read_address,
    read_everything,
)
from tests.walls.world import NEVER_SHOWN, OWNERS, PEOPLE, World

pytestmark = pytest.mark.django_db

# One person of each organisation's kind and place; roles of one organisation see the same rows.
READERS = ("alpha.admin", "gamma.admin", "north.supervisor", "south.supervisor", "market.operator", "platform.admin")
# Published facts: everybody sees every row, so there is no filter to remove.
WITHOUT_FILTER = {
    "tariffs_seen_by",
    "products_seen_by",
    "primacy_rules_seen_by",
    "stacking_rules_seen_by",
    "markets_seen_by",
}
# Filters that only narrow what was let through before, so that a page does not tell when they are gone;
# test_both_walls.py notices each.
SECOND_IN_LINE = {
    "control_group_members_seen_by": "asked for groups that control_groups_seen_by let through; it tells pseudonyms",
    "csms_seen_by": "only roles that may see the whole catalogue get so far",
    "identities_seen_by": "asked for EVSEs that evses_seen_by let through",
    "instructions_seen_by": "asked for calls that flex_events_seen_by let through; it tells kW, not names",
    "issued_setpoints_seen_by": "asked for EVSEs of setpoints that setpoints_seen_by let through",
    "jobs_seen_by": "only the platform's roles get so far",
    "meter_days_seen_by": "asked for meters that meters_seen_by let through",
    "meters_seen_by": "asked for EVSEs that evses_seen_by let through, and nodes that nodes_seen_by did",
    "ratings_seen_by": "asked for nodes that nodes_seen_by let through",
    "run_nodes_seen_by": "asked for runs that runs_seen_by let through",
    "run_requests_seen_by": "asked for runs that runs_seen_by let through, or requests that targets_seen_by did",
}
REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
QUERIES = (aggregator.queries, dispatch.queries, markets.queries)


def filters() -> list[str]:
    return sorted(
        name
        for module in QUERIES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if name.endswith("_seen_by") and function.__module__ == module.__name__ and name not in WITHOUT_FILTER
    )


def the_filter(name: str) -> Callable[..., Any]:
    return next(getattr(module, name) for module in QUERIES if hasattr(module, name))


def replace_everywhere(monkeypatch: pytest.MonkeyPatch, name: str, replacement: Callable[..., Any]) -> None:
    """Put a function in place of a filter in every module that imported it."""
    original = the_filter(name)
    for module in list(sys.modules.values()):
        if getattr(module, name, None) is original:
            monkeypatch.setattr(module, name, replacement)


def without_scope(name: str) -> Callable[..., Any]:
    """The filter's rows, and everybody else's."""
    original = the_filter(name)

    @wraps(original)
    def everything(*args: Any, **kwargs: Any) -> Any:
        scoped = original(*args, **kwargs)
        rows = type(scoped)(model=scoped.model)
        rows.query.select_related = scoped.query.select_related
        return rows.order_by(*scoped.query.order_by)

    return everything


@pytest.fixture
def world(world: World, site: None, settings: Any) -> Iterator[World]:
    settings.API_LIMITS = dict.fromkeys(settings.API_LIMITS, (10**9, 60))
    logging.disable(logging.CRITICAL)  # thousands of refusals
    yield world
    logging.disable(logging.NOTSET)


@pytest.fixture
def open_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the second wall out: every request sees what its queries let through."""
    monkeypatch.setattr(flex.walls, "acting_for", lambda _organisation: as_platform())


@pytest.mark.timeout(900)
class TestReading:
    @pytest.mark.parametrize("organisation", OWNERS)
    def test_tells_nobody_of_others_and_each_of_their_own(
        self, world: World, open_database: None, organisation: str
    ) -> None:
        """Each mark is also found by those it is meant for, else all this would be empty words."""
        seen: set[tuple[str, str]] = set()
        persons = [name for name, (acts_for, _) in PEOPLE.items() if acts_for == organisation]
        assert [leak for person in persons for leak in read_everything(world, person, seen)] == []
        meant = {(mark, organisation) for mark, readers in world.marks.items() if organisation in readers}
        assert {(mark, reader) for mark, reader in meant - seen if mark.split("-")[0] not in NEVER_SHOWN} == set()


class TestChanging:
    @pytest.mark.parametrize("person", PEOPLE)
    def test_touches_nothing_of_others(self, world: World, person: str) -> None:
        assert change_everything(world, person) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
class TestScopeFilters:
    """Each is needed: with the database open and one filter gone, the matrix finds a leak."""

    @pytest.fixture
    def askers(self, world: World, open_database: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Address]]:
        """Addresses by the filters they ask, found by walking them once."""
        asked: dict[str, set[Address]] = defaultdict(set)
        now: list[Address] = []
        everywhere = addresses()  # imports every view, before what they import is replaced
        with monkeypatch.context() as patches:
            for name in filters():
                replace_everywhere(patches, name, _noting(name, asked, now))
            for person in READERS:
                client = logged_in(person)
                for address in everywhere:
                    now[:] = [address]
                    assert read_address(client, world, person, address, is_varied=False) == []
        return {name: sorted(found, key=lambda one: one.route) for name, found in asked.items()}

    def test_are_each_needed(
        self, world: World, askers: dict[str, list[Address]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert sorted(set(filters()) - set(askers)) == [], "no address asks these"
        harmless = []
        for name in filters():
            with monkeypatch.context() as patches:
                replace_everywhere(patches, name, without_scope(name))
                if not any(_leaks(world, person, askers[name]) for person in READERS):
                    harmless.append(name)
        assert harmless == sorted(SECOND_IN_LINE)


def _noting(name: str, asked: dict[str, set[Address]], now: list[Address]) -> Callable[..., Any]:
    original = the_filter(name)

    @wraps(original)
    def noting(*args: Any, **kwargs: Any) -> Any:
        asked[name].update(now)
        return original(*args, **kwargs)

    return noting


def _leaks(world: World, person: str, chosen: list[Address]) -> bool:
    """Whether something is read that should not be; a page that merely breaks is no leak."""
    client = logged_in(person)
    found = chain.from_iterable(read_address(client, world, person, one, is_varied=False) for one in chosen)
    return any(mark in world.marks for leak in found for mark in leak.marks)


def send(client: Client, path: str, body: object) -> Any:
    return client.post(path, body, "application/json", headers=CONTROL_HEADERS)


class TestBulkRows:
    def test_register_nothing_for_another(self, world: World) -> None:
        row = {"csms": "csms", "evse_id": "new-1", "node": "north-large", "rated_kw": 7.4}
        client, before = logged_in("alpha.operator"), fingerprint()
        for foreign in ({"dsrsp": "beta"}, {"meter": world.ids["meter"]["beta"][0]}):
            answer = send(client, "/api/v1/evses:batch/", {"rows": [row, {**row, "evse_id": "new-2", **foreign}]})
            assert answer.status_code in REFUSED
        assert fingerprint() == before

    def test_store_no_reading_of_another(self, world: World) -> None:
        known = set(MeterDay.objects.across_tenants().values_list("pk", flat=True))
        times = {"starts_at": "2026-01-14T18:00:00Z", "energy_kwh": 3.25}
        rows = [{"meter": world.ids["meter"][owner][0], **times} for owner in ("beta", "gamma", "north")]
        answer = send(logged_in("alpha.operator"), "/api/v1/readings:batch/", rows)
        assert answer.status_code == HTTPStatus.OK
        assert answer.json()["accepted"] == 0
        assert {row["code"] for row in answer.json()["rejected"]} == {"reading.unknown_meter"}
        assert set(MeterDay.objects.across_tenants().values_list("pk", flat=True)) == known

    def test_request_nothing_at_anothers_node(self, world: World) -> None:
        asked = {
            "reference": "MATRIX/1",
            "node": "south-large",
            "starts_at": "2099-01-14T18:00:00Z",
            "ends_at": "2099-01-14T19:00:00Z",
            "direction": "turn_down",
            "kind": "routine",
            "target_kw": 20.0,
            "shortfall_gbp_per_kwh": 1.0,
            "reason": "the matrix asks",
        }
        client, before = logged_in("north.operator"), fingerprint()
        answer = send(client, "/api/v1/requests/", asked)
        assert answer.status_code in REFUSED
        assert fingerprint() == before
