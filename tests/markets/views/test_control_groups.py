"""The pages of control groups."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from markets.models import ControlGroup, Product
from tests.aggregator.views.people import client_of, text_of
from tests.markets.builders import Cycle, make_cycle

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

NEW = "/control-groups/new/"


@pytest.fixture
def cycle() -> Cycle:
    cycle = make_cycle()
    Product.objects.create(
        code="compared",
        name="Compared SU",
        buyer=cycle.dno,
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        baseline_method="control-group-difference",
        baseline_parameters={"min_evses": 1},
    )
    return cycle


@pytest.fixture
def fred(cycle) -> Client:
    return client_of(cycle.dsrsps["flexco"], "operator", "fred")


def draw(client: Client, **changes):
    stated = {
        "product": "compared",
        "node": "F1",
        "valid_from": (timezone.now().date() + timedelta(days=3)).isoformat(),
        "n_evse": "1",
        "rotates": "never",
        "n_turn": "1",
        **changes,
    }
    return client.post(NEW, stated, follow=True)


class TestControlGroups:
    def test_draws_one_and_shows_its_evses_to_its_dsrsp_alone(self, cycle, fred):
        shown = text_of(draw(fred))

        group = ControlGroup.objects.for_tenant(cycle.dsrsps["flexco"]).get()
        (evse,) = group.members.across_tenants().values_list("evse__pseudonym", flat=True)
        assert evse in shown
        assert str(group.seed) in shown
        assert "F1" in text_of(fred.get("/control-groups/"))
        buyer = client_of(cycle.dno, "control_room_operator", "dora")
        page = buyer.get(f"/control-groups/{group.pk}/")
        assert page.status_code == 200
        assert evse not in text_of(page)
        other = client_of(cycle.dsrsps["voltway"], "operator", "vera")
        assert other.get(f"/control-groups/{group.pk}/").status_code == 404

    def test_says_what_is_refused_beside_its_field(self, cycle, fred):
        response = draw(fred, n_evse="5000")
        assert response.status_code == 409
        assert "some must be left to call" in text_of(response)
        assert draw(fred, valid_from="soon").status_code == 400
        assert not ControlGroup.objects.across_tenants().filter(organisation=cycle.dsrsps["flexco"]).exists()
