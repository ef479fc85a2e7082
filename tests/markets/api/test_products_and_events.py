"""Products and calls on them over the API."""

from datetime import UTC, datetime

import pytest
from django.test import Client

from markets.models import FlexEvent, Instruction, Product
from tests.machines import as_machine
from tests.walls.world import mark

PRODUCTS, EVENTS = "/api/v1/products/", "/api/v1/flex-events/"


class TestProducts:
    @pytest.mark.parametrize("code", ["alpha", "south", "market", "platform"])
    def test_are_published_to_all_who_take_part(self, client_of, code):
        rows = client_of(code).get(PRODUCTS).json()["results"]

        assert [(row["code"], row["version"], row["buyer"]) for row in rows] == [
            ("su-north", 1, "north"),
            ("su-south", 1, "south"),
            ("trade-north", 1, "north"),
            ("trade-south", 1, "south"),
        ]

    def test_keeps_every_version(self, world, client_of):
        Product.objects.create(
            code="su-north",
            version=2,
            name="Scheduled Utilisation",
            buyer=world.organisations["north"],
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
            grace=0.1,
        )
        rows = client_of("alpha").get(PRODUCTS, {"code": "su-north"}).json()["results"]

        assert [(row["version"], row["grace"]) for row in rows] == [(1, 0.05), (2, 0.1)]
        one = client_of("alpha").get(f"{PRODUCTS}{rows[1]['id']}/").json()
        assert one == rows[1]

    def test_is_closed_without_credentials_or_scope(self, world):
        assert Client().get(PRODUCTS).status_code == 401
        assert as_machine(world.organisations["alpha"], "fleet:read").get(PRODUCTS).status_code == 403

    @pytest.mark.parametrize("named", ["product_0", "product_999999999999999", "su-north", "product_1e3"])
    def test_knows_no_such_id(self, client_of, named):
        assert client_of("market").get(f"{PRODUCTS}{named}/").status_code == 404

    def test_refuses_an_unknown_filter(self, client_of):
        assert client_of("market").get(PRODUCTS, {"price": "1"}).status_code == 400


class TestFlexEvents:
    def references(self, client, **query: str) -> list[str]:
        return [row["reference"] for row in client.get(EVENTS, query).json()["results"]]

    def test_lists_to_each_those_it_has_business_with(self, client_of):
        north, south = mark("request", "north"), mark("request", "south")

        for code, seen in {
            "alpha": {north},
            "gamma": {south},
            "north": {north},
            "south": {south},
            "market": {north, south},
            "platform": {north, south},
        }.items():
            assert set(self.references(client_of(code))) == seen, code

    def test_stays_with_a_dsrsp_that_was_instructed_but_not_settled(self, world, client_of):
        from tests.factories import make_organisation

        event = FlexEvent.objects.get(product__code="su-north")
        late = make_organisation("late")
        Instruction(
            event=event,
            organisation=late,
            run=world.runs["north"],
            instructed_kw=[1.0] * 4,
            expected_baseline_kw=[2.0] * 4,
            planned_kw=[1.0] * 4,
        ).save()

        assert self.references(as_machine(late)) == [event.signal.reference]

    def test_filters(self, client_of):
        client, north = client_of("market"), mark("request", "north")

        assert self.references(client, product="su-north") == [north]
        assert self.references(client, reference=north) == [north]
        span = {"from": "2026-01-14T20:00:00Z", "to": "2026-01-15T00:00:00Z"}
        assert self.references(client, **span) == []

    def event(self, client):
        (row,) = client.get(EVENTS, {"product": "su-north"}).json()["results"]
        return client.get(f"{EVENTS}{row['id']}/", {"tz": "Europe/London"}).json()

    def test_shows_a_dsrsp_its_own_instruction_whole(self, world, client_of):
        event = self.event(client_of("alpha"))

        assert (event["node"], event["direction"], event["price_gbp_per_mwh"]) == ("north-p", "turn_down", "300.00")
        assert event["starts_local"] == "2026-01-14 18:00 GMT"
        assert event["instructions"] == [
            {
                "dsrsp": "alpha",
                "run": f"run_{world.runs['north'].pk}",
                "instructed_kw": [5.0] * 4,
                "expected_baseline_kw": [9.0] * 4,
                "planned_kw": [4.0] * 4,
            }
        ]

    @pytest.mark.parametrize("code", ["north", "market"])
    def test_shows_the_buyer_what_was_instructed_and_no_more(self, client_of, code):
        instructions = self.event(client_of(code))["instructions"]

        assert [one["dsrsp"] for one in instructions] == ["alpha", "beta"]
        assert {one["planned_kw"] for one in instructions} == {None}
        assert {one["expected_baseline_kw"] for one in instructions} == {None}
        assert all(one["instructed_kw"] == [5.0] * 4 for one in instructions)

    def test_shows_the_platform_everything(self, client_of):
        assert [one["planned_kw"] for one in self.event(client_of("platform"))["instructions"]] == [[4.0] * 4] * 2

    def test_is_not_there_for_others(self, client_of):
        path = f"{EVENTS}flexevent_{FlexEvent.objects.get(product__code='su-north').pk}/"

        for code in ("gamma", "south"):
            assert client_of(code).get(path).status_code == 404, code
