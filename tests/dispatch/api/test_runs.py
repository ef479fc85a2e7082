"""Runs over the API: who sees which, what of them, and how they are asked for."""

import pytest
from django.test import Client

from dispatch.models import DispatchRun, RunNode
from tests.factories import make_organisation
from tests.machines import as_machine, send
from tests.walls.world import DAY, World, mark

RUNS = "/api/v1/runs/"


def client_of(world: World, code: str) -> Client:
    return as_machine(world.organisations[code])


def ids(response) -> list[str]:
    return [row["id"] for row in response.json()["results"]]


class TestRuns:
    def test_lists_to_each_its_own(self, world):
        north, south = (f"run_{world.runs[dno].pk}" for dno in ("north", "south"))

        for code, seen in {
            "north": [north],
            "south": [south],
            "alpha": [north],
            "gamma": [south],
            "platform": [south, north],
        }.items():
            assert ids(client_of(world, code).get(RUNS)) == seen, code

    def test_is_closed_without_credentials_or_the_action(self, world):
        anonymous = Client().get(RUNS)
        market = client_of(world, "market").get(RUNS)
        other_scope = as_machine(world.organisations["north"], "findings:read").get(RUNS)

        assert (anonymous.status_code, market.status_code, other_scope.status_code) == (401, 403, 403)
        assert anonymous.headers["Content-Type"] == "application/problem+json"

    def test_filters_by_area_day_and_span(self, world):
        north = f"run_{world.runs['north'].pk}"
        client = client_of(world, "platform")

        assert ids(client.get(RUNS, {"area": "north-p"})) == [north]
        assert ids(client.get(RUNS, {"charging_day": str(DAY), "area": "north-p"})) == [north]
        assert ids(client.get(RUNS, {"charging_day": "2026-01-15"})) == []
        span = {"from": "2026-01-14T12:00:00Z", "to": "2026-01-15T12:00:00+01:00"}
        assert len(ids(client.get(RUNS, span))) == 2
        assert ids(client.get(RUNS, {"from": "2026-01-14T12:00:01Z", "to": "2026-01-15T12:00:00Z"})) == []

    @pytest.mark.parametrize(
        ("query", "status", "pointer"),
        [
            ({"nod": "x"}, 400, "/nod"),
            ({"charging_day": "14/01/2026"}, 400, "/charging_day"),
            ({"from": "2026-01-14T12:00:00", "to": "2026-01-15T12:00:00Z"}, 400, "/from"),
            ({"from": "2026-01-14T12:00:00Z"}, 422, "/to"),
            ({"from": "2026-01-14T12:00:00Z", "to": "2026-02-14T12:00:01Z"}, 422, "/to"),
            ({"limit": "1001"}, 400, "/limit"),
            ({"cursor": "made-up"}, 400, "/cursor"),
        ],
    )
    def test_refuses_what_it_does_not_understand(self, world, query, status, pointer):
        response = client_of(world, "north").get(RUNS, query)

        assert response.status_code == status
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]

    def test_pages_without_losing_or_repeating_a_run(self, world):
        client = client_of(world, "platform")
        first = client.get(RUNS, {"limit": 1}).json()
        second = client.get(first["next"]).json()

        assert [row["id"] for row in first["results"] + second["results"]] == ids(client.get(RUNS))
        assert second["next"] is None

    def test_says_which_run_is_in_force_even_to_who_does_not_see_the_newer(self, world):
        run = world.runs["north"]
        newer = DispatchRun.objects.get(pk=run.pk)
        newer.pk, newer.input_sha256 = None, "f" * 64
        newer.save()

        alpha = client_of(world, "alpha").get(RUNS).json()["results"]
        north = client_of(world, "north").get(RUNS).json()["results"]

        assert [(row["id"], row["is_in_force"]) for row in alpha] == [(f"run_{run.pk}", False)]
        assert {row["id"]: row["is_in_force"] for row in north} == {f"run_{run.pk}": False, f"run_{newer.pk}": True}


