"""The page and the operation that explain a setpoint: there for who sees the setpoint, and no more than it may know."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dispatch.models import Setpoint
from tests.machines import as_machine
from tests.people import log_in
from tests.walls.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


def page_of(world: World, person: str, dsrsp: str = "alpha", dno: str = "north"):
    client = log_in(Client(), User.objects.get(username=person))
    return client.get(f"/runs/{world.runs[dno].pk}/setpoints/{world.ids['evse'][dsrsp][0]}/")


def answer_of(world: World, organisation: str, dsrsp: str = "alpha", dno: str = "north"):
    client = as_machine(world.organisations[organisation])
    evse = world.ids["evse"][dsrsp][0]
    return client.get(f"/api/v1/runs/run_{world.runs[dno].pk}/setpoints/{evse}/explanation/")


class TestPage:
    def test_is_there_for_who_sees_the_setpoint(self, world):
        found = {
            person: page_of(world, person).status_code
            for person in (
                "alpha.operator",
                "alpha.auditor",
                "beta.admin",
                "gamma.admin",
                "north.operator",
                "south.supervisor",
                "market.operator",
                "platform.auditor",
            )
        }

        assert found == {
            "alpha.operator": 200,
            "alpha.auditor": 200,
            "beta.admin": 404,
            "gamma.admin": 404,
            "north.operator": 200,
            "south.supervisor": 404,
            "market.operator": 403,
            "platform.auditor": 200,
        }

    def test_says_held_in_words_and_a_sign(self, world):
        run = world.runs["north"]
        run.nodes.update(price_gbp_per_kwh=[0.5] * run.n_period)
        text = page_of(world, "north.operator").content.decode()

        assert '<span class="flag" aria-hidden="true">▲</span> distribution substation' in text
        assert "one more kW is worth 0.500 GBP/kWh" in text

    def test_is_reached_from_the_run_s_page(self, world):
        run = world.runs["north"]
        client = log_in(Client(), User.objects.get(username="alpha.operator"))
        evse = world.ids["evse"]["alpha"][0]
        address = f"/runs/{run.pk}/setpoints/{evse}/"

        assert f'href="{address}"' in client.get(f"/runs/{run.pk}/").content.decode()
        assert f'href="{address}"' in client.get(f"/fleet/{evse}/").content.decode()


class TestOperation:
    def test_gives_its_dsrsp_the_plan_and_no_price_of_the_network(self, world):
        told = answer_of(world, "alpha").json()
        setpoint = Setpoint.objects.across_tenants().get(evse__pseudonym=told["evse"])

        assert told["is_whole"]
        assert told["energy_kwh"] == setpoint.energy_kwh
        assert [one["planned_kw"] for one in told["periods"]] == setpoint.planned_kw
        assert {one["cost_gbp_per_kwh"] for one in told["periods"]} == {None}
        assert told["worth_gbp_per_kwh"] is None

    def test_gives_the_dno_the_path_and_no_plan(self, world):
        told = answer_of(world, "north").json()

        assert not told["is_whole"]
        assert (told["energy_kwh"], told["unserved"]) == (None, None)
        assert {one["planned_kw"] for one in told["periods"]} == {None}
        assert len(told["periods"]) == 48
        assert {one["requests"][0]["reference"] for one in told["periods"] if one["requests"]}

    def test_is_not_there_for_anybody_else(self, world):
        assert [answer_of(world, code).status_code for code in ("beta", "gamma", "south", "market")] == [
            404,
            404,
            404,
            403,
        ]

    def test_answers_304_to_who_has_it(self, world):
        first = answer_of(world, "alpha")
        client = as_machine(world.organisations["alpha"])
        again = client.get(first.request["PATH_INFO"], headers={"If-None-Match": first.headers["ETag"]})

        assert again.status_code == 304
