"""Nominated baselines over the API: a DSRSP's own, those for products a DNO buys, and handing one in."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from aggregator.core.timegrid import LONDON, settlement_day
from markets.models import Nomination, Product
from tests.machines import as_machine, send

PATH = "/api/v1/nominations/"


def found(client, **query) -> list[dict]:
    response = client.get(PATH, query)
    assert response.status_code == 200, response.content
    return response.json()["results"]


@pytest.fixture
def product(world) -> Product:
    return Product.objects.create(
        code="nominated",
        name="Nominated",
        buyer=world.organisations["north"],
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        baseline_method="nomination",
    )


@pytest.fixture
def asked(world, product) -> dict:
    """A day ahead, at the feeder of alpha's many EVSEs."""
    day = datetime.now(tz=UTC).date() + timedelta(days=5)
    while day.month in (3, 10):  # no clock change
        day += timedelta(days=31)
    return {
        "product": product.code,
        "node": "north-large",
        "settlement_date": day.isoformat(),
        "power_kw": [1.5] * 47 + [None],
    }


def post(client, body):
    return send(client, "post", PATH, body, idempotency_key=uuid4().hex)


class TestNominations:
    def test_lists_a_dsrsp_s_own_and_a_buyer_those_for_its_products(self, client_of):
        assert [one["dsrsp"] for one in found(client_of("alpha"))] == ["alpha"]
        assert sorted(one["dsrsp"] for one in found(client_of("north"))) == ["alpha", "beta"]
        assert len(found(client_of("platform"))) == 3
        assert found(client_of("market")) == []

    def test_filters(self, client_of):
        (own,) = found(client_of("alpha"), settlement_date="2026-01-14")
        assert found(client_of("alpha"), node=own["node"], product=own["product"], dsrsp="alpha") == [own]
        assert found(client_of("alpha"), dsrsp="beta") == found(client_of("alpha"), node="S9") == []

    def test_takes_one(self, world, client_of, asked):
        client = client_of("alpha")
        response = post(client, asked)

        assert response.status_code == 201, response.content
        shown = response.json()
        assert {name: shown[name] for name in asked} == asked
        assert (shown["dsrsp"], shown["is_late"]) == ("alpha", False)
        assert client.get(response.headers["Location"]).json() == shown
        assert Nomination.objects.for_tenant(world.organisations["alpha"]).count() == 2

    def test_marks_what_comes_late(self, client_of, asked):
        """Today's deadline was yesterday at noon; of a day of the clock's change the periods are others."""
        today = datetime.now(tz=LONDON).date()
        body = {**asked, "settlement_date": today.isoformat(), "power_kw": [0.5] * settlement_day(today).n_period}
        response = post(client_of("alpha"), body)
        assert (response.status_code, response.json()["is_late"]) == (201, True), response.content

    @pytest.mark.parametrize(
        "change",
        [
            {"power_kw": [1.5] * 45},
            {"power_kw": ["1.5"] * 48},
            {"power_kw": [1e9] * 48},
            {"settlement_date": "2020-01-01"},
            {"node": "nowhere"},
            {"product": "trade-north"},
            {"submitted_at": "2026-01-01T00:00:00Z"},
        ],
    )
    def test_refuses(self, client_of, asked, change):
        response = post(client_of("alpha"), {**asked, **change})
        assert 400 <= response.status_code < 500, response.content
        assert Nomination.objects.across_tenants().count() == 3

    def test_is_handed_in_by_dsrsps_alone(self, world, client_of, asked):
        assert post(client_of("north"), asked).status_code == 403
        reader = as_machine(world.organisations["alpha"], "market:read")
        assert post(reader, asked).status_code == 403

    def test_hides_another_s(self, client_of):
        (own,) = found(client_of("alpha"))
        assert client_of("beta").get(f"{PATH}{own['id']}/").status_code == 404
        assert client_of("north").get(f"{PATH}{own['id']}/").status_code == 200
