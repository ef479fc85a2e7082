"""Findings on statements' pages, and events with their gaming flag in the laboratory."""

import pytest

from aggregator.models import Finding
from markets.core.gaming_findings import FLAG
from markets.models import FlexEvent, Statement
from tests.aggregator.views.people import client_of, text_of
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
        organisation=flexco,
    ).save()
    return statement


class TestStatementPage:
    def test_says_what_was_noticed_to_its_dsrsp_alone(self, cycle, flagged):
        address = f"/statements/{flagged.pk}/"
        assert SAID in text_of(client_of(cycle.dsrsps["flexco"], "operator", "fred").get(address))
        assert SAID not in text_of(client_of(cycle.dno, "control_room_operator", "olga").get(address))


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