class TestRunDetail:
    def test_shows_the_dno_bound_and_proof(self, world):
        DispatchRun.objects.filter(pk=world.runs["north"].pk).update(cost_gbp=12.5, lower_bound_gbp=12.25, gap=0.02)
        response = client_of(world, "north").get(f"{RUNS}run_{world.runs['north'].pk}/")
        run = response.json()

        assert (run["area"], run["charging_day"], run["n_period"]) == ("north-p", str(DAY), 48)
        assert (run["starts_at"], run["ends_at"]) == ("2026-01-14T12:00:00Z", "2026-01-15T12:00:00Z")
        assert (run["objective"]["cost_gbp"], run["objective"]["lower_bound_gbp"], run["gap"]) == (12.5, 12.25, 0.02)
        assert run["parameters"] == {"tariff": "night"}
        assert not run["suppressed"]
        assert response.headers["ETag"]

    def test_keeps_the_cost_of_others_from_a_dsrsp(self, world):
        run = client_of(world, "alpha").get(f"{RUNS}run_{world.runs['north'].pk}/").json()

        assert (run["suppressed"], run["objective"]) == (True, None)

    def test_keeps_the_cost_of_a_handful_from_the_dno(self, world):
        run = world.runs["north"]
        run.setpoints.across_tenants().exclude(evse__node__code="north-small").delete()

        north, platform = (client_of(world, code).get(f"{RUNS}run_{run.pk}/").json() for code in ("north", "platform"))

        assert (north["suppressed"], north["objective"]) == (True, None)
        assert platform["objective"] is not None

    def test_is_not_there_for_others(self, world):
        path = f"{RUNS}run_{world.runs['north'].pk}/"

        for code in ("south", "gamma"):
            assert client_of(world, code).get(path).status_code == 404, code

    @pytest.mark.parametrize("named", ["run_0", "run_999999999999999", "run_9999999999999999999", "17", "run_01", "x"])
    def test_knows_no_such_id(self, world, named):
        assert client_of(world, "platform").get(f"{RUNS}{named}/").status_code == 404

    def test_costs_nothing_when_nothing_changed(self, world):
        client, path = client_of(world, "north"), f"{RUNS}run_{world.runs['north'].pk}/"
        etag = client.get(path).headers["ETag"]

        assert send(client, "GET", path, If_None_Match=etag).status_code == 304


class TestRunPlan:
    def plan(self, world: World, code: str, **query: str):
        return client_of(world, code).get(f"{RUNS}run_{world.runs['north'].pk}/plan/", query)

    def test_shows_loading_of_every_node_and_ev_figures_of_groups(self, world):
        # the small feeder holds 2 EVSEs of each of 2 DSRSPs: its figures, and what would tell them, are not shown
        nodes = {row["node"]: row for row in self.plan(world, "north").json()["results"]}

        assert set(nodes) == {"north-p", "north-d", "north-large", "north-small"}
        for code in nodes:
            assert nodes[code]["limit_kw"] == [70.0] * 48
            assert nodes[code]["background_kw"] == [20.0] * 48
            assert nodes[code]["reserve_kw"] == [2.0] * 48
        assert nodes["north-p"]["planned_kw"] == [24.0] * 48
        assert nodes["north-p"]["ceiling_kw"] == [32.0] * 48
        for code in ("north-small", "north-large"):
            hidden = [nodes[code][name] for name in ("planned_kw", "ceiling_kw", "price_gbp_per_kwh")]
            assert (nodes[code]["suppressed"], hidden) == (True, [None] * 3), code

    def test_shows_the_platform_everything(self, world):
        nodes = self.plan(world, "platform").json()["results"]

        assert [row["suppressed"] for row in nodes] == [False] * 4

    def test_shows_a_dsrsp_no_node(self, world):
        assert self.plan(world, "alpha").json()["results"] == []

    def test_is_not_there_for_others(self, world):
        assert self.plan(world, "south").status_code == 404
        assert self.plan(world, "gamma").status_code == 404

    def test_finds_one_node(self, world):
        assert [row["node"] for row in self.plan(world, "north", node="north-d").json()["results"]] == ["north-d"]
        assert self.plan(world, "north", node="south-d").json()["results"] == []

    def test_says_that_a_rating_is_not_known(self, world):
        RunNode.objects.filter(node__code="north-d").update(rating_kw=float("inf"))

        assert self.plan(world, "north", node="north-d").json()["results"][0]["rating_kw"] is None


