"""What a session does between log-in and log-out: it locks, is confirmed, acts for one organisation or another."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client

from aggregator.models import Event, Membership
from aggregator.services.second_factor import replace_recovery_codes
from aggregator.site.session import LOCKED
from tests.factories import make_dno, make_organisation
from tests.people import PASSWORD, authenticator_of, code_of, log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

NOON = datetime(2026, 1, 15, 12, 0, 5, tzinfo=UTC)
LOCK_S = 1200
CONFIRMED_PAGE = "/account/recovery-codes/"


@pytest.fixture(autouse=True)
def usual_times(settings):
    settings.SESSION_LOCK_S, settings.CONFIRMED_FOR_S = LOCK_S, 300


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def ada(clock) -> User:
    user = User.objects.create_user("ada", password=PASSWORD)
    Membership.objects.create(user=user, organisation=make_organisation(), role="operator")
    return user


@pytest.fixture
def desk(ada) -> Client:
    """Ada's browser, logged in."""
    client = log_in(Client(), ada)
    assert client.get("/account/").status_code == 200
    return client


class TestLock:
    def test_falls_after_a_while_without_a_request(self, desk, clock):
        clock.shift(LOCK_S)
        assert desk.get("/account/?a=1").status_code == 200
        clock.shift(LOCK_S + 1)
        response = desk.get("/account/?a=1")

        assert (response.status_code, response.url) == (302, "/unlock/?next=/account/%3Fa%3D1")

    def test_does_not_fall_on_who_keeps_working(self, desk, clock):
        for _ in range(10):
            clock.shift(LOCK_S // 2)
            assert desk.get("/account/").status_code == 200

    @pytest.mark.parametrize("address", ["/account/", "/", "/api/v1/me/"])
    def test_is_not_held_off_by_a_page_that_renews_itself(self, desk, clock, address):
        for _ in range(3):
            clock.shift(LOCK_S / 3)
            assert desk.get(address, headers={"X-Headroom-Refresh": "1"}).status_code == 200
        clock.shift(1)

        assert desk.get("/account/").url.startswith("/unlock/")

    @pytest.mark.parametrize("address", ["/pulse/", "/healthz", "/login/"])
    def test_is_not_held_off_by_what_anybody_may_ask(self, desk, clock, address):
        clock.shift(LOCK_S - 1)
        desk.get(address)
        clock.shift(2)

        assert desk.get("/account/").url.startswith("/unlock/")

    def test_falls_by_hand(self, desk):
        assert desk.get("/lock/").status_code == 405
        assert desk.post("/lock/").url == "/unlock/"
        assert desk.get("/").url == "/unlock/?next=/"

    @pytest.mark.parametrize(
        ("method", "address"),
        [
            ("get", "/"),
            ("get", "/account/"),
            ("get", "/confirm/"),
            ("post", "/confirm/"),
            ("post", "/act-as/"),
            ("get", "/people/"),
        ],
    )
    def test_covers_every_page(self, desk, method, address):
        desk.post("/lock/")

        assert getattr(desk, method)(address).url.startswith("/unlock/?next=")

    def test_covers_the_api(self, desk):
        assert desk.get("/api/v1/me/").status_code == 200
        desk.post("/lock/")

        assert desk.get("/api/v1/me/").status_code == 401

    def test_stays_when_the_clock_goes_on(self, desk, clock):
        desk.post("/lock/")
        clock.shift(5)

        assert desk.get("/account/").url.startswith("/unlock/")

    def test_shows_nothing_but_whose_session_it_is(self, desk):
        desk.post("/lock/")
        page = desk.get("/unlock/?next=/").content.decode()

        assert "ada" in page
        assert "Flexco" not in page
        assert 'aria-label="Main"' not in page

    def test_is_as_long_as_the_settings_say(self, desk, clock, settings):
        settings.SESSION_LOCK_S = 3
        clock.shift(1)
        assert desk.get("/account/").status_code == 200
        clock.shift(3)
        assert desk.get("/account/").status_code == 200
        clock.shift(4)
        assert desk.get("/account/").url.startswith("/unlock/")

    def test_leads_a_form_back_to_the_page_it_stands_on(self, desk):
        desk.post("/lock/")
        response = desk.post("/act-as/", {"code": "flexco"}, headers={"Referer": "http://testserver/account/"})
        elsewhere = desk.post("/act-as/", {"code": "flexco"}, headers={"Referer": "https://evil.example/"})

        assert response.url == "/unlock/?next=http%3A//testserver/account/"
        assert elsewhere.url == "/unlock/?next=/"


class TestUnlock:
    @pytest.mark.parametrize("proof", ["password", "code", "recovery"])
    def test_takes_password_or_code_and_leads_back(self, desk, ada, proof):
        desk.post("/lock/")
        before = desk.session.session_key
        given = {
            "password": {"password": PASSWORD},
            "code": {"code": code_of(authenticator_of(ada))},
            "recovery": {"code": replace_recovery_codes(user=ada)[0]},
        }[proof]
        response = desk.post("/unlock/", {"next": "/account/", **given})

        assert response.url == "/account/"
        assert desk.get("/account/").status_code == 200
        assert desk.session.session_key != before

    @pytest.mark.parametrize("given", [{}, {"password": "wrong"}, {"code": "000000"}, {"code": "", "password": ""}])
    def test_refuses_anything_else(self, desk, given):
        desk.post("/lock/")

        assert desk.post("/unlock/", given).status_code == 400
        assert desk.get("/account/").url.startswith("/unlock/")

    def test_refuses_the_proof_of_another_person(self, desk):
        other = User.objects.create_user("bob", password="another long password")
        desk.post("/lock/")

        assert desk.post("/unlock/", {"password": "another long password", "username": "bob"}).status_code == 400
        assert desk.post("/unlock/", {"code": code_of(authenticator_of(other))}).status_code == 400

    def test_does_not_lead_elsewhere(self, desk):
        desk.post("/lock/")

        assert desk.post("/unlock/", {"password": PASSWORD, "next": "//evil.example/"}).url == "/"

    def test_counts_wrong_answers_towards_the_lock_out(self, desk, clock):
        desk.post("/lock/")
        answers = [desk.post("/unlock/", {"password": "wrong"}).status_code for _ in range(5)]
        assert answers == [400, 400, 400, 400, 429]
        assert desk.post("/unlock/", {"password": PASSWORD}).status_code == 429
        assert Client().post("/login/", {"username": "ada", "password": PASSWORD}).status_code == 429
        clock.shift(timedelta(minutes=15, seconds=1))
        assert desk.post("/unlock/", {"password": PASSWORD}).status_code == 302

    def test_is_for_who_is_logged_in_and_locked(self, desk):
        assert Client().get("/unlock/").url == "/login/"
        assert Client().post("/unlock/", {"password": PASSWORD}).url == "/login/"
        assert desk.get("/unlock/?next=/account/").url == "/account/"

    def test_leaves_confirmation_as_old_as_it_was(self, desk, clock):
        clock.shift(301)
        desk.post("/lock/")
        desk.post("/unlock/", {"password": PASSWORD})

        assert desk.get(CONFIRMED_PAGE).url.startswith("/confirm/")


class TestConfirm:
    def test_is_not_asked_of_who_has_just_logged_in(self, desk, clock):
        clock.shift(300)

        assert desk.get(CONFIRMED_PAGE).status_code == 200

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_is_asked_after_a_while_and_leads_back(self, desk, clock, method):
        clock.shift(301)
        response = getattr(desk, method)(CONFIRMED_PAGE)

        assert response.url == f"/confirm/?next={CONFIRMED_PAGE}"
        assert desk.get(response.url).status_code == 200
        assert desk.post("/confirm/", {"password": PASSWORD, "next": CONFIRMED_PAGE}).url == CONFIRMED_PAGE
        assert desk.get(CONFIRMED_PAGE).status_code == 200

    def test_takes_a_code(self, desk, ada, clock):
        clock.shift(301)
        code = code_of(authenticator_of(ada))

        assert desk.post("/confirm/", {"code": code}).status_code == 302
        assert desk.get(CONFIRMED_PAGE).status_code == 200
        clock.shift(301)
        assert desk.post("/confirm/", {"code": code}).status_code == 400

    @pytest.mark.parametrize("given", [{}, {"password": "wrong"}, {"code": "000000"}])
    def test_refuses_anything_else(self, desk, clock, given):
        clock.shift(301)

        assert desk.post("/confirm/", given).status_code == 400
        assert desk.get(CONFIRMED_PAGE).url.startswith("/confirm/")

    def test_counts_wrong_answers_towards_the_lock_out(self, desk):
        answers = [desk.post("/confirm/", {"password": "wrong"}).status_code for _ in range(5)]

        assert answers == [400, 400, 400, 400, 429]

    def test_dated_in_the_future_is_none(self, desk, clock):
        clock.shift(timedelta(days=-1))

        assert desk.get(CONFIRMED_PAGE).url.startswith("/confirm/")

    def test_is_asked_where_it_was_never_given(self, ada):
        client = log_in(Client(), ada)
        session = client.session
        del session["confirmed_at"]
        session.save()

        assert client.get(CONFIRMED_PAGE).url.startswith("/confirm/")


class TestActAs:
    @pytest.fixture
    def both(self, ada) -> Client:
        Membership.objects.create(user=ada, organisation=make_dno("aaa-dno"), role="auditor")
        return log_in(Client(), ada)

    def acts_for(self, client: Client) -> str:
        return client.get("/api/v1/me/").json()["organisation"]["code"]

    def test_changes_the_organisation_for_the_rest_of_the_session(self, both):
        assert self.acts_for(both) == "aaa-dno"
        assert both.post("/act-as/", {"code": "flexco", "next": "/account/"}).url == "/account/"
        assert self.acts_for(both) == "flexco"
        assert "Flexco" in both.get("/account/").content.decode()

    def test_is_offered_in_the_frame(self, both):
        page = both.get("/account/").content.decode()

        assert '<option value="flexco">' in page
        assert 'name="code"' in page

    @pytest.mark.parametrize("code", ["", "voltway", "nobody", "a\x00b"])
    def test_an_organisation_one_does_not_act_for_is_forbidden(self, both, code):
        make_organisation("voltway")

        assert both.post("/act-as/", {"code": code}).status_code == 403
        assert self.acts_for(both) == "aaa-dno"

    def test_falls_back_when_the_membership_is_taken_away(self, both, ada):
        both.post("/act-as/", {"code": "flexco"})
        Membership.objects.filter(user=ada, organisation__code="flexco").delete()

        assert self.acts_for(both) == "aaa-dno"

    def test_role_counts_as_it_is_now(self, both, ada):
        both.post("/act-as/", {"code": "flexco"})
        assert both.get("/people/").status_code == 403
        Membership.objects.filter(user=ada, organisation__code="flexco").update(role="admin")

        assert both.get("/people/").status_code == 200


class TestWithoutMembership:
    def test_sees_a_sentence_and_the_own_account(self):
        client = log_in(Client(), User.objects.create_user("eve"))
        response = client.get("/")

        assert response.status_code == 403
        assert "act for no organisation yet" in response.content.decode()
        assert client.get("/account/").status_code == 200
        assert client.get("/api/v1/me/").status_code == 401

    def test_that_was_taken_away_mid_session_closes_every_page(self, desk):
        assert desk.get("/").status_code == 200
        Membership.objects.all().delete()

        assert desk.get("/").status_code == 403
        assert desk.get("/api/v1/me/").status_code == 401

    def test_of_a_person_shut_out_mid_session_ends_it(self, desk):
        User.objects.update(is_active=False)

        assert desk.get("/").url == "/login/?next=/"
        assert desk.get("/api/v1/me/").status_code == 401


class TestAccount:
    def test_tells_roles_and_what_is_left(self, desk, ada):
        replace_recovery_codes(user=ada)
        page = desk.get("/account/").content.decode()

        assert "Flexco: Aggregator operator" in page
        assert "10 recovery codes left" in page

    def test_new_recovery_codes_void_the_old(self, desk, ada):
        (old, *_) = replace_recovery_codes(user=ada)
        page = desk.post(CONFIRMED_PAGE)

        assert page.status_code == 200
        assert page.content.decode().count("<li><code>") == 10
        desk.post("/lock/")
        assert desk.post("/unlock/", {"code": old}).status_code == 400

    def test_another_authenticator_ends_the_first_and_its_sessions(self, desk, ada, clock):
        elsewhere = log_in(Client(), ada)
        old = authenticator_of(ada)
        desk.get("/account/authenticator/")
        assert desk.post("/account/authenticator/", {"code": "000000"}).status_code == 400
        new = type(old)(key=desk.session["new_secret"])
        page = desk.post("/account/authenticator/", {"code": code_of(new)})

        assert page.status_code == 200
        assert desk.get("/account/").status_code == 200
        assert elsewhere.get("/account/").url == "/login/code/"
        clock.shift(60)
        desk.post("/lock/")
        assert desk.post("/unlock/", {"code": code_of(old)}).status_code == 400
        clock.shift(60)
        assert desk.post("/unlock/", {"code": code_of(new)}).status_code == 302
        assert Event.objects.across_tenants().earliest("sequence").action == "second_factor.replaced"

    def test_another_password_ends_other_sessions(self, desk, ada):
        elsewhere = log_in(Client(), ada)
        fresh = "quite another long one"
        form = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
        assert desk.post("/account/password/", form | {"old_password": "wrong"}).status_code == 400
        assert (
            desk.post("/account/password/", form | {"new_password1": "short", "new_password2": "short"}).status_code
            == 400
        )

        assert desk.post("/account/password/", form).url == "/account/"
        assert desk.get("/account/").status_code == 200
        assert elsewhere.get("/account/").url.startswith("/login/")
        ada.refresh_from_db()
        assert ada.check_password(fresh)
        assert Event.objects.across_tenants().get().action == "password.changed"


def test_a_locked_session_keeps_its_mark(desk):
    desk.post("/lock/")

    assert desk.session[LOCKED] is True
