"""Control acts in the browser: figures against thresholds, and a second person's word."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.core.control import ActFigures
from aggregator.models import ControlAct, Organisation, known_as
from aggregator.services.control_acts import ask_control_act
from tests.aggregator.views.people import PAYLOADS, client_of, let_proof_age, statuses, text_of
from tests.factories import make_dno, make_organisation
from tests.markets.builders import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


def do_nothing(*, act: ControlAct, now) -> dict[str, object]:
    return {"done": act.payload["reference"]}


def no_figures(*, payload, organisation, now) -> ActFigures:
    return ActFigures(total_mw=2.0)


@pytest.fixture(autouse=True)
def kinds(settings):
    """A dispatch that does nothing, so that only the pages are tried here."""
    settings.CONTROL_ACTS = {**settings.CONTROL_ACTS, "request_dispatch": f"{__name__}.do_nothing"}
    settings.CONTROL_FIGURES = {**settings.CONTROL_FIGURES, "request_dispatch": f"{__name__}.no_figures"}


@pytest.fixture
def dno() -> Organisation:
    return make_dno("north")


@pytest.fixture
def supervisor(dno) -> Client:
    return client_of(dno, "control_room_supervisor", "sue")


def ask(dno: Organisation, *, asker: str = "oli", subject: str = "F1 at most 20 kW", **stated) -> ControlAct:
    person = make_person(asker, dno, "control_room_operator")
    with known_as(f"person:{asker}"):
        return ask_control_act(
            kind="request_dispatch",
            organisation=dno,
            subject=subject,
            payload={"reference": "R/1", "window": {"starts_at": "2026-11-23T17:00:00Z"}, **stated},
            figures=ActFigures(total_mw=2.0, mw_per_minute=0.1, n_evse=12),
            reason="transformer works",
            asked_by_pk=person.pk,
            now=timezone.now(),
        )


def address(act: ControlAct, rest: str = "") -> str:
    return f"/control-acts/{act.pk}/{rest}"


def state_of(act: ControlAct) -> str:
    return ControlAct.objects.across_tenants().get(pk=act.pk).state


class TestWhoSeesThem:
    def test_is_everybody_but_dsrsps(self):
        seen = {role for role, status in statuses("/control-acts/").items() if status == 200}

        assert not seen & {"operator", "admin", "auditor of dsrsp"}
        assert len(seen) == 7

    def test_is_404_for_another_organisation_s_act(self, dno):
        act = ask(dno)
        stranger = client_of(make_dno("south"), "control_room_supervisor")

        assert stranger.get(address(act)).status_code == 404
        assert stranger.post(address(act, "approve/")).status_code == 404
        assert stranger.post(address(act, "refuse/"), {"reason": "mine"}).status_code == 404
        assert f"Act {act.pk}" not in text_of(stranger.get("/control-acts/"))
        assert state_of(act) == "pending"


class TestControlActs:
    def test_shows_what_waits_first_and_all_below(self, dno, supervisor):
        act = ask(dno)

        page = text_of(supervisor.get("/control-acts/"))

        assert page.count(f">Act {act.pk}</a>") == 2
        assert "Waiting for a second person" in page
        assert "MW in all" in page
        assert "person:oli" in page

    def test_filters_by_state_and_kind(self, dno, supervisor):
        act = ask(dno)

        for query, n in (("?state=pending", 2), ("?state=done", 1), ("?kind=change_limits", 1), ("?kind=x", 2)):
            assert text_of(supervisor.get(f"/control-acts/{query}")).count(f">Act {act.pk}</a>") == n

    def test_reads_an_act_nobody_decided_in_time_as_expired(self, dno, supervisor):
        act = ask(dno)
        past = timezone.now() - timedelta(hours=2)
        ControlAct.objects.across_tenants().filter(pk=act.pk).update(
            asked_at=past, expires_at=past + timedelta(hours=1)
        )

        page = text_of(supervisor.get(address(act)))

        assert "Expired" in page
        assert "Approve and do it" not in page
        assert "Nothing waits" in text_of(supervisor.get("/control-acts/"))

    def test_asks_the_database_no_more_for_many_than_for_few(self, dno, supervisor, django_assert_max_num_queries):
        for index in range(12):
            ask(dno, asker=f"oli{index}")

        with django_assert_max_num_queries(20):
            supervisor.get("/control-acts/")


class TestControlAct:
    def test_shows_figures_against_thresholds_reason_and_what_was_asked(self, dno, supervisor, settings):
        page = text_of(supervisor.get(address(ask(dno))))

        row = re.search(r"MW in all</th><td class=\"num\">([\d.]+)</td><td class=\"num\">([\d.]+)</td>", page)
        assert row is not None
        assert row.groups() == ("2.000", f"{settings.DUAL_APPROVAL_MW:.3f}")
        assert page.count("needs a second person") == 1
        assert "transformer works" in page
        assert "<code>window.starts_at</code></dt><dd>2026-11-23T17:00:00Z" in page
        assert 'href="/requests/R/1/"' in page

    def test_shows_before_and_after_of_limits(self, dno, supervisor):
        changes = [{"node": "F1", "rating_kva": 80.0, "ramp_kw": None, "before": {"rating_kva": 100.0}}]

        page = text_of(supervisor.get(address(ask(dno, changes=changes))))

        assert '<code>rating_kva</code></td><td class="num">100.0</td><td class="num">80.0</td>' in page

    def test_escapes_what_was_stated(self, dno, supervisor):
        act = ask(dno, subject=PAYLOADS[0], note=PAYLOADS[0])

        page = text_of(supervisor.get(address(act))) + text_of(supervisor.get("/control-acts/"))

        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_gives_the_buttons_to_who_may_decide(self, dno, supervisor):
        act = ask(dno)
        asker = client_of(dno, "control_room_operator", "other.operator")

        assert "Approve and do it" in text_of(supervisor.get(address(act)))
        assert "not part of your role" in text_of(asker.get(address(act)))
        for role, kind in (("auditor", "dno"), ("platform_admin", "platform")):
            organisation = dno if kind == "dno" else make_organisation("headroom", "platform")
            assert "Approve and do it" not in text_of(client_of(organisation, role).get(address(act)))

    def test_never_focuses_a_button(self, dno, supervisor):
        assert "autofocus" not in text_of(supervisor.get(address(ask(dno))))


class TestDeciding:
    def test_is_done_on_a_second_person_s_word(self, dno, supervisor):
        act = ask(dno)

        page = text_of(supervisor.post(address(act, "approve/"), follow=True))

        assert "It is done." in page
        assert "decided" in page
        assert "by sue" in page
        assert "<code>done</code></dt><dd>R/1" in page
        assert state_of(act) == "done"

    def test_is_refused_with_a_reason(self, dno, supervisor):
        act = ask(dno)

        assert "Nothing was decided" in text_of(supervisor.post(address(act, "refuse/"), {"reason": ""}, follow=True))
        assert state_of(act) == "pending"
        page = text_of(supervisor.post(address(act, "refuse/"), {"reason": "not tonight"}, follow=True))

        assert "It was refused" in page
        assert "not tonight" in page
        assert state_of(act) == "refused"

    def test_is_not_for_the_asker_who_may_take_it_back(self, dno):
        supervisor = client_of(dno, "control_room_supervisor", "first.supervisor")
        act = ask(dno)
        ControlAct.objects.across_tenants().filter(pk=act.pk).update(asked_by=supervisor.session["_auth_user_id"])

        assert supervisor.post(address(act, "approve/")).status_code == 403
        assert state_of(act) == "pending"
        assert "Take it back" in text_of(supervisor.get(address(act)))
        supervisor.post(address(act, "refuse/"), {"reason": "typing error"})
        assert state_of(act) == "refused"

    @pytest.mark.parametrize("role", ["control_room_operator", "auditor"])
    def test_is_not_for_who_may_not_approve(self, dno, role):
        act = ask(dno)
        client = client_of(dno, role, "somebody")

        assert client.post(address(act, "approve/")).status_code == 403
        assert client.post(address(act, "refuse/"), {"reason": "because"}).status_code == 403
        assert state_of(act) == "pending"

    def test_asks_for_a_fresh_proof(self, dno, supervisor):
        act = ask(dno)
        let_proof_age(supervisor)

        for rest in ("approve/", "refuse/"):
            assert supervisor.post(address(act, rest), {"reason": "because"}).url.startswith("/confirm/")
        assert state_of(act) == "pending"

    def test_needs_a_token_against_forgery_and_a_post(self, dno):
        act = ask(dno)
        client = client_of(dno, "control_room_supervisor", "sue", enforce_csrf_checks=True)

        assert client.post(address(act, "approve/")).status_code == 403
        assert client.get(address(act, "approve/")).status_code == 405
        assert state_of(act) == "pending"

    def test_says_when_somebody_was_first(self, dno, supervisor):
        act = ask(dno)
        supervisor.post(address(act, "approve/"))

        page = text_of(supervisor.post(address(act, "approve/"), follow=True))

        assert "Nothing was decided" in page
