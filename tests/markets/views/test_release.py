"""Releasing a settlement's statements in the browser: two market operators, once."""

import pytest
from django.test import Client

from aggregator.models import ControlAct, Organisation
from markets.models import StatementRelease
from tests.aggregator.views.people import client_of, let_proof_age, statuses, text_of
from tests.factories import make_organisation
from tests.markets.builders import Cycle, make_cycle

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def market() -> Organisation:
    return make_organisation("elx", "market_operator")


@pytest.fixture
def mia(market) -> Client:
    return client_of(market, "market_operator", "mia")


@pytest.fixture
def max_(market) -> Client:
    return client_of(market, "market_operator", "max")


@pytest.fixture
def settlement(cycle) -> str:
    return f"/settlements/{cycle.statements['flexco'].settlement_run_id}/"


def act() -> ControlAct:
    return ControlAct.objects.across_tenants().get()


class TestWhoMayRelease:
    def test_is_market_operators(self, settlement):
        answers = statuses(f"{settlement}release/")

        assert {role for role, status in answers.items() if status == 200} == {"market_operator"}

    def test_is_offered_to_nobody_else(self, cycle, settlement, mia, market):
        assert f'href="{settlement}release/"' in text_of(mia.get(settlement))
        for client in (client_of(cycle.dno, "control_room_supervisor"), client_of(market, "auditor")):
            assert "release/" not in text_of(client.get(settlement))

    def test_proves_again_who_they_are(self, settlement, mia):
        let_proof_age(mia)

        assert mia.get(f"{settlement}release/").url.startswith("/confirm/")
        assert mia.post(f"{settlement}release/", {"reason": "month end"}).url.startswith("/confirm/")
        assert not ControlAct.objects.across_tenants().exists()

    def test_needs_a_token_against_forgery(self, settlement, market):
        client = client_of(market, "market_operator", "eve", enforce_csrf_checks=True)

        assert client.post(f"{settlement}release/", {"reason": "month end"}).status_code == 403

    def test_is_404_for_a_settlement_that_is_not_there(self, mia):
        assert mia.get("/settlements/999999/release/").status_code == 404
        assert mia.post("/settlements/999999/release/", {"reason": "month end"}).status_code == 404


class TestReleasing:
    def test_shows_what_would_be_final(self, settlement, mia):
        page = text_of(mia.get(f"{settlement}release/"))

        assert "<dt>Statements made final</dt><dd>2 " in page
        assert "8.56 GBP" in page
        assert "A second person must approve it" in page
        assert "autofocus" not in page

    def test_takes_two_people(self, settlement, mia, max_):
        response = mia.post(f"{settlement}release/", {"reason": "month end"})

        assert response.url == f"/control-acts/{act().pk}/"
        assert "waits for a second person" in text_of(mia.get(settlement))
        assert mia.post(f"{response.url}approve/").status_code == 403
        assert not StatementRelease.objects.exists()

        max_.post(f"{response.url}approve/")

        assert StatementRelease.objects.count() == 1
        page = text_of(mia.get(settlement))
        assert "Released" in page
        assert "release/" not in page
        assert "released" in text_of(mia.get("/statements/?state=released"))

    def test_asks_once_when_clicked_twice(self, settlement, mia):
        first = mia.post(f"{settlement}release/", {"reason": "month end"})
        again = mia.post(f"{settlement}release/", {"reason": "month end"})

        assert first.url == again.url
        assert ControlAct.objects.across_tenants().count() == 1

    def test_needs_a_reason(self, settlement, mia):
        response = mia.post(f"{settlement}release/", {"reason": ""})

        assert response.status_code == 409
        assert "The reason has 0 characters" in text_of(response)

    def test_says_when_it_was_released_already(self, settlement, mia, max_):
        mia.post(f"{settlement}release/", {"reason": "month end"})
        max_.post(f"/control-acts/{act().pk}/approve/")

        assert "was released already" in text_of(mia.get(f"{settlement}release/"))
        assert mia.post(f"{settlement}release/", {"reason": "again"}).status_code == 409
