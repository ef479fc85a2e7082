"""Trading in the browser: a request is published, offered on, accepted, dispatched, stopped; by whom it may be."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import ControlAct, Organisation
from dispatch.models import TargetSignal
from markets.models import Contract, FlexOffer, FlexOrder, FlexRequest, Market
from tests.aggregator.views.people import client_of, let_proof_age, statuses, text_of
from tests.factories import make_organisation
from tests.markets.builders import Cycle, make_cycle
from tests.markets.site import Page
from tests.walls.trading_rows import make_contract, make_flex_request, make_market, make_offer, make_order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def flexco() -> Organisation:
    return make_organisation("flexco")


@pytest.fixture
def olga(cycle) -> Client:
    return client_of(cycle.dno, "control_room_operator", "olga")


@pytest.fixture
def fred(cycle, flexco) -> Client:
    return client_of(flexco, "operator", "fred")


@pytest.fixture
def market(cycle) -> Market:
    now = timezone.now()
    return make_market(
        "evenings",
        cycle.dno,
        node_codes=["S1"],
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=100),
        gate_closure={"kind": "lead", "lead_minutes": 60},
    )


@pytest.fixture
def request_(cycle, market) -> FlexRequest:
    starts_at = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(days=2)
    return make_flex_request(
        "R/1",
        market,
        cycle.nodes["F1"],
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        gate_closes_at=starts_at - timedelta(hours=1),
        expires_at=starts_at - timedelta(hours=1),
        published_at=timezone.now(),
    )


@pytest.fixture
def offer(request_, flexco) -> FlexOffer:
    return make_offer("A/1", request_, flexco).offer


@pytest.fixture
def order(offer) -> FlexOrder:
    made = make_order("O/1", offer.options.get())
    FlexOffer.objects.across_tenants().filter(pk=offer.pk).update(state="accepted")
    return made


def tomorrow() -> date:
    return (timezone.now() + timedelta(days=1)).date()


class TestMarketPages:
    def test_list_every_market_for_everybody(self, market):
        assert set(statuses("/markets/").values()) == {200}

    def test_say_its_terms_and_offer_a_request_to_its_buyer_alone(self, market, olga, fred):
        told = text_of(olga.get("/markets/evenings/"))
        assert "1 h before the window starts" in told
        assert "/markets/evenings/request/" in told
        assert "/markets/evenings/request/" not in text_of(fred.get("/markets/evenings/"))

    def test_are_404_for_what_is_not_there(self, olga):
        assert olga.get("/markets/nothing/").status_code == 404

    def test_suspend_and_resume(self, market, olga):
        assert olga.post("/markets/evenings/", {"act": "suspend", "reason": "of the test"}).status_code == 302
        assert Market.objects.get().state == "suspended"
        again = olga.post("/markets/evenings/", {"act": "suspend", "reason": "of the test"})
        assert (again.status_code, "which is suspended" in text_of(again)) == (409, True)

    def test_need_a_reason(self, market, olga):
        answer = olga.post("/markets/evenings/", {"act": "suspend", "reason": ""})
        assert (answer.status_code, Market.objects.get().state) == (409, "open")

    def test_let_the_dsrsp_agree_to_a_contract(self, market, fred, flexco):
        contract = make_contract("C/1", market, flexco)
        assert fred.post("/markets/evenings/", {"act": "agree to", "contract": "C/1", "reason": "fine by us"})
        assert Contract.objects.across_tenants().get(pk=contract.pk).state == "in_force"


class TestAskForFlexibility:
    STATED = {"node": "F1", "clock": "17:00", "n_period": "2", "power_kw": "12.5", "reference": "R/9"}

    def test_publishes_it(self, market, olga):
        stated = {**self.STATED, "day": tomorrow().isoformat()}
        answer = olga.post("/markets/evenings/request/", stated)
        made = FlexRequest.objects.get()
        assert answer.url == f"/flex-requests/{made.pk}/"
        assert (made.node.code, made.requested_kw, made.state) == ("F1", [12.5, 12.5], "published")

    def test_says_beside_the_field_what_is_wrong(self, market, olga):
        for changes, said in (
            ({"clock": "11:00"}, "leaves the service windows"),
            ({"node": "nowhere"}, "nowhere"),
            ({"power_kw": "0.5"}, "1 kW or more"),
            ({"day": "soon"}, "Write the day as"),
        ):
            answer = olga.post("/markets/evenings/request/", {**self.STATED, "day": tomorrow().isoformat(), **changes})
            assert answer.status_code in (400, 409)
            assert said in text_of(answer)
        assert not FlexRequest.objects.exists()

    def test_is_its_buyers_alone(self, market, fred):
        other = client_of(make_organisation("other", "dno"), "control_room_operator", "other")
        assert fred.get("/markets/evenings/request/").status_code == 403
        assert other.get("/markets/evenings/request/").status_code == 404


class TestOfferPages:
    def test_offer_half_hour_by_half_hour(self, request_, fred):
        path = f"/flex-requests/{request_.pk}/offer/"
        assert "(kW)" in text_of(fred.get(path))
        stated = {"kw_0": "5", "kw_1": "6", "price_gbp": "3.00", "min_activation_factor": "0.50", "reference": "A/9"}
        assert fred.post(path, stated).url == f"/flex-requests/{request_.pk}/"
        made = FlexOffer.objects.across_tenants().get()
        assert made.options.get().power_kw == [5.0, 6.0]

    def test_offer_several_options_of_which_one_may_be_taken(self, request_, fred):
        path = f"/flex-requests/{request_.pk}/offer/"
        first = {"kw_0": "5", "kw_1": "6", "price_gbp": "3.00", "min_activation_factor": "0.50", "reference": "A/9"}
        second = {"kw_0_of_2": "7", "kw_1_of_2": "0", "price_gbp_of_2": "2.00", "min_activation_factor_of_2": "1.00"}
        left_out = {"kw_0_of_3": "9", "kw_1_of_3": "9", "price_gbp_of_3": "", "min_activation_factor_of_3": "1.00"}
        lacking = fred.post(path, {**first, **second, "kw_1_of_2": ""})
        assert (lacking.status_code, "needs it" in str(lacking.context["form"].errors["kw_1_of_2"])) == (400, True)

        assert fred.post(path, {**first, **second, **left_out}).url == f"/flex-requests/{request_.pk}/"
        made = FlexOffer.objects.across_tenants().get()
        assert list(made.options.order_by("pk").values_list("reference", "power_kw", "price_gbp")) == [
            ("1", [5.0, 6.0], Decimal("3.00")),
            ("2", [7.0, 0.0], Decimal("2.00")),
        ]

    def test_refuse_more_than_is_registered(self, request_, fred):
        stated = {"kw_0": "20", "kw_1": "20", "price_gbp": "3", "min_activation_factor": "1", "reference": "A/9"}
        answer = fred.post(f"/flex-requests/{request_.pk}/offer/", stated)
        assert (answer.status_code, "must be deliverable together" in text_of(answer)) == (409, True)

    def test_revoke_ones_own(self, offer, fred):
        path = f"/flex-requests/{offer.request_id}/"
        assert "Revoke" in text_of(fred.get(path))
        fred.post(path, {"act": "revoke", "offer": str(offer.pk), "reason": "broken charger"})
        assert FlexOffer.objects.across_tenants().get().state == "revoked"

    def test_show_a_dsrsp_no_others_offer(self, offer):
        voltway = client_of(make_organisation("voltway"), "operator", "vera")
        told = text_of(voltway.get(f"/flex-requests/{offer.request_id}/"))
        assert "A/1" not in told


class TestAcceptance:
    def test_orders_a_share(self, offer, olga):
        path = f"/flex-offers/{offer.pk}/accept/"
        assert "5.00 GBP" in text_of(olga.get(path))
        answer = olga.post(path, {"option": "1", "factor": "0.50", "reference": "O/9"})
        order = FlexOrder.objects.across_tenants().get()
        assert answer.url == f"/orders/{order.pk}/"
        assert order.power_kw == [5.0, 5.0]

    def test_says_why_not(self, offer, olga):
        answer = olga.post(f"/flex-offers/{offer.pk}/accept/", {"option": "1", "factor": "0.10", "reference": "O/9"})
        assert (answer.status_code, "0.50 to 1.00" in text_of(answer)) == (409, True)

    def test_proves_again_who_they_are(self, offer, olga):
        let_proof_age(olga)
        assert olga.post(f"/flex-offers/{offer.pk}/accept/", {}).url.startswith("/confirm/")

    def test_is_the_control_rooms(self, offer, fred):
        assert fred.get(f"/flex-offers/{offer.pk}/accept/").status_code == 403


class TestOrderPages:
    def test_list_and_show_it_to_both_sides(self, order, olga, fred):
        for client in (olga, fred):
            assert any("O/1" in cell for row in Page(text_of(client.get("/orders/"))).rows for cell in row)
            assert "10.0" in text_of(client.get(f"/orders/{order.pk}/"))

    def test_offer_dispatch_and_cancellation_to_the_control_room_alone(self, order, olga, fred):
        path = f"/orders/{order.pk}/"
        assert f"{path}dispatch/" in text_of(olga.get(path))
        assert "Cancel the order" in text_of(olga.get(path))
        assert "Cancel the order" not in text_of(fred.get(path))
        assert fred.post(path, {"act": "cancel", "reason": "we would rather not"}).status_code == 404

    def test_cancel(self, order, olga):
        olga.post(f"/orders/{order.pk}/", {"act": "cancel", "reason": "no longer needed"})
        assert FlexOrder.objects.across_tenants().get().state == "cancelled"

    def test_need_a_reason(self, order, olga):
        assert olga.post(f"/orders/{order.pk}/", {"act": "cancel", "reason": " "}).status_code == 400
        assert FlexOrder.objects.across_tenants().get().state == "ordered"

    def test_say_why_a_dispatch_is_refused(self, order, olga):
        """Without a reading nothing is expected, so that no target follows."""
        answer = olga.get(f"/orders/{order.pk}/dispatch/")
        page = Page(text_of(answer))
        assert (answer.status_code, "state the target" in text_of(answer)) == (200, True)
        (field,) = [attributes for tag, attributes in page.tags if attributes.get("name") == "target_kw"]
        assert (field["aria-invalid"], "reason" in str(page.tags)) == ("true", False)


class TestStatedTarget:
    def test_is_checked_first_and_then_asked_for(self, order, olga):
        path = f"/orders/{order.pk}/dispatch/"
        assert "State another target" not in text_of(olga.get(path))  # nothing is known, so one must be stated
        told = text_of(olga.get(f"{path}?target_kw=4.5"))
        assert "4.5 kW" in told
        assert "as you state it" in told
        # What is confirmed is what was looked at: a field beside the button could hold another target.
        asks_again = text_of(olga.get(f"{path}?state=1&target_kw=4.5"))
        assert ('name="reason"' in asks_again, 'name="reason"' in told) == (False, True)
        assert not TargetSignal.objects.filter(reference="O/1").exists()

        assert olga.post(path, {"target_kw": "4.5", "reason": "transformer works"}).status_code == 302
        (act,) = ControlAct.objects.across_tenants().filter(payload__reference="O/1")
        assert act.payload["target_kw"] == 4.5

    def test_is_refused_where_it_is_none(self, order, olga):
        path = f"/orders/{order.pk}/dispatch/"
        for text in ("-1", "nan", "much", "1e9"):
            answer = olga.get(path, {"target_kw": text})
            assert (answer.status_code, 'name="reason"' in text_of(answer)) == (200, False)
            assert olga.post(path, {"target_kw": text, "reason": "transformer works"}).status_code == 400
        assert not ControlAct.objects.across_tenants().filter(payload__reference="O/1").exists()


class TestCalls:
    def test_state_the_contracts_in_force(self, market, olga, flexco):
        contract = make_contract("C/1", market, flexco)
        assert "call/" not in text_of(olga.get("/markets/evenings/"))
        Contract.objects.across_tenants().filter(pk=contract.pk).update(state="in_force")
        assert "call/" in text_of(olga.get("/markets/evenings/"))
        assert "C/1: Flexco, up to 50 kW" in text_of(olga.get("/markets/evenings/call/"))

    def test_state_a_target_where_nothing_is_known_of_what_to_expect(self, market, olga, flexco):
        contract = make_contract("C/1", market, flexco)
        Contract.objects.across_tenants().filter(pk=contract.pk).update(state="in_force")
        stated = {
            "contract": "C/1",
            "node": "F1",
            "day": tomorrow().isoformat(),
            "clock": "17:00",
            "n_period": "2",
            "power_kw": "6",
            "reference": "CALL/1",
            "reason": "transformer works",
        }
        refused = olga.post("/markets/evenings/call/", stated)
        assert (refused.status_code, "state the target" in text_of(refused)) == (409, True)
        assert not FlexOrder.objects.across_tenants().exists()
        told = olga.post("/markets/evenings/call/", {**stated, "target_kw": "4.5"})
        assert "6.0 kW" in text_of(told)
        assert "1.80 GBP delivered in full, 300.00 GBP/MWh" in text_of(told)
        assert "4.5 kW" in text_of(told)
        assert not FlexOrder.objects.across_tenants().exists()
        changed = olga.post("/markets/evenings/call/", {**stated, "target_kw": "4.5", "change": "1"})
        assert (changed.status_code, 'value="transformer works"' in text_of(changed)) == (200, True)

        assert olga.post("/markets/evenings/call/", {**stated, "target_kw": "4.5", "confirmed": "1"}).status_code == 302
        assert FlexOrder.objects.across_tenants().get().reference == "CALL/1"
