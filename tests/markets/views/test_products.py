"""Products in the browser: the list, a version, and stating the next one."""

from datetime import UTC, datetime

import pytest
from django.test import Client

from aggregator.models import Event, Organisation
from markets.models import Product
from markets.services.catalogue import load_catalogue
from tests.aggregator.views.people import client_of, let_proof_age, statuses, text_of
from tests.factories import make_dno

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def dno() -> Organisation:
    return make_dno("north")


@pytest.fixture
def product(dno) -> Product:
    return Product.objects.create(code="su", name="Scheduled", buyer=dno, valid_from=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture
def supervisor(dno) -> Client:
    return client_of(dno, "control_room_supervisor", "sue")


def change(product: Product) -> str:
    return f"/products/{product.pk}/change/"


def stated(client: Client, product: Product, **changes: object):
    """Post the form as the page fills it, with these fields otherwise."""
    form = client.get(change(product)).context["form"]
    values = {field.html_name: field.value() for field in form}
    filled = {name: "" if value is None else str(value) for name, value in values.items()}
    filled.update({"baseline_parameters": "{}", "scale": "", "day": "2999-02-01"})
    filled["floor_at_zero"] = "on"
    return client.post(change(product), {**filled, **changes})


class TestProducts:
    def test_shows_the_newest_version_of_each_to_everybody_who_sees_statements(self, supervisor, product):
        load_catalogue(now=datetime(2026, 1, 1, tzinfo=UTC))
        page = text_of(supervisor.get("/products/"))

        assert "su v1" in page
        assert "nged-dynamic v1" in page
        assert "ukpn-scheduled" not in text_of(supervisor.get("/products/?q=nged"))
        assert "No product fits" in text_of(supervisor.get("/products/?q=nothing"))


class TestProductPage:
    def test_shows_every_term_and_what_a_version_changed(self, supervisor, product):
        stated(supervisor, product, slope="2", reason="softer")
        newest = Product.objects.get(version=2)
        page = text_of(supervisor.get(f"/products/{newest.pk}/"))

        assert "Slope: 3 → 2" in page
        assert "Mid 8-in-10 with same-day adjustment" in page
        assert "Not yet valid" in page
        assert "In force" in text_of(supervisor.get(f"/products/{product.pk}/"))

    def test_says_that_a_version_was_superseded(self, supervisor, dno, product):
        later = datetime(2021, 1, 1, tzinfo=UTC)
        Product.objects.create(code="su", version=2, name="S", buyer=dno, valid_from=later, supersedes=product)

        assert "Superseded" in text_of(supervisor.get(f"/products/{product.pk}/"))

    def test_knows_no_other(self, supervisor):
        assert supervisor.get("/products/999/").status_code == 404


class TestChangeProduct:
    def test_is_for_supervisors_of_the_buyer(self, product):
        allowed = {role for role, status in statuses(change(product)).items() if status != 403}

        assert allowed == {"control_room_supervisor"}

    def test_is_not_for_another_buyer(self, product):
        other = client_of(make_dno("south"), "control_room_supervisor", "sam")

        assert other.get(change(product)).status_code == 404

    def test_proves_again_who_they_are_first(self, supervisor, product):
        let_proof_age(supervisor)

        assert supervisor.get(change(product)).status_code == 302

    def test_shows_what_would_be_otherwise_and_stores_nothing(self, supervisor, product):
        answer = stated(supervisor, product, slope="2", notice="15", utilisation_gbp_per_mwh="300")
        page = text_of(answer)

        assert answer.status_code == 200
        assert "15 minutes" in page
        assert [line.label for line in answer.context["changes"]] == ["Notice", "Utilisation", "Slope"]
        assert Product.objects.count() == 1

    def test_states_the_version_with_a_reason(self, supervisor, product):
        answer = stated(supervisor, product, slope="2", reason="tender of February")
        made = Product.objects.get(version=2)

        assert answer.headers["Location"] == f"/products/{made.pk}/"
        assert (made.slope, made.supersedes, made.floor_at_zero) == (2.0, product, True)
        assert made.valid_from == datetime(2999, 2, 1, tzinfo=UTC)
        (event,) = Event.objects.across_tenants().filter(action="product.revised")
        assert (event.reason, event.actor) == ("tender of February", "person:sue")

    @pytest.mark.parametrize(
        ("changes", "status", "said"),
        [
            ({}, 400, "would state just what v1 does"),
            ({"slope": "2", "reason": "x"}, 400, "a reason of 3 to 500"),
            ({"slope": "-1"}, 400, "slope"),
            ({"slope": "2", "day": "2020-01-01"}, 400, "would be valid from"),
            ({"availability_gbp_per_mw_h": "5"}, 400, "pays no availability"),
            ({"family": "sustain"}, 400, "Select a valid choice"),
        ],
    )
    def test_says_beside_the_field_why_not(self, supervisor, product, changes, status, said):
        answer = stated(supervisor, product, **changes)

        assert answer.status_code == status
        assert said.lower() in text_of(answer).lower()
        assert Product.objects.count() == 1

    def test_refuses_to_follow_a_version_that_was_followed(self, supervisor, product):
        stated(supervisor, product, slope="2", reason="first")

        assert stated(supervisor, product, slope="4", reason="second").status_code == 409
