"""Stating versions of products over the API."""

import pytest

from markets.models import Product
from tests.machines import as_machine, send

PRODUCTS = "/api/v1/products/"
BODY = {
    "valid_from": "2999-02-01T00:00:00Z",
    "reason": "tender of February",
    "utilisation_gbp_per_mwh": "280.00",
    "notice_s": 1800,
    "scale": [[0.5, 0.5], [1, 1]],
    "cutoff": None,
}


def versions_of(product: Product) -> str:
    return f"{PRODUCTS}product_{product.pk}/versions/"


@pytest.fixture
def product(world) -> Product:
    return Product.objects.get(code="su-north")


@pytest.fixture
def north(world):
    return as_machine(world.organisations["north"], "products:write", "settlement:read")


def state(client, product: Product, *, key: str = "first", **changed: object):
    return send(client, "POST", versions_of(product), {**BODY, **changed}, Idempotency_Key=key)


class TestVersions:
    def test_states_the_next_version_once(self, north, product):
        answer, again = state(north, product), state(north, product)

        assert (answer.status_code, again.json()) == (201, answer.json())
        made = answer.json()
        assert (made["code"], made["version"], made["supersedes"]) == ("su-north", 2, f"product_{product.pk}")
        assert (made["utilisation_gbp_per_mwh"], made["notice_s"], made["cutoff"]) == ("280.00", 1800, None)
        assert made["scale"] == [[0.5, 0.5], [1, 1]]
        assert north.get(answer.headers["Location"]).json() == made
        rows = north.get(versions_of(product), {"order": "newest"}).json()["results"]
        assert [row["version"] for row in rows] == [2, 1]

    @pytest.mark.parametrize(
        ("changed", "status", "code"),
        [
            ({"valid_from": "2020-01-01T00:00:00Z"}, 422, "markets.invalid_product"),
            ({"baseline_method": "crystal-ball"}, 422, "markets.invalid_product"),
            ({"availability_gbp_per_mw_h": "5.00"}, 422, "markets.invalid_product"),
            ({"scale": [[0.5, 1], [1, 0.5]]}, 422, "markets.invalid_product"),
            ({"colour": "red"}, 400, None),
            ({"penalty_gbp_per_mwh": "-1"}, 400, None),
        ],
    )
    def test_refuses_what_is_no_version(self, north, product, changed, status, code):
        answer = state(north, product, **changed)

        assert answer.status_code == status
        assert (code or "") in str(answer.json())
        assert Product.objects.filter(code="su-north").count() == 1

    def test_refuses_to_follow_a_version_that_was_followed(self, north, product):
        state(north, product)

        assert state(north, product, key="second", slope=9.0).status_code == 409

    def test_is_for_the_buyer_alone(self, world, product):
        south = as_machine(world.organisations["south"], "products:write", "settlement:read")

        assert south.get(versions_of(product)).status_code == 200
        assert state(south, product).status_code == 404
        for code in ("alpha", "market"):
            assert state(as_machine(world.organisations[code]), product).status_code == 403
