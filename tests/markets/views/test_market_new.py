"""Making a market and proposing a contract in the browser: by whom, what is made, what is refused beside its field."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.core.timegrid import LONDON, utc
from aggregator.models import Event, Organisation
from markets.models import Contract, Market, Product
from tests.aggregator.views.people import client_of, let_proof_age, statuses, text_of
from tests.factories import make_dno, make_node, make_organisation
from tests.walls.trading_rows import make_market

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
NEW = "/markets/new/"
CONTRACT = "/markets/evenings/contract/"


@pytest.fixture
def dno() -> Organisation:
    north = make_dno("north")
    for code in ("S1", "S2"):
        make_node(code, "distribution", dno=north)
    return north


@pytest.fixture
def product(dno) -> Product:
    return Product.objects.create(
        code="su", name="Scheduled", buyer=dno, min_kw=10.0, valid_from=datetime(2020, 1, 1, tzinfo=UTC)
    )


@pytest.fixture
def olga(dno) -> Client:
    return client_of(dno, "control_room_operator", "olga")


@pytest.fixture
def flexco() -> Organisation:
    return make_organisation("flexco")


@pytest.fixture
def market(dno, product) -> Market:
    return make_market(
        "evenings",
        dno,
        product=product,
        node_codes=["S1"],
        starts_at=timezone.now() - timedelta(days=1, hours=1),
        ends_at=timezone.now() + timedelta(days=100),
    )


def filled(client: Client, path: str, **changes: object) -> dict[str, object]:
    """What the empty form proposes, with these fields otherwise."""
    form = client.get(path).context["form"]
    values = {field.html_name: field.value() for field in form}
    return {name: value for name, value in values.items() if value is not None} | changes


def stated(client: Client, **changes: object) -> dict[str, object]:
    return filled(
        client,
        NEW,
        **{"product": "su", "name": "Evenings", "code": "evenings", "nodes": "S1, S2", "min_kw": "10", **changes},
    )


class TestNewMarket:
    def test_is_for_the_control_rooms(self, product):
        allowed = {role for role, status in statuses(NEW).items() if status != 403}
        assert allowed == {"control_room_operator", "control_room_supervisor"}

    def test_is_led_to_from_the_markets_by_whom_it_is_for(self, olga, flexco):
        assert f'href="{NEW}"' in text_of(olga.get("/markets/"))
        assert f'href="{NEW}"' not in text_of(client_of(flexco, "operator", "fred").get("/markets/"))

    def test_says_what_is_missing_where_no_product_is_stated(self, dno, olga):
        assert "buys no product yet" in text_of(olga.get(NEW))
        assert '"/products/new/"' not in text_of(olga.get(NEW))
        sue = client_of(dno, "control_room_supervisor", "sue")
        assert '"/products/new/"' in text_of(sue.get(NEW))

    def test_publishes_what_the_form_states(self, product, olga):
        weekend = {"days_2": ["6", "7"], "starts_2": "22:00", "ends_2": "02:00"}
        answer = olga.post(NEW, stated(olga, first_day="2026-03-29", last_day="2026-10-25", **weekend))
        made = Market.objects.get()

        assert answer.url == "/markets/evenings/"
        assert (made.product, made.node_codes, made.activity, made.min_kw) == (product, ["S1", "S2"], "turn_down", 10.0)
        # Both days the clocks are changed on: midnight is 00:00Z before, and 00:00Z again after.
        assert (made.starts_at, made.ends_at) == (
            datetime(2026, 3, 29, tzinfo=UTC),
            datetime(2026, 10, 26, tzinfo=UTC),
        )
        assert made.service_windows == [
            {"weekdays": [1, 2, 3, 4, 5], "starts": "16:00", "ends": "20:00"},
            {"weekdays": [6, 7], "starts": "22:00", "ends": "02:00"},
        ]
        assert made.gate_closure == {"kind": "lead", "lead_minutes": 120}
        (event,) = Event.objects.across_tenants().filter(action="market.make")
        assert event.actor == "person:olga"

    def test_takes_a_weekly_gate(self, product, olga):
        olga.post(NEW, stated(olga, gate="weekly", lead_minutes=""))
        assert Market.objects.get().gate_closure == {"kind": "weekly", "weekday": 4, "at": "00:00"}

    @pytest.mark.parametrize(
        ("changes", "field", "said"),
        [
            ({"code": "Evenings!"}, "code", "a-z, 0-9 and -"),
            ({"code": "new"}, "code", "names a page"),
            ({"nodes": "S1, nowhere"}, "nodes", "nowhere"),
            ({"nodes": " , "}, "nodes", "no node"),
            ({"min_kw": "9.9"}, "min_kw", "10 kW or more"),
            ({"min_kw": "nan"}, "min_kw", "a number"),
            ({"last_day": "2020-01-01"}, "last_day", "before the first day"),
            ({"first_day": "soon"}, "first_day", "Write the day as"),
            ({"last_day": "9999-12-31"}, "last_day", "2000 to 2099"),
            ({"days_1": []}, "days_1", "required"),
            ({"gate": "lead", "lead_minutes": ""}, "lead_minutes", "required"),
            ({"gate": "weekly", "gate_clock": ""}, "gate_clock", "required"),
            ({"days_2": ["1"], "starts_2": ""}, "starts_2", "start and its end"),
            ({"product": "other"}, "product", "valid choice"),
        ],
        ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else None,
    )
    def test_says_beside_the_field_why_not(self, product, olga, changes, field, said):
        answer = olga.post(NEW, stated(olga, **changes))
        assert answer.status_code in (400, 409)
        assert said in str(answer.context["form"].errors[field])
        assert not Market.objects.exists()

    def test_names_no_market_twice(self, market, olga):
        answer = olga.post(NEW, stated(olga))
        assert (answer.status_code, Market.objects.count()) == (409, 1)
        assert "choose another code" in text_of(answer)

    def test_takes_no_node_and_no_product_of_another_buyer(self, product, olga):
        south = make_dno("south")
        make_node("T1", "distribution", dno=south)
        Product.objects.create(code="th", name="Th", buyer=south, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        assert olga.post(NEW, stated(olga, nodes="T1")).status_code == 409
        assert olga.post(NEW, stated(olga, product="th")).status_code == 400
        assert not Market.objects.exists()


class TestNewContract:
    STATED = {"dsrsp": "flexco", "max_kw": "40", "price_gbp_per_mwh": "250.00", "reference": "C/1"}

    def test_proposes_it_from_tomorrow_to_the_markets_end(self, market, flexco, olga):
        assert CONTRACT in text_of(olga.get("/markets/evenings/"))
        assert olga.post(CONTRACT, filled(olga, CONTRACT, **self.STATED)).url == "/markets/evenings/"
        made = Contract.objects.across_tenants().get()
        tomorrow = timezone.now().astimezone(LONDON).date() + timedelta(days=1)
        assert (made.starts_at, made.ends_at) == (utc(tomorrow, time(0)), market.ends_at)
        assert (made.organisation, made.max_kw, made.price_gbp_per_mwh) == (flexco, 40.0, Decimal("250.00"))
        assert made.state == "proposed"

    def test_begins_with_the_market_on_its_first_day(self, market, flexco, olga):
        first = market.starts_at.astimezone(LONDON).date()
        olga.post(CONTRACT, filled(olga, CONTRACT, **self.STATED, first_day=first.isoformat()))
        assert Contract.objects.across_tenants().get().starts_at == market.starts_at

    @pytest.mark.parametrize(
        ("changes", "field", "said"),
        [
            ({"max_kw": "0.5"}, "max_kw", "no less than the market"),
            ({"price_gbp_per_mwh": "-1"}, "price_gbp_per_mwh", "greater than or equal to 0"),
            ({"price_gbp_per_mwh": "1.005"}, "price_gbp_per_mwh", "2 decimal places"),
            ({"dsrsp": "other"}, "dsrsp", "valid choice"),
            ({"last_day": "2090-01-01"}, "last_day", "expected within market"),
            ({"reference": ""}, "reference", "required"),
        ],
        ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else None,
    )
    def test_says_beside_the_field_why_not(self, market, flexco, olga, changes, field, said):
        answer = olga.post(CONTRACT, filled(olga, CONTRACT, **{**self.STATED, **changes}))
        assert answer.status_code in (400, 409)
        assert said in str(answer.context["form"].errors[field])
        assert not Contract.objects.across_tenants().exists()

    def test_proves_again_who_they_are_first(self, market, olga):
        let_proof_age(olga)
        assert olga.get(CONTRACT).url.startswith("/confirm/")
        assert olga.post(CONTRACT, self.STATED).url.startswith("/confirm/")

    def test_is_the_buyers_alone(self, market, flexco):
        other = client_of(make_dno("south"), "control_room_operator", "sam")
        assert other.get(CONTRACT).status_code == 404
        assert client_of(flexco, "operator", "fred").get(CONTRACT).status_code == 403

    def test_is_not_offered_once_the_market_is_over(self, dno, product, olga):
        ended = timezone.now() - timedelta(days=1)
        make_market("past", dno, product=product, starts_at=ended - timedelta(days=9), ends_at=ended)
        assert "/markets/past/contract/" not in text_of(olga.get("/markets/past/"))


def test_a_day_is_local(product, olga):
    """Midnight of a summer day is 23:00Z of the day before."""
    olga.post(NEW, stated(olga, first_day="2026-06-01", last_day="2026-06-01"))
    made = Market.objects.get()
    assert made.starts_at == datetime(2026, 5, 31, 23, tzinfo=UTC)
    assert made.ends_at - made.starts_at == timedelta(days=1)
    assert made.starts_at.astimezone(LONDON).date() == date(2026, 6, 1)
