"""Findings on statements' pages, and events with their gaming flag in the laboratory."""

import pytest

from aggregator.models import Finding
from markets.core.gaming_findings import FLAG
from markets.models import FlexEvent, Statement
from tests.aggregator.views.people import client_of, text_of
from tests.factories import make_organisation
from tests.markets.builders import Cycle, make_cycle

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

SAID = "198.0 kWh in the window before the event"


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def flagged(cycle) -> Statement:
    """Flexco's statement, whose settlement noticed a departure."""
    flexco = cycle.dsrsps["flexco"]
    statement = Statement.objects.for_tenant(flexco).order_by("pk").last()
    Finding(
        code=FLAG,
        subject="flexco",
        message=SAID,
        source=f"settlement:{statement.settlement_run_id}",
        noticed_at=cycle.grid.ends_at,
        details={"t": 5.12, "p": 0.0004, "n_days": 10, "window_kwh": 198.0},
        organisation=flexco,
    ).save()
    return statement


class TestStatementPage:
    def test_says_what_was_noticed_to_its_dsrsp_alone(self, cycle, flagged):
        address = f"/statements/{flagged.pk}/"
        assert SAID in text_of(client_of(cycle.dsrsps["flexco"], "operator", "fred").get(address))
        assert SAID not in text_of(client_of(cycle.dno, "control_room_operator", "olga").get(address))


TOLD = "unlike on its 10 like days (t = 5.1, p = 0.0004)"


class TestGamingFlag:
    """Who pays must know of it; what its fleet drew is its DSRSP's."""

    def pages(self, flagged) -> list[str]:
        run = flagged.settlement_run
        return [f"/statements/{flagged.pk}/", f"/settlements/{run.pk}/", f"/requests/{run.event.signal.reference}/"]

    def test_is_told_to_the_buyer_on_statement_settlement_and_request(self, cycle, flagged):
        olga = client_of(cycle.dno, "control_room_operator", "olga")
        for address in self.pages(flagged):
            page = text_of(olga.get(address))
            assert (TOLD in page, SAID in page, "Flexco" in page) == (True, False, True), address

    def test_is_told_to_market_operators_and_the_platform(self, cycle, flagged):
        for kind, role in (("market_operator", "market_operator"), ("platform", "platform_admin")):
            somebody = client_of(make_organisation(kind.replace("_", "-"), kind), role, kind)
            assert TOLD in text_of(somebody.get(self.pages(flagged)[1]))

    def test_is_told_to_no_other_dsrsp_nor_of_another_statement(self, cycle, flagged):
        vera = client_of(cycle.dsrsps["voltway"], "operator", "vera")
        olga = client_of(cycle.dno, "control_room_operator", "olga")
        own = flagged.settlement_run.statements.across_tenants().get(organisation=cycle.dsrsps["voltway"])
        for client, address in ((vera, self.pages(flagged)[1]), (vera, f"/statements/{own.pk}/")):
            assert "Before the event" not in text_of(client.get(address))
        assert "Before the event" not in text_of(olga.get(f"/statements/{own.pk}/"))

    def test_says_its_energies_to_its_dsrsp(self, cycle, flagged):
        fred = client_of(cycle.dsrsps["flexco"], "operator", "fred")
        assert SAID in text_of(fred.get(self.pages(flagged)[1]))

    def test_is_listed_in_the_buyers_laboratory(self, cycle, flagged):
        event = FlexEvent.objects.select_related("signal").get(pk=flagged.settlement_run.event_id)
        day = event.signal.starts_at.date().isoformat()
        olga = client_of(cycle.dno, "control_room_operator", "olga")
        assert f"Flexco: before the event its fleet drew {TOLD}" in text_of(
            olga.get("/baselines/", {"from": day, "to": day})
        )


class TestBaselineLab:
    def test_lists_events_of_the_days_with_their_flag(self, cycle, flagged):
        event = FlexEvent.objects.select_related("signal").get(pk=flagged.settlement_run.event_id)
        day = event.signal.starts_at.date().isoformat()
        of_day, before = {"from": day, "to": day}, {"from": "2025-12-01", "to": "2025-12-02"}
        fred = client_of(cycle.dsrsps["flexco"], "operator", "fred")
        vera = client_of(cycle.dsrsps["voltway"], "operator", "vera")

        text = text_of(fred.get("/baselines/", of_day))
        assert event.signal.reference in text
        assert SAID in text
        assert SAID not in text_of(vera.get("/baselines/", of_day))
        assert event.signal.reference not in text_of(fred.get("/baselines/", before))