class TestRunRequests:
    def requests(self, world: World, code: str):
        return client_of(world, code).get(f"{RUNS}run_{world.runs['north'].pk}/requests/")

    def test_shows_the_dno_what_was_planned_against_its_request(self, world):
        (row,) = self.requests(world, "north").json()["results"]

        assert (row["reference"], row["node"]) == (mark("request", "north"), "north-p")
        assert (row["starts_at"], row["ends_at"]) == ("2026-01-14T18:00:00Z", "2026-01-14T20:00:00Z")
        assert (row["planned_kw"], row["shortfall_kw"]) == ([18.0] * 4, [0.0] * 4)
        assert (row["is_met"], row["suppressed"]) == (True, False)

    def test_keeps_power_of_a_handful_back_but_says_whether_it_is_met(self, world):
        request = world.runs["north"].requests.get()
        request.signal.node = world.nodes["north-small"]
        request.signal.save()
        request.shortfall_kw = [0.0, 0.5, 0.0, 0.0]
        request.save()

        (row,) = self.requests(world, "north").json()["results"]

        assert (row["planned_kw"], row["shortfall_kw"]) == (None, None)
        assert (row["is_met"], row["suppressed"]) == (False, True)

    def test_is_closed_to_dsrsps_and_not_there_for_other_dnos(self, world):
        assert self.requests(world, "alpha").status_code == 403
        assert self.requests(world, "south").status_code == 404


class TestRunSetpoints:
    def setpoints(self, world: World, code: str, **query: str):
        return client_of(world, code).get(f"{RUNS}run_{world.runs['north'].pk}/setpoints/", query)

    def test_shows_a_dsrsp_its_own_with_their_plan(self, world):
        rows = self.setpoints(world, "alpha").json()["results"]

        assert {row["evse"] for row in rows} == {evse.pseudonym for evse in world.evses["alpha"]}
        assert rows[0]["setpoint_a"] == [37] * 48
        assert rows[0]["issued_kw"] == rows[0]["setpoint_kw"] == [3.7] * 48
        assert rows[0]["plan"]["planned_kw"] == [3.0] * 48
        window = (rows[0]["plan"]["starts_at"], rows[0]["plan"]["ends_at"], rows[0]["plan"]["energy_kwh"])
        assert window == ("2026-01-14T17:00:00Z", "2026-01-14T22:00:00Z", 6.0)

    @pytest.mark.parametrize("code", ["north", "platform"])
    def test_tells_others_the_ceilings_but_not_when_a_car_is_there(self, world, code):
        rows = self.setpoints(world, code).json()["results"]

        assert len(rows) == 16
        assert all(row["plan"] is None and row["setpoint_kw"] for row in rows)
        text = self.setpoints(world, code).content.decode()
        assert mark("identity", "alpha") not in text
        assert "organisation" not in text

    def test_finds_one_evse_and_nobody_elses(self, world):
        own, foreign = world.evses["alpha"][0].pseudonym, world.evses["beta"][0].pseudonym

        assert [row["evse"] for row in self.setpoints(world, "alpha", evse=own).json()["results"]] == [own]
        assert self.setpoints(world, "alpha", evse=foreign).json()["results"] == []

    def test_says_where_nothing_was_issued_yet(self, world):
        run = world.runs["north"]
        run.issued.across_tenants().delete()

        assert {row["issued_kw"] for row in self.setpoints(world, "alpha").json()["results"]} == {None}

    def test_is_not_there_for_others(self, world):
        assert self.setpoints(world, "gamma").status_code == 404
        assert self.setpoints(world, "south").status_code == 404

    def test_pages_and_links_stay_in_the_run(self, world):
        first = self.setpoints(world, "alpha", limit="5").json()
        client = client_of(world, "alpha")
        other = as_machine(make_organisation("nobody-here"))

        assert len(client.get(first["next"]).json()["results"]) == 3
        assert other.get(first["next"]).status_code == 404
