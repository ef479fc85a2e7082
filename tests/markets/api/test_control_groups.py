"""Control groups over the API: drawn or named by a DSRSP, which alone sees the EVSEs."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from markets.models import ControlGroup, ControlGroupMember, Product
from tests.machines import send

PATH = "/api/v1/control-groups/"


@pytest.fixture
def product(world) -> Product:
    return Product.objects.create(
        code="compared",
        name="Compared",
        buyer=world.organisations["north"],
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        baseline_method="control-group-ratio",
        baseline_parameters={"min_evses": 2},
    )


@pytest.fixture
def asked(product) -> dict:
    """A draw at the feeder of alpha's many EVSEs."""
    day = datetime.now(tz=UTC).date() + timedelta(days=5)
    return {"product": product.code, "node": "north-large", "valid_from": day.isoformat(), "n_evse": 2, "seed": 5}


def post(client, body):
    return send(client, "post", PATH, body, idempotency_key=uuid4().hex)


class TestControlGroups:
    def test_lists_a_dsrsp_s_own_and_a_buyer_those_for_its_products(self, client_of):
        def seen(name: str) -> list[str]:
            return sorted(one["dsrsp"] for one in client_of(name).get(PATH).json()["results"])

        assert (seen("alpha"), seen("north"), seen("market")) == (["alpha"], ["alpha", "beta"], [])

    def test_draws_one(self, world, client_of, asked):
        client = client_of("alpha")
        response = post(client, asked)

        assert response.status_code == 201, response.content
        shown = response.json()
        assert {name: shown[name] for name in asked} == asked
        assert (shown["dsrsp"], shown["rotates"], shown["n_turn"], shown["valid_until"]) == ("alpha", "never", 1, None)
        where = response.headers["Location"]
        assert client.get(where).json() == shown
        evses = client.get(f"{where}evses/").json()["results"]
        group = ControlGroup.objects.for_tenant(world.organisations["alpha"]).get(seed=5)
        members = ControlGroupMember.objects.across_tenants().filter(group=group)
        assert {one["evse"] for one in evses} == set(members.values_list("evse__pseudonym", flat=True))
        assert client_of("north").get(f"{where}evses/").json()["results"] == []
        assert client_of("beta").get(f"{where}evses/").status_code == 404

    def test_makes_up_a_seed_and_takes_a_list(self, client_of, asked):
        drawn = post(client_of("alpha"), {name: value for name, value in asked.items() if name != "seed"}).json()
        assert drawn["seed"] is not None
        evses = client_of("alpha").get(f"{PATH}{drawn['id']}/evses/").json()["results"]
        named = {**asked, "evses": [one["evse"] for one in evses]}
        del named["n_evse"], named["seed"]
        assert post(client_of("alpha"), named).json()["seed"] is None

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"n_evse": 1}, "baseline.control_group_refused"),
            ({"valid_from": "2026-01-01"}, "baseline.control_group_refused"),
            ({"evses": ["evse_no"], "n_evse": None, "seed": None}, "baseline.unknown_control_evse"),
        ],
        ids=["too small", "past", "not its own"],
    )
    def test_refuses_with_a_reason(self, client_of, asked, changes, code):
        body = {name: value for name, value in {**asked, **changes}.items() if value is not None}
        response = post(client_of("alpha"), body)
        assert response.status_code in (409, 422), response.content
        assert code in response.content.decode()
