"""Requesting a dispatch in the browser: state, check, confirm; a second person above the thresholds."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.core.timegrid import LONDON
from aggregator.models import ControlAct, Job, Organisation, Tariff
from dispatch.models import TargetSignal
from markets.models import FlexEvent, Product
from tests.aggregator.views.people import PAYLOADS, client_of, let_proof_age, statuses, text_of
from tests.factories import make_dno, make_evse, make_node, make_organisation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
CHECK = "/requests/check/"


@pytest.fixture
def dno() -> Organisation:
    north = make_dno("north")
    substation = make_node("S1", "distribution", make_node("P1", "primary", dno=north), dno=north)
    feeder = make_node("F1", "feeder", substation, dno=north)
    amber = make_organisation("amber")
    for index in range(7):
        make_evse(f"home-{index}", node=feeder, dsrsp=amber, rated_kw=7.0)
    Tariff.objects.create(code="night", name="Night")
    Product(code="su", name="Scheduled", buyer=north, valid_from=datetime(2020, 1, 1, tzinfo=UTC)).save()
    return north


@pytest.fixture
def operator(dno) -> Client:
    return client_of(dno, "control_room_operator", "oli")


@pytest.fixture
def supervisor(dno) -> Client:
    return client_of(dno, "control_room_supervisor", "sue")


def stated(**changes: object) -> str:
    tomorrow = timezone.now().astimezone(LONDON).date() + timedelta(days=1)
    plain = {
        "node": "F1",
        "day": tomorrow.isoformat(),
        "clock": "17:00",
        "n_period": 4,
        "direction": "turn_down",
        "kind": "routine",
        "target_kw": "20",
        "shortfall_gbp_per_kwh": "1",
        "product": "",
        "price": "",
        "reference": "EVENING/1",
    }
    return f"{CHECK}?{urlencode({**plain, **changes})}"


class TestWhoMayAsk:
    @pytest.mark.parametrize("address", ["/requests/new/", CHECK])
    def test_is_the_control_room(self, address):
        allowed = {role for role, status in statuses(address).items() if status != 403}

        assert allowed == {"control_room_operator", "control_room_supervisor"}

    def test_proves_again_who_they_are_before_the_check(self, operator):
        let_proof_age(operator)

        assert operator.get("/requests/new/").status_code == 200
        response = operator.get(stated())
        assert response.url.startswith("/confirm/?next=")
        assert operator.post(stated(), {"reason": "works"}).url.startswith("/confirm/")
        assert not TargetSignal.objects.exists()

    def test_needs_a_token_against_forgery(self, dno):
        client = client_of(dno, "control_room_operator", "oli", enforce_csrf_checks=True)

        assert client.post(stated(), {"reason": "works"}).status_code == 403


class TestForm:
    def test_proposes_tomorrow_evening_and_a_reference(self, operator):
        page = text_of(operator.get("/requests/new/?node=F1"))

        assert 'name="node" value="F1"' in page
        assert '<option value="17:00" selected>' in page
        assert 'name="reference" value="north-' in page
        assert '<option value="su">Scheduled (su)</option>' in page

    def test_takes_a_whole_request_to_change(self, operator):
        page = text_of(operator.get("/requests/new/?" + stated(target_kw="33").partition("?")[2]))

        assert 'name="target_kw" value="33"' in page
        assert 'value="EVENING/1"' in page

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"node": "nowhere"}, "node"),
            ({"node": "far"}, "node"),
            ({"day": "tomorrow"}, "day"),
            ({"day": "2020-01-14"}, "clock"),
            ({"day": "2099-03-29", "clock": "01:30"}, "clock"),
            ({"clock": "17:15"}, "clock"),
            ({"n_period": "0"}, "n_period"),
            ({"n_period": "49"}, "n_period"),
            ({"direction": "sideways"}, "direction"),
            ({"target_kw": "-1"}, "target_kw"),
            ({"target_kw": "nan"}, "target_kw"),
            ({"target_kw": "1e999"}, "target_kw"),
            ({"target_kw": ""}, "target_kw"),
            ({"reference": "x" * 81}, "reference"),
            ({"reference": "\x00"}, "reference"),
            ({"product": "theirs", "price": "1"}, "product"),
            ({"product": "su"}, "price"),
            ({"price": "300"}, "product"),
            ({"product": "su", "price": "0.001"}, "price"),
        ],
    )
    def test_shows_what_is_wrong_beside_its_field_and_keeps_the_rest(self, operator, dno, changes, field):
        make_node("far", dno=make_dno("south"))

        response = operator.get(stated(**changes))
        page = text_of(response)

        assert response.status_code == 400
        assert f'id="id_{field}_error"' in page
        if "reference" not in changes:
            assert 'value="EVENING/1"' in page

    def test_says_when_a_shortfall_is_priced_below_the_product_s_penalty(self, operator):
        response = operator.get(stated(product="su", price="3000", shortfall_gbp_per_kwh="1"))

        assert response.status_code == 400
        assert "prices shortfall at 1.0 GBP/kWh" in text_of(response)

    @pytest.mark.parametrize("name", ["node", "reference", "product", "clock", "day"])
    def test_escapes_what_was_typed(self, operator, name):
        pages = text_of(operator.get(stated(**{name: PAYLOADS[0]})))
        pages += text_of(operator.get("/requests/new/", {name: '"><script>alert(2)</script>'}))

        assert "<script>alert" not in pages


class TestCheck:
    def test_shows_what_where_how_many_until_when_and_against_which_thresholds(self, operator, settings):
        page = text_of(operator.get(stated()))

        for shown in (
            "EV power at most <strong>20.0 kW</strong>",
            "<strong>F1</strong>; area P1 is dispatched anew",
            "up to 10 ",
            "17:00",
            "19:00",
            "no run has planned this day yet",
            "It is below every threshold",
        ):
            assert shown in page
        assert f'MW in all</th><td class="num">0.030</td><td class="num">{settings.DUAL_APPROVAL_MW:.3f}' in page
        assert "autofocus" not in page
        assert not TargetSignal.objects.exists()

    def test_says_when_a_second_person_is_needed(self, operator, settings):
        settings.DUAL_APPROVAL_EVSES = 5

        page = text_of(operator.get(stated()))

        assert "A second person must approve it" in page
        assert "needs a second person" in page
        assert "Ask for approval" in page

    def test_leads_back_to_the_form_with_everything_stated(self, operator):
        assert 'href="/requests/new/?node=F1&amp;' in text_of(operator.get(stated()))


class TestConfirming:
    def test_below_the_thresholds_receives_the_request_at_once(self, operator, dno):
        response = operator.post(stated(product="su", price="300"), {"reason": "transformer works"})
        signal = TargetSignal.objects.get()

        assert response.url == "/requests/EVENING/1/"
        assert (signal.node.code, signal.target_kw, signal.issued_by) == ("F1", 20.0, dno)
        assert signal.starts_at.astimezone(LONDON).hour == 17
        assert FlexEvent.objects.get().product.code == "su"
        assert Job.objects.filter(kind="dispatch_area").exists()
        page = text_of(operator.get(response.url))
        assert "was received" in page
        assert "transformer works" in page

    def test_above_a_threshold_waits_for_a_second_log_in(self, operator, supervisor, settings):
        settings.DUAL_APPROVAL_EVSES = 5

        response = operator.post(stated(), {"reason": "transformer works"})
        act = ControlAct.objects.across_tenants().get()
        assert response.url == f"/control-acts/{act.pk}/"
        assert not TargetSignal.objects.exists()
        assert "EVENING/1 at F1" in text_of(operator.get("/requests/"))
        assert operator.post(f"{response.url}approve/").status_code == 403

        supervisor.post(f"{response.url}approve/")

        assert TargetSignal.objects.get().reference == "EVENING/1"
        assert "It is done." in text_of(supervisor.get(response.url))

    def test_needs_a_reason(self, operator):
        response = operator.post(stated(), {"reason": " "})

        assert response.status_code == 400
        assert 'aria-invalid="true"' in text_of(response)
        assert not TargetSignal.objects.exists()

    def test_asks_once_when_clicked_twice(self, operator, settings):
        settings.DUAL_APPROVAL_EVSES = 5
        first = operator.post(stated(), {"reason": "works"})
        again = operator.post(stated(), {"reason": "works"})

        assert first.url == again.url
        assert ControlAct.objects.across_tenants().count() == 1

    def test_says_so_when_the_reference_is_taken(self, operator):
        operator.post(stated(), {"reason": "works"})
        response = operator.post(stated(), {"reason": "works"})

        assert response.status_code == 400
        assert "was received already" in text_of(response)
        assert TargetSignal.objects.count() == 1
