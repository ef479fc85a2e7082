"""One EVSE's page: whole for its own DSRSP, not there for anybody else."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import EVSE, ChargingSession, Enrolment, EvseIdentity
from dispatch.models import IssuedSetpoint
from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import make_enrolment, make_evse, make_organisation
from tests.markets.builders import Cycle, make_cycle
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
ADDRESS = "/fleet/evse_flexco-0/"


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


@pytest.fixture
def evse(cycle) -> EVSE:
    return EVSE.objects.across_tenants().get(pseudonym="evse_flexco-0")


@pytest.fixture
def flexco(cycle) -> Client:
    return client_of(cycle.dsrsps["flexco"], "operator")


class TestWhoSeesIt:
    def test_is_its_own_dsrsp(self, cycle):
        assert set(statuses(ADDRESS).values()) == {403, 404}
        for role, status in (("operator", 200), ("admin", 200), ("auditor", 200)):
            assert client_of(cycle.dsrsps["flexco"], role).get(ADDRESS).status_code == status
        assert client_of(cycle.dsrsps["voltway"], "admin").get(ADDRESS).status_code == 404

    def test_is_not_a_dsrsp_s_that_it_left(self, flexco, evse, cycle):
        Enrolment.objects.across_tenants().filter(evse=evse).update(ends_at=timezone.now() - timedelta(days=1))
        make_enrolment(evse, cycle.dsrsps["voltway"], timezone.now() - timedelta(hours=2))

        assert flexco.get(ADDRESS).status_code == 404

    @pytest.mark.parametrize("name", ["evse_nobody", "a/b", "%00", "x" * 81, "%F0%9F%94%8C"])
    def test_is_404_for_a_name_that_is_none(self, flexco, name):
        assert flexco.get(f"/fleet/{name}/").status_code == 404

    def test_finds_a_pseudonym_with_signs_in_it(self, flexco, evse):
        EVSE.objects.across_tenants().filter(pk=evse.pk).update(pseudonym="our/evse 1?é")
        links = [attrs["href"] for tag, attrs in Page(text_of(flexco.get("/fleet/"))).tags if tag == "a"]
        listed = next(link for link in links if "our" in link)

        assert "our/evse 1?é" in text_of(flexco.get(listed))


class TestEvse:
    def test_shows_registry_identity_enrolment_and_meter(self, flexco, evse):
        EvseIdentity.objects.across_tenants().filter(evse=evse).update(amsid="1234567890123", gsp_group="_A")
        Enrolment.objects.across_tenants().filter(evse=evse).update(consent_evidence="form 17")

        page = text_of(flexco.get(ADDRESS))

        for shown in (
            "EVSE flexco-0",
            "evse_flexco-0",
            "<dt>Node</dt><dd>F1</dd>",
            "7.40 kW on 1 phase",
            "1234567890123",
            "_A",
            "form 17",
            "flexco-0-meter",
        ):
            assert shown in page

    def test_tabulates_setpoint_plan_and_meter_of_the_newest_run(self, flexco, cycle, evse):
        rows = [row for row in Page(text_of(flexco.get(ADDRESS))).rows if len(row) == 6 and ":" in row[0]]

        assert rows[0] == ["12:00 GMT", "2026-01-14", "25", "3.00", "2.00", "2.00"]
        assert len(rows) == 48

    def test_adds_what_it_was_told_in_the_end(self, flexco, cycle, evse):
        run = cycle.row.run
        told = [10] + [0] * (run.n_period - 1)
        IssuedSetpoint(
            run=run,
            evse=evse,
            organisation=cycle.dsrsps["flexco"],
            ampere_kw=0.25,
            setpoint_a=told,
        ).save()

        page = Page(text_of(flexco.get(ADDRESS)))

        assert row_of(page, "12:00 GMT")[3:] == ["3.00", "2.50", "2.00", "2.00"]
        assert row_of(page, "2026-01-14")[3:] == ["2.0", "0.2", "3.00", "2.50", "Why"]

    def test_shows_sessions_of_its_own_time_only(self, flexco, cycle, evse):
        now = timezone.now()
        for dsrsp, reference in (("flexco", PAYLOADS[0]), ("voltway", "not-yours")):
            ChargingSession(
                evse=evse,
                organisation=cycle.dsrsps[dsrsp],
                session_ref=reference,
                plug_in_at=now - timedelta(hours=9),
                plug_out_at=now - timedelta(hours=1),
                energy_kwh=12.345,
                received_at=now,
                batch=cycle.row.delivery_batch,
            ).save()

        page = text_of(flexco.get(ADDRESS))

        assert "12.35" in page or "12.34" in page
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "not-yours" not in page

    def test_says_so_where_no_run_planned_it(self, cycle):
        make_evse("fresh", dsrsp=cycle.dsrsps["voltway"])

        page = text_of(client_of(cycle.dsrsps["voltway"], "operator").get("/fleet/evse_fresh/"))

        assert "No run has planned this EVSE yet." in page
        assert "No session is known." in page

    def test_tells_no_identity_before_the_enrolment_is_in_force(self, cycle):
        evse = make_evse("secret", dsrsp=make_organisation("blue"), enrolled_to=timezone.now() + timedelta(days=9))
        EVSE.objects.across_tenants().filter(pk=evse.pk).update(pseudonym="evse_coming")
        make_enrolment(evse, cycle.dsrsps["flexco"], timezone.now() + timedelta(days=9))

        page = text_of(client_of(cycle.dsrsps["flexco"], "operator").get("/fleet/evse_coming/"))

        assert "known once the enrolment is in force" in page
        assert "secret" not in page

    def test_asks_few_questions(self, flexco, django_assert_max_num_queries):
        with django_assert_max_num_queries(30):
            flexco.get(ADDRESS)


def row_of(page: Page, name: str) -> list[str]:
    return next(row for row in page.rows if row and row[0] == name)
