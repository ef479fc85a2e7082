"""The ledger in the browser: who was paid for what, what was displaced and why, and nobody else's."""

from datetime import timedelta

import pytest
from django.utils import timezone

from markets.models import SettlementRun, ShortfallCause, Statement
from markets.services.ledger import claim_delivered
from markets.services.ledger_rules import load_default_rules
from tests.aggregator.views.people import client_of, statuses, text_of
from tests.factories import make_dno
from tests.markets.builders import make_statement
from tests.markets.ledger_builders import (
    Fleet,
    claims_for,
    co_delivery_rule,
    make_event,
    make_fleet,
    make_settlement,
    primacy_rule,
)
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet()


def settle(fleet: Fleet, product: str, amber_kwh: float, blue_kwh: float = 0.0, **event: object) -> SettlementRun:
    called = make_event(fleet, product, **event)  # type: ignore[arg-type]
    settlement = make_settlement(fleet, called)
    for dsrsp in (fleet.amber, fleet.blue):
        make_statement(settlement, dsrsp)
    claim_delivered(settlement=settlement, claims=claims_for(fleet, called, amber_kwh, blue_kwh))
    return settlement


@pytest.fixture
def displaced(fleet: Fleet) -> SettlementRun:
    primacy_rule("su", "op")
    settle(fleet, "su", 6, reference="FIRST/1")
    return settle(fleet, "op", 7, 2, reference="SECOND/1")


def address(settlement: SettlementRun) -> str:
    return f"/settlements/{settlement.pk}/ledger/"


class TestLedger:
    def test_tells_the_dsrsp_what_was_displaced_by_whom_and_why(self, fleet, displaced):
        text = text_of(client_of(fleet.amber, "operator").get(address(displaced)))
        assert "3.0000 kWh by su v1 for FIRST/1: a rule puts the other before it (su-op v1)" in text
        assert "taken from the order too" in text
        assert '<td class="num">7.0000</td><td class="num">4.0000</td><td class="num">3.0000</td>' in text

    def test_adds_up_displaced_volumes_by_cause(self, fleet, displaced):
        """The ledger's 3 kWh in one half-hour, and what was overridden in two; a car that was away commands nothing."""
        statement = Statement.objects.across_tenants().get(settlement_run=displaced, organisation=fleet.amber)
        starts_at = displaced.event.signal.starts_at
        for cause, n_half_hour, energy_kwh in (("override", 0, 1), ("override", 1, 2), ("unplugged", 0, 4)):
            at = starts_at + n_half_hour * timedelta(minutes=30)
            ShortfallCause(statement=statement, starts_at=at, cause=cause, n_evse=1, energy_kwh=energy_kwh).save()
        for viewer, role in ((fleet.amber, "operator"), (make_dno(), "control_room_operator")):
            rows = Page(text_of(client_of(viewer, role).get(address(displaced)))).rows
            told = [row for row in rows if len(row) == 6 and row[0] == "Amber" and "SP" not in row[0]]
            assert [(row[1], row[4], row[5]) for row in told] == [
                ("A rule puts the other before it", "1", "3.0000"),
                ("Consumers overrode", "2", "3.0000"),
            ]
        page = text_of(client_of(fleet.blue, "operator").get(address(displaced)))
        assert ("Displaced volumes" in page, "overrode" in page) == (False, False)

    def test_tells_a_dsrsp_nothing_of_another(self, fleet, displaced):
        text = text_of(client_of(fleet.blue, "operator").get(address(displaced)))
        assert "Blue" in text
        assert "Amber" not in text
        assert "FIRST/1" not in text

    def test_names_another_buyers_product_and_not_its_request(self, fleet):
        """What stood in the way is another DNO's: its request is not this one's to read."""
        other = make_dno("other")
        settle(fleet, "theirs", 6, reference="THEIRS/1", buyer=other)
        own = settle(fleet, "op", 7)
        text = text_of(client_of(fleet.node.organisation, "control_room_operator").get(address(own)))
        assert "by theirs v1: the other was contracted" in text
        assert "THEIRS/1" not in text

    def test_says_by_which_rule_two_are_paid(self, fleet):
        co_delivery_rule("su", "op")
        settle(fleet, "su", 6)
        text = text_of(client_of(fleet.amber, "operator").get(address(settle(fleet, "op", 7))))
        assert "co-delivery by su-with-op v1" in text

    def test_says_that_a_superseded_one_keeps_nobody_off(self, fleet, displaced):
        make_settlement(fleet, displaced.event)
        assert "Superseded" in text_of(client_of(fleet.amber, "operator").get(address(displaced)))

    def test_is_none_of_a_stranger(self, displaced):
        assert client_of(make_dno("stranger"), "control_room_operator").get(address(displaced)).status_code == 404

    def test_is_linked_from_its_settlement(self, fleet, displaced):
        page = client_of(fleet.amber, "operator").get(f"/settlements/{displaced.pk}/")
        assert f'href="{address(displaced)}"' in page.content.decode()


class TestRules:
    def test_are_published_to_every_role(self):
        assert set(statuses("/primacy/").values()) == {200}

    def test_show_every_version_with_its_doubts(self, fleet):
        load_default_rules(now=timezone.now())
        primacy_rule("a", "b", code="jump", version=1, action="block")
        primacy_rule("a", "b", code="jump", version=2, action="notify", uncertain="all of it")
        text = text_of(client_of(fleet.amber, "operator").get("/primacy/"))
        assert "ou-before-neso-dfs" in text
        assert "Uncertain: all of it" in text
        assert "replaced" in text

    def test_say_what_holds_where_there_are_none(self, fleet):
        assert "No rule is stated" in text_of(client_of(fleet.amber, "operator").get("/primacy/"))
