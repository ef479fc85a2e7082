"""Stating a product for the first time in the browser, with the catalogue to begin with."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from aggregator.models import Event, Organisation
from markets.core.catalogue import CATALOGUE
from markets.models import Product
from tests.aggregator.views.people import client_of, let_proof_age, statuses, text_of
from tests.factories import make_dno

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
NEW = "/products/new/"


@pytest.fixture
def dno() -> Organisation:
    return make_dno("north")


@pytest.fixture
def supervisor(dno) -> Client:
    return client_of(dno, "control_room_supervisor", "sue")


def filled(client: Client, like: str = "", **changes: object) -> dict[str, object]:
    """The form as the page fills it after a template, with these fields otherwise."""
    form = client.get(NEW, {"like": like}).context["form"]
    values = {field.html_name: field.value() for field in form}
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    switches = {name: "on" for name, value in values.items() if value is True}
    off = {name for name, value in values.items() if value is False}
    kept = {name: text for name, text in texts.items() if name not in off}
    return {"like": like, **kept, **switches, "code": "evening-su", "day": "2999-02-01", **changes}


class TestNewProduct:
    def test_is_for_supervisors_of_a_buyer(self):
        allowed = {role for role, status in statuses(NEW).items() if status != 403}
        assert allowed == {"control_room_supervisor"}

    def test_is_led_to_from_the_products(self, dno, supervisor):
        assert f'href="{NEW}"' in text_of(supervisor.get("/products/"))
        operator = client_of(dno, "control_room_operator", "olga")
        assert f'href="{NEW}"' not in text_of(operator.get("/products/"))

    def test_proves_again_who_they_are_first(self, supervisor):
        let_proof_age(supervisor)
        assert supervisor.get(NEW).url.startswith("/confirm/")

    @pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.code)
    def test_states_just_what_the_catalogue_does_where_nothing_is_changed(self, dno, supervisor, entry):
        answer = supervisor.post(NEW, filled(supervisor, entry.code, reason="as published"))
        made = Product.objects.get()
        assert answer.url == f"/products/{made.pk}/"
        assert (made.buyer, made.version, made.valid_from) == (dno, 1, datetime(2999, 2, 1, tzinfo=UTC))
        assert {name: getattr(made, name) for name in entry.stated()} == entry.stated()

    def test_shows_it_whole_and_stores_nothing(self, supervisor):
        answer = supervisor.post(NEW, filled(supervisor, "nged-dynamic", utilisation_gbp_per_mwh="333.00"))
        assert answer.status_code == 200
        assert "333.00" in text_of(answer)
        assert "State evening-su v1" in text_of(answer)
        assert [(line.label, line.before, line.value) for line in answer.context["changes"]] == [
            ("Utilisation", "300", "333.00")
        ]
        assert not Product.objects.exists()

    def test_states_it_with_a_reason(self, supervisor):
        stated = filled(supervisor, utilisation_gbp_per_mwh="333.00", name="Evenings", reason="tender of February")
        supervisor.post(NEW, stated)
        made = Product.objects.get()
        assert (made.code, made.name, made.utilisation_gbp_per_mwh) == ("evening-su", "Evenings", Decimal("333.00"))
        (event,) = Event.objects.across_tenants().filter(action="product.made")
        assert (event.reason, event.actor) == ("tender of February", "person:sue")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"name": ""}, "This field is required"),
            ({"code": "with space"}, "letters, numbers, underscores or hyphens"),
            ({"code": ""}, "This field is required"),
            ({"slope": "-1"}, "slope"),
            ({"day": "soon"}, "Write the day as"),
            ({"availability_gbp_per_mw_h": "5"}, "pays no availability"),
            ({"reason": "x"}, "a reason of 3 to 500"),
        ],
        ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else None,
    )
    def test_says_why_not(self, supervisor, changes, said):
        answer = supervisor.post(NEW, filled(supervisor, **{"name": "Evenings", **changes}))
        assert answer.status_code == 400
        assert said.lower() in text_of(answer).lower()
        assert not Product.objects.exists()

    def test_takes_no_code_that_stands_for_a_product(self, supervisor):
        south = make_dno("south")
        Product.objects.create(code="evening-su", name="S", buyer=south, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        for reason, status in ((None, 400), ("tender of February", 409)):
            asked = filled(supervisor, name="Evenings")
            answer = supervisor.post(NEW, asked if reason is None else {**asked, "reason": reason})
            assert answer.status_code == status
            assert "code" in answer.context["form"].errors
        assert Product.objects.count() == 1
