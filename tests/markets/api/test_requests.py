"""Requests over the API: a DNO's own, and what was planned against them."""

import pytest
from django.test import Client

from dispatch.models import DispatchRun, TargetSignal
from tests.machines import as_machine, send
from tests.walls.world import mark

REQUESTS = "/api/v1/requests/"
NORTH, SOUTH = mark("request", "north"), mark("request", "south")


def references(response) -> list[str]:
    return [row["reference"] for row in response.json()["results"]]


class TestRequests:
    def test_lists_a_dno_its_own_and_the_platform_all(self, client_of):
        assert references(client_of("north").get(REQUESTS)) == [NORTH]
        assert references(client_of("south").get(REQUESTS)) == [SOUTH]
        assert sorted(references(client_of("platform").get(REQUESTS))) == [NORTH, SOUTH]

    def test_is_closed_to_who_has_no_business_with_them(self, world, client_of):
        assert {code: client_of(code).get(REQUESTS).status_code for code in ("alpha", "market")} == {
            "alpha": 403,
            "market": 403,
        }
        assert as_machine(world.organisations["north"], "settlement:read").get(REQUESTS).status_code == 403
        assert Client().get(REQUESTS).status_code == 401

    def test_shows_the_product_it_is_a_call_on(self, client_of):
        (row,) = client_of("north").get(REQUESTS).json()["results"]

        assert (row["product"], row["product_version"], row["price_gbp_per_mwh"]) == ("su-north", 1, "300.00")
        assert (row["starts_at"], row["ends_at"]) == ("2026-01-14T18:00:00Z", "2026-01-14T20:00:00Z")
        assert "starts_local" not in row

    def test_says_where_there_is_no_product(self, world, client_of):
        signal = TargetSignal.objects.get(reference=NORTH)
        signal.pk, signal.reference = None, "UNPAID/1"
        signal.save()

        row = client_of("north").get(f"{REQUESTS}UNPAID/1/").json()

        assert (row["product"], row["product_version"], row["price_gbp_per_mwh"], row["runs"]) == (None, None, None, [])

    def test_adds_local_times_where_they_are_asked_for(self, client_of):
        (row,) = client_of("north").get(REQUESTS, {"tz": "Europe/London"}).json()["results"]

        assert (row["starts_local"], row["ends_local"]) == ("2026-01-14 18:00 GMT", "2026-01-14 20:00 GMT")

    @pytest.mark.parametrize(
        ("query", "is_found"),
        [
            ({"node": "north-p"}, True),
            ({"node": "south-p"}, False),
            ({"direction": "turn_up"}, False),
            ({"kind": "routine", "direction": "turn_down"}, True),
            ({"from": "2026-01-14T19:59:00Z", "to": "2026-01-15T00:00:00Z"}, True),
            ({"from": "2026-01-14T20:00:00Z", "to": "2026-01-15T00:00:00Z"}, False),
            ({"from": "2026-01-14T00:00:00Z", "to": "2026-01-14T18:00:00Z"}, False),
        ],
    )
    def test_filters(self, client_of, query, is_found):
        assert references(client_of("north").get(REQUESTS, query)) == ([NORTH] if is_found else [])

    @pytest.mark.parametrize(
        ("query", "status"),
        [({"dsrsp": "alpha"}, 400), ({"direction": "sideways"}, 400), ({"to": "2026-01-14T18:00:00Z"}, 422)],
    )
    def test_refuses_what_it_does_not_understand(self, client_of, query, status):
        assert client_of("north").get(REQUESTS, query).status_code == status


class TestRequest:
    def test_shows_what_each_run_planned_against_it(self, world, client_of):
        request = world.runs["north"].requests.get()
        request.shortfall_kw = [0.0, 1.0, 0.5, 0.0]
        request.save()

        row = client_of("north").get(f"{REQUESTS}{NORTH}/").json()
        (run,) = row["runs"]

        assert (row["reference"], row["target_kw"], row["direction"]) == (NORTH, 20.0, "turn_down")
        assert (run["run"], run["area"], run["is_in_force"]) == (f"run_{world.runs['north'].pk}", "north-p", True)
        assert (run["planned_kw"], run["shortfall_kw"]) == ([18.0] * 4, [0.0, 1.0, 0.5, 0.0])
        assert (run["shortfall_kwh"], run["is_met"], run["suppressed"]) == (0.75, False, False)
        assert (run["starts_at"], run["ends_at"]) == ("2026-01-14T18:00:00Z", "2026-01-14T20:00:00Z")

    def test_keeps_the_power_of_a_handful_back(self, world, client_of):
        TargetSignal.objects.filter(reference=NORTH).update(node=world.nodes["north-small"])

        (north,) = client_of("north").get(f"{REQUESTS}{NORTH}/").json()["runs"]
        (platform,) = client_of("platform").get(f"{REQUESTS}{NORTH}/").json()["runs"]

        hidden = [north[name] for name in ("planned_kw", "shortfall_kw", "shortfall_kwh")]
        assert (north["suppressed"], north["is_met"], hidden) == (True, True, [None] * 3)
        assert platform["planned_kw"] == [18.0] * 4

    def test_shows_the_newest_run_first(self, world, client_of):
        request = world.runs["north"].requests.get()
        newer = DispatchRun.objects.get(pk=world.runs["north"].pk)
        newer.pk, newer.input_sha256 = None, "f" * 64
        newer.save()
        request.pk, request.run = None, newer
        request.save()

        runs = client_of("north").get(f"{REQUESTS}{NORTH}/").json()["runs"]

        assert [(run["run"], run["is_in_force"]) for run in runs] == [
            (f"run_{newer.pk}", True),
            (f"run_{world.runs['north'].pk}", False),
        ]

    def test_is_not_there_for_another_dno(self, client_of):
        there = client_of("south").get(f"{REQUESTS}{NORTH}/")
        nowhere = client_of("south").get(f"{REQUESTS}NONE/")

        assert there.status_code == nowhere.status_code == 404
        assert there.json()["detail"] == nowhere.json()["detail"]

    @pytest.mark.parametrize("named", ["%00", "a%00b", "%ED%A0%80", "a%0A", "a" * 3000, "..%2F.."])
    def test_knows_no_such_reference(self, client_of, named):
        assert client_of("north").get(f"{REQUESTS}{named}/").status_code == 404

    def test_costs_nothing_when_nothing_changed(self, client_of):
        client = client_of("north")
        etag = client.get(f"{REQUESTS}{NORTH}/").headers["ETag"]

        assert send(client, "GET", f"{REQUESTS}{NORTH}/", If_None_Match=etag).status_code == 304
