"""A DSRSP's list of its own EVSEs, and the file of it."""

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import EVSE, Batch, ChargingSession, EvseIdentity, Meter, Organisation
from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import LONG_AGO, make_csms, make_enrolment, make_evse, make_node, make_organisation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
SEES_FLEET = {"operator", "admin", "auditor of dsrsp"}


@pytest.fixture
def amber() -> Organisation:
    return make_organisation("amber")


@pytest.fixture
def client(amber) -> Client:
    return client_of(amber, "operator")


def add_session(evse: EVSE, dsrsp: Organisation, plug_in_at) -> None:
    batch = Batch.objects.create(
        kind="sessions", organisation=dsrsp, source="by hand", sha256="0" * 64, received_at=plug_in_at
    )
    ChargingSession(
        evse=evse,
        organisation=dsrsp,
        session_ref=str(plug_in_at),
        plug_in_at=plug_in_at,
        plug_out_at=plug_in_at + timedelta(hours=8),
        energy_kwh=10,
        received_at=plug_in_at,
        batch=batch,
    ).save()


class TestWhoSeesIt:
    @pytest.mark.parametrize("address", ["/fleet/", "/fleet.csv"])
    def test_is_dsrsps_alone(self, address):
        assert {role for role, status in statuses(address).items() if status == 200} == SEES_FLEET

    def test_is_nobody_s_before_log_in(self):
        assert Client().get("/fleet/").url == "/login/?next=/fleet/"


class TestFleet:
    def test_lists_own_evses_with_rating_node_csms_and_enrolment(self, client, amber):
        make_evse("home-1", dsrsp=amber, rated_kw=7.36, phases=1)

        page = text_of(client.get("/fleet/"))

        for shown in ("home-1", "evse_home-1", "feeder-1", "7.36", "csms", "Off-street residential", "routine"):
            assert shown in page
        assert "1 to 1 of 1 EVSEs" in page

    def test_shows_nobody_else_s_and_nobody_that_left(self, client, amber):
        make_evse("theirs", dsrsp=make_organisation("blue"))
        make_evse("gone", dsrsp=amber, enrolled_to=timezone.now() - timedelta(days=1))

        page = text_of(client.get("/fleet/"))

        assert "theirs" not in page
        assert "gone" not in page
        assert "No EVSE is enrolled" in page

    def test_shows_of_an_evse_that_is_to_come_only_its_pseudonym(self, client, amber):
        evse = make_evse("theirs", dsrsp=make_organisation("blue"), enrolled_to=timezone.now() + timedelta(days=9))
        make_enrolment(evse, amber, timezone.now() + timedelta(days=9))
        EVSE.objects.across_tenants().update(pseudonym="evse_coming")

        page = text_of(client.get("/fleet/"))

        assert "evse_coming" in page
        assert "not yet known" in page
        assert "theirs" not in page

    def test_shows_the_last_session_of_its_own_time_with_the_evse(self, client, amber):
        joined_at = timezone.now() - timedelta(days=10)
        blue = make_organisation("blue")
        evse = make_evse("switched", dsrsp=blue, enrolled_to=joined_at)
        make_enrolment(evse, amber, joined_at)
        add_session(evse, blue, joined_at - timedelta(days=3))
        assert "switched" in text_of(client.get("/fleet/"))
        assert '<td class="when">—</td>' in text_of(client.get("/fleet/"))

        add_session(evse, amber, joined_at + timedelta(days=1))
        add_session(evse, amber, joined_at + timedelta(days=2))

        assert f"{joined_at + timedelta(days=2):%Y-%m-%dT%H:%M}" in text_of(client.get("/fleet/"))

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("?q=home-1", ["home-1"]),
            ("?q=HOME-2", ["home-2"]),
            ("?q=evse_home", ["home-1", "home-2"]),
            ("?q=home-2-meter", ["home-2"]),
            ("?node=far", ["home-2"]),
            ("?csms=other", ["home-2"]),
            ("?scenario=destination", ["home-2"]),
            ("?scenario=nonsense", ["home-1", "home-2"]),
            ("?q=nothing", []),
            ("?q=%00", ["home-1", "home-2"]),
        ],
    )
    def test_filters(self, client, amber, query, found):
        make_evse("home-1", dsrsp=amber)
        make_evse("home-2", dsrsp=amber, node=make_node("far"), csms=make_csms("other"))
        EVSE.objects.across_tenants().filter(pseudonym="evse_home-2").update(scenario="destination")

        page = text_of(client.get(f"/fleet/{query}"))

        assert [ref for ref in ("home-1", "home-2") if f">{ref}</a>" in page] == found

    def test_pages_fifty_at_a_time_and_keeps_the_filters(self, client, amber):
        for index in range(51):
            make_evse(f"home-{index:02}", dsrsp=amber)

        first = text_of(client.get("/fleet/?q=home"))
        second = text_of(client.get("/fleet/?q=home&page=2"))

        assert "1 to 50 of 51 EVSEs" in first
        assert 'href="?q=home&amp;page=2"' in first
        assert "51 to 51 of 51 EVSEs" in second
        assert text_of(client.get("/fleet/?page=999")).count("51 to 51 of 51 EVSEs") == 1
        assert [client.get(f"/fleet/?page={page}").status_code for page in ("0", "-1", "x", "9" * 30)] == [404] * 4

    def test_asks_the_database_no_more_for_many_than_for_few(self, client, amber, django_assert_max_num_queries):
        for index in range(30):
            make_evse(f"home-{index:02}", dsrsp=amber)

        with django_assert_max_num_queries(20):
            client.get("/fleet/")

    def test_escapes_what_others_named(self, client, amber):
        evse = make_evse("home-1", dsrsp=amber)
        EvseIdentity.objects.across_tenants().filter(evse=evse).update(csms_ref=PAYLOADS[0])

        page = text_of(client.get("/fleet/", {"q": '"><script>alert(2)</script>'}))
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in text_of(client.get("/fleet/"))


class TestFleetFile:
    def test_holds_the_same_evses_whole(self, client, amber):
        for index in range(51):
            make_evse(f"home-{index:02}", dsrsp=amber)
        make_evse("theirs", dsrsp=make_organisation("blue"))

        response = client.get("/fleet.csv?q=home-")
        rows = list(csv.DictReader(io.StringIO(text_of(response))))

        assert [row["evse_id"] for row in rows] == [f"home-{index:02}" for index in range(51)]
        assert rows[0]["enrolled_from"] == f"{LONG_AGO:%Y-%m-%dT%H:%M:%SZ}"
        assert rows[0]["rated_kw"] == "7.4"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="fleet_amber_')
        assert response.headers["Cache-Control"].startswith("private, no-store")

    def test_guards_text_that_a_spreadsheet_would_run(self, client, amber):
        evse = make_evse("home-1", dsrsp=amber)
        EvseIdentity.objects.across_tenants().filter(evse=evse).update(csms_ref=PAYLOADS[1])
        Meter.objects.across_tenants().filter(evse=evse).update(code="@SUM(1)")

        row = next(csv.DictReader(io.StringIO(text_of(client.get("/fleet.csv")))))

        assert row["evse_id"] == "'" + PAYLOADS[1]
        assert row["meter_id"] == "'@SUM(1)"

    def test_asks_the_database_no_more_for_many_than_for_few(self, client, amber, django_assert_max_num_queries):
        for index in range(30):
            make_evse(f"home-{index:02}", dsrsp=amber)

        with django_assert_max_num_queries(20):
            client.get("/fleet.csv")
