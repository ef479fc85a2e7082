"""The pages of nominated baselines."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from markets.models import Nomination, Product
from tests.aggregator.views.people import client_of, text_of
from tests.markets.builders import Cycle, make_cycle
from tests.walls.trading_rows import make_nomination

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

NEW = "/nominations/new/"


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def product(cycle) -> Product:
    return Product.objects.create(
        code="nominated",
        name="Nominated SU",
        buyer=cycle.dno,
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        baseline_method="nomination",
    )


@pytest.fixture
def fred(cycle) -> Client:
    return client_of(cycle.dsrsps["flexco"], "operator", "fred")


def file(text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("week.csv", text.encode(), content_type="text/csv")


def dated(kw: float = 2.0, *, days_ahead: int = 3) -> str:
    day = timezone.now().date() + timedelta(days=days_ahead)
    return f"settlement_date,settlement_period,power_kw\n{day},35,{kw}\n"


def post(client: Client, text: str, **changes):
    return client.post(NEW, {"product": "nominated", "node": "F1", "file": file(text), **changes}, follow=True)


class TestNominations:
    def test_lists_what_was_handed_in_and_what_came_late(self, cycle, product, fred):
        flexco = cycle.dsrsps["flexco"]
        make_nomination(product, flexco, cycle.nodes["F1"], power_kw=[2.0] * 47 + [None])
        at = datetime(2026, 1, 13, 12, tzinfo=UTC)
        make_nomination(product, flexco, cycle.nodes["F1"], submitted_at=at, recorded_at=at)
        make_nomination(product, cycle.dsrsps["voltway"], cycle.nodes["F2"])

        text = text_of(fred.get("/nominations/"))

        assert text.count("late") == 1
        assert "47 of 48" in text
        assert "47.0" in text
        assert "voltway" not in text.lower()
        assert "Nothing was nominated" in text_of(fred.get("/nominations/?day=2026-01-15"))

    def test_shows_one_by_settlement_period(self, cycle, product, fred):
        row = make_nomination(product, cycle.dsrsps["flexco"], cycle.nodes["F1"], power_kw=[3.25, None] * 24)
        text = text_of(fred.get(f"/nominations/{row.pk}/"))
        assert "3.25" in text
        assert "–" in text
        other = make_nomination(product, cycle.dsrsps["voltway"], cycle.nodes["F1"])
        assert fred.get(f"/nominations/{other.pk}/").status_code == 404

    def test_offers_handing_in_to_dsrsps_alone(self, cycle, fred):
        assert 'href="/nominations/new/"' in fred.get("/nominations/").content.decode()
        olga = client_of(cycle.dno, "control_room_operator", "olga")
        assert 'href="/nominations/new/"' not in olga.get("/nominations/").content.decode()
        assert olga.get(NEW).status_code == 403
        ada = client_of(cycle.dsrsps["voltway"], "auditor", "ada")
        assert ada.get(NEW).status_code == 403


class TestNewNomination:
    def test_nominates_from_a_file(self, cycle, product, fred):
        text = text_of(post(fred, dated()))
        assert "1 settlement dates are nominated, 0 stay as they stood" in text
        row = Nomination.objects.for_tenant(cycle.dsrsps["flexco"]).get()
        assert (row.power_kw[34], row.node) == (2.0, cycle.nodes["F1"])

    def test_says_what_came_late(self, cycle, product, fred):
        assert "After the deadline: 1" in text_of(post(fred, dated(days_ahead=0)))

    @pytest.mark.parametrize(
        ("text", "changes", "said"),
        [
            ("a,b\n", {}, "Line 1: expected the columns"),
            (dated(1e5), {}, "is nominated at F1"),
            (dated(), {"product": "su"}, "There is no product"),
            (dated(), {"node": "F99"}, "F99"),
            (dated(), {"first": "14/01/2026"}, "Write the day as"),
        ],
    )
    def test_says_beside_the_field_what_is_wrong(self, cycle, product, fred, text, changes, said):
        answer = post(fred, text, **changes)
        assert answer.status_code in (400, 404, 409)
        assert said in text_of(answer)
        assert not Nomination.objects.across_tenants().exists()

    def test_says_where_no_product_asks_for_it(self, fred):
        assert "No product here has a baseline that is nominated." in text_of(fred.get(NEW))
