from datetime import timedelta

import pytest
from django.utils import timezone

from aggregator.models import ControlAct, NodeRating
from aggregator.viewer import CONFIRMED_AT
from tests.factories import make_dno, make_node, make_organisation
from tests.markets.builders import make_person
from tests.markets.site import Page, text_of
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

STATED = {
    "rating_kva": "120",
    "power_factor": "0.98",
    "cyclic_factor": "1.0",
    "diversity": "1.0",
    "ramp_kw": "",
    "from_day": "",
    "from_time": "",
    "reason": "re-rated after survey",
}


@pytest.fixture
def node():
    return make_node("F/1", dno=make_dno())


@pytest.fixture
def control_room(client, node):
    return log_in(client, make_person("ada", node.organisation, "control_room_operator"))


class TestChangeLimit:
    def test_starts_from_the_figures_in_force(self, control_room):
        tags = Page(text_of(control_room.get("/limits/F/1/"))).tags
        shown = {attrs["name"]: attrs["value"] for tag, attrs in tags if tag == "input" and attrs["type"] != "hidden"}

        assert shown["rating_kva"] == "100.0"
        assert (shown["power_factor"], shown["ramp_kw"], shown["reason"]) == ("0.98", "", "")

    def test_shows_before_and_after_and_asks_for_nothing_yet(self, control_room):
        page = text_of(control_room.post("/limits/F/1/", STATED))
        rows = {row[0]: row[1:] for row in Page(page).rows if len(row) == 4}

        assert rows["LimitkW"] == ["98.0", "117.6", "◆yes"]
        assert rows["RatingkVA"] == ["100.00", "120.00", "◆yes"]
        assert rows["Power factor"] == ["0.98", "0.98", "no"]
        assert "until another person of Dno" in page
        assert not ControlAct.objects.across_tenants().exists()

    def test_once_confirmed_waits_for_a_second_person(self, control_room, node):
        response = control_room.post("/limits/F/1/", {**STATED, "confirmed": "1"})
        act = ControlAct.objects.across_tenants().get()

        assert response.url == f"/control-acts/{act.pk}/"
        assert (act.kind, act.state, act.reason) == ("change_limits", "pending", "re-rated after survey")
        assert act.asked_by.get_username() == "ada"
        assert NodeRating.objects.get(node=node).rating_kva == 100.0

    def test_is_done_once_a_supervisor_agrees(self, control_room, client, node):
        control_room.post("/limits/F/1/", {**STATED, "confirmed": "1"})
        act = ControlAct.objects.across_tenants().get()
        log_in(client, make_person("sue", node.organisation, "control_room_supervisor"))
        assert 'class="button"' in text_of(client.get("/"))
        assert "1 to approve" in text_of(client.get("/"))
        client.post(f"/control-acts/{act.pk}/approve/")

        assert [one.rating_kva for one in NodeRating.objects.filter(node=node).order_by("valid_from")] == [100.0, 120.0]
        assert "to approve" not in text_of(client.get("/"))

    def test_goes_back_to_the_figures_as_typed(self, control_room):
        page = text_of(control_room.post("/limits/F/1/", {**STATED, "change": "1"}))

        assert 'value="120"' in page
        assert "aria-invalid" not in page

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("rating_kva", "0", "expected above 0"),
            ("rating_kva", "nan", "Enter a number."),
            ("rating_kva", "", "This field is required."),
            ("power_factor", "1.2", "expected above 0 and at most 1"),
            ("ramp_kw", "-1", "expected a finite number of at least 0"),
            ("from_time", "12:00", "State both a day and a time"),
            ("from_day", "14/01/2030", "Write the day as 2026-01-14."),
            ("from_time", "noon", "Write the time as 17:30."),
            ("reason", "", "This field is required."),
            ("reason", "x", "at least 3 characters"),
        ],
    )
    def test_says_beside_the_field_what_is_wrong(self, control_room, field, value, said):
        response = control_room.post("/limits/F/1/", {**STATED, field: value, "confirmed": "1"})
        page = text_of(response)

        assert response.status_code == 400
        assert said in page
        invalid = [a["name"] for tag, a in Page(page).tags if tag == "input" and a.get("aria-invalid")]
        assert invalid == [field]
        assert not ControlAct.objects.across_tenants().exists()

    @pytest.mark.parametrize(
        ("day", "at", "said"),
        [
            ("2020-01-01", "12:00", "does not change in the past"),
            ("2030-10-27", "01:30", "comes twice"),
            ("2030-03-31", "01:30", "does not exist"),
        ],
    )
    def test_takes_no_time_that_is_past_or_not_sure(self, control_room, day, at, said):
        response = control_room.post("/limits/F/1/", {**STATED, "from_day": day, "from_time": at})

        assert response.status_code == 400
        assert said in text_of(response)

    def test_may_start_later_by_the_local_clock(self, control_room):
        control_room.post("/limits/F/1/", {**STATED, "from_day": "2030-07-01", "from_time": "06:00", "confirmed": "1"})
        (change,) = ControlAct.objects.across_tenants().get().payload["changes"]

        assert change["valid_from"] == "2030-07-01T05:00:00+00:00"

    def test_asks_for_a_fresh_proof_first(self, control_room):
        session = control_room.session
        session[CONFIRMED_AT] = (timezone.now() - timedelta(hours=1)).isoformat()
        session.save()

        assert control_room.get("/limits/F/1/").url == "/confirm/?next=/limits/F/1/"
        assert control_room.post("/limits/F/1/", {**STATED, "confirmed": "1"}).status_code == 302
        assert not ControlAct.objects.across_tenants().exists()

    @pytest.mark.parametrize(
        ("kind", "role", "status"),
        [("dno", "auditor", 403), ("platform", "platform_admin", 403), ("dsrsp", "operator", 403)],
    )
    def test_is_for_the_control_room_only(self, client, node, kind, role, status):
        organisation = node.organisation if kind == "dno" else make_organisation(f"a-{kind}", kind)
        log_in(client, make_person("mel", organisation, role))

        assert client.get("/limits/F/1/").status_code == status
        assert client.post("/limits/F/1/", {**STATED, "confirmed": "1"}).status_code == status

    def test_of_another_dnos_node_is_not_found(self, client, node):
        log_in(client, make_person("eve", make_dno("other-dno"), "control_room_supervisor"))

        assert client.post("/limits/F/1/", {**STATED, "confirmed": "1"}).status_code == 404
