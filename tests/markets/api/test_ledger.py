"""The ledger and its rules over the API."""

import pytest

from aggregator.models import Organisation
from markets.services.ledger import claim_delivered
from tests.machines import as_machine
from tests.markets.builders import make_statement
from tests.markets.ledger_builders import (
    claims_for,
    co_delivery_rule,
    make_event,
    make_fleet,
    make_settlement,
    primacy_rule,
)

pytestmark = pytest.mark.django_db


def reader(organisation: Organisation):
    return as_machine(organisation, "settlement:read")


@pytest.fixture
def displaced():
    fleet = make_fleet()
    primacy_rule("su", "op")
    made = []
    for product, amber_kwh in (("su", 6), ("op", 7)):
        event = make_event(fleet, product, reference=f"{product.upper()}/1")
        settlement = make_settlement(fleet, event)
        for dsrsp in (fleet.amber, fleet.blue):
            make_statement(settlement, dsrsp)
        claim_delivered(settlement=settlement, claims=claims_for(fleet, event, amber_kwh, 1))
        made.append(settlement)
    return fleet, made[1]


class TestLedger:
    def test_says_what_is_payable_and_what_was_displaced(self, displaced):
        fleet, settlement = displaced
        body = reader(fleet.amber).get(f"/api/v1/settlement-runs/settlement_{settlement.pk}/ledger/").json()
        assert (body["settlement"], body["reference"], body["in_force"]) == (
            f"settlement_{settlement.pk}",
            "OP/1",
            True,
        )
        (claim,) = body["claims"]
        assert claim["dsrsp"] == "amber"
        assert (claim["claimed_kwh"], claim["payable_kwh"], claim["void_kwh"]) == ("7.0000", "4.0000", "3.0000")
        assert claim["period"] == 37
        assert claim["displaced"] == [
            {
                "displaced_kwh": "3.0000",
                "by_product": "su v1",
                "by_reference": "SU/1",
                "reason": "primacy",
                "rule": "su-op v1",
                "settled_as": "void",
            }
        ]

    def test_shows_the_buyer_all(self, displaced):
        fleet, settlement = displaced
        body = reader(fleet.node.organisation).get(f"/api/v1/settlement-runs/settlement_{settlement.pk}/ledger/").json()
        assert [claim["dsrsp"] for claim in body["claims"]] == ["amber", "blue"]

    def test_knows_no_such_settlement(self, displaced):
        fleet, _ = displaced
        assert reader(fleet.amber).get("/api/v1/settlement-runs/settlement_999999/ledger/").status_code == 404


class TestRules:
    def test_are_listed_with_every_version(self, displaced):
        fleet, _ = displaced
        primacy_rule("su", "op", version=2, action="notify")
        rows = reader(fleet.amber).get("/api/v1/primacy-rules/", {"code": "su-op"}).json()["results"]
        assert [(row["version"], row["action"], row["lead_time_s"]) for row in rows] == [
            (1, "curtail", 0),
            (2, "notify", 0),
        ]
        assert rows[0]["source"] == "a test"

    def test_of_stacking_too(self, displaced):
        fleet, _ = displaced
        co_delivery_rule("su", "op")
        (row,) = reader(fleet.amber).get("/api/v1/stacking-rules/").json()["results"]
        assert (row["code"], row["kind"], row["is_allowed"]) == ("su-with-op", "co-delivery", True)
