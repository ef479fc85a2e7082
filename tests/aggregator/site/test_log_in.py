"""Log-in as a browser does it: the password, then a code, and every way it may not work."""

import re
from base64 import b32decode
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from aggregator.models import Event, Membership
from aggregator.services.second_factor import replace_recovery_codes
from aggregator.site.session import PENDING
from tests.factories import make_organisation
from tests.people import PASSWORD, authenticator_of, code_of, log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

NOON = datetime(2026, 1, 15, 12, 0, 5, tzinfo=UTC)


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
def device(ada) -> TOTPDevice:
    return authenticator_of(ada)


def give_password(client: Client, password: str = PASSWORD, *, username: str = "ada", **more: str):
    return client.post("/login/", {"username": username, "password": password, **more})


def give_code(client: Client, code: str):
    return client.post("/login/code/", {"code": code})


def without_values(response) -> str:
    return re.sub(r'value="[^"]*"', "", response.content.decode())


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def actions() -> list[str]:
    return list(Event.objects.across_tenants().order_by("sequence").values_list("action", flat=True))


class TestPassword:
    @pytest.mark.parametrize("address", ["/", "/statements/1.csv", "/account/"])
    def test_is_asked_for_before_any_page(self, client, address):
        response = client.get(address)

        assert (response.status_code, response.url) == (302, f"/login/?next={address}")

    def test_alone_opens_nothing(self, client, device):
        assert give_password(client).url == "/login/code/"
        for address in ("/", "/account/", "/confirm/", "/unlock/"):
            assert client.get(address).url.startswith("/login/")
        assert client.post("/act-as/", {"code": "flexco"}).url.startswith("/login/")

    def test_is_refused_without_telling_which_part_was_wrong(self, client, device):
        closed = User.objects.create_user("bob", password=PASSWORD, is_active=False)
        answers = [
            give_password(client, "wrong"),
            give_password(client, "wrong", username="eve"),
            give_password(client, PASSWORD, username=closed.username),
        ]
        bodies = {without_values(answer) for answer in answers}

        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert len(bodies) == 1

    def test_of_somebody_shut_out_between_the_two_steps_is_worth_nothing(self, client, ada, device):
        give_password(client)
        User.objects.update(is_active=False)

        assert give_code(client, code_of(device)).url == "/login/"
        assert not is_in(client)

    def test_is_forgotten_after_twenty_minutes(self, client, device, clock):
        give_password(client)
        clock.shift(timedelta(minutes=21))

        assert give_code(client, code_of(device)).url == "/login/"


class TestSecondFactor:
    def test_lets_in_and_leads_to_the_page_asked_for(self, client, device):
        give_password(client, next="/account/?a=1")
        response = give_code(client, code_of(device))

        assert (response.status_code, response.url) == (302, "/account/?a=1")
        assert is_in(client)
        assert actions() == ["log_in.succeeded"]
        event = Event.objects.across_tenants().get()
        assert (event.actor, event.organisation.code, event.after) == (
            "person:ada",
            "flexco",
            {"with": "Authenticator"},
        )

    @pytest.mark.parametrize(
        "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"]
    )
    def test_does_not_lead_elsewhere(self, client, device, elsewhere):
        give_password(client, next=elsewhere)

        assert give_code(client, code_of(device)).url == "/"

    def test_is_not_taken_twice(self, client, device):
        code = code_of(device)
        give_password(client)
        give_code(client, code)
        other = Client()
        give_password(other)

        assert give_code(other, code).status_code == 400
        assert not is_in(other)

    def test_of_another_person_is_refused(self, client, device):
        stranger = authenticator_of(User.objects.create_user("bob"))
        give_password(client)

        assert give_code(client, code_of(stranger)).status_code == 400
        assert not is_in(client)

    @pytest.mark.parametrize("code", ["", "12345", "1234567", "٣" * 6, "0x1234", "a" * 400, "\x00" * 6])
    def test_that_is_no_code_is_refused(self, client, device, code):
        give_password(client)

        assert give_code(client, code).status_code == 400

    def test_may_be_typed_with_a_space(self, client, device):
        code = code_of(device)
        give_password(client)

        assert give_code(client, f" {code[:3]} {code[3:]} ").status_code == 302

    def test_asks_a_pause_after_a_wrong_one_and_does_not_try_in_it(self, client, device, clock):
        give_password(client)
        give_code(client, "000000")
        response = give_code(client, code_of(device))

        assert response.status_code == 400
        assert "next one is taken in 1 s" in response.content.decode()
        clock.shift(2)
        assert give_code(client, code_of(device)).status_code == 302

    def test_without_a_password_before_leads_back(self, client, device):
        assert client.get("/login/code/").url == "/login/"
        assert give_code(client, code_of(device)).url == "/login/"


class TestRecoveryCode:
    def test_lets_in_once(self, client, ada, device):
        code, *_ = replace_recovery_codes(user=ada)
        give_password(client)

        assert give_code(client, f"{code[:4].upper()}-{code[4:].upper()}").status_code == 302
        assert is_in(client)
        other = Client()
        give_password(other)
        assert give_code(other, code).status_code == 400
        assert StaticToken.objects.count() == 9

    def test_slip_does_not_slow_the_authenticator(self, client, ada, device):
        replace_recovery_codes(user=ada)
        give_password(client)

        assert give_code(client, "aaaaaaaa").status_code == 400
        assert give_code(client, code_of(device)).status_code == 302


class TestSetUp:
    def secret_on(self, client: Client) -> bytes:
        page = client.get("/login/setup/").content.decode()
        return "".join(re.findall(r"<code>([A-Z2-7]{4})</code>", page)).encode()

    def code_for(self, secret: bytes) -> str:
        return code_of(TOTPDevice(key=b32decode(secret).hex()))

    def test_is_where_a_person_without_one_is_led(self, client, ada):
        give_password(client, next="/account/")
        assert client.get("/login/code/").url == "/login/setup/"
        page = client.get("/login/setup/").content.decode()

        assert 'role="img"' in page
        assert "style=" not in page
        assert len(self.secret_on(client)) == 32

    def test_shows_ten_recovery_codes_once_and_lets_in(self, client, ada, clock):
        give_password(client, next="/account/")
        secret = self.secret_on(client)
        page = client.post("/login/setup/", {"code": self.code_for(secret)})
        codes = re.findall(r"<code>([a-z2-7]{8})</code>", page.content.decode())

        assert page.status_code == 200
        assert len(set(codes)) == 10
        assert 'href="/account/"' in page.content.decode()
        assert is_in(client)
        assert actions() == ["second_factor.set_up", "log_in.succeeded"]
        clock.shift(31)
        other = Client()
        give_password(other)
        assert give_code(other, self.code_for(secret)).status_code == 302
        third = Client()
        give_password(third)
        assert give_code(third, codes[3]).status_code == 302

    def test_with_a_wrong_code_sets_nothing_up(self, client, ada):
        give_password(client)
        self.secret_on(client)

        assert client.post("/login/setup/", {"code": "000000"}).status_code == 400
        assert not TOTPDevice.objects.exists()
        assert not is_in(client)

    def test_code_does_not_log_in_a_second_time(self, client, ada):
        give_password(client)
        code = self.code_for(self.secret_on(client))
        client.post("/login/setup/", {"code": code})
        other = Client()
        give_password(other)

        assert give_code(other, code).status_code == 400

    def test_cannot_replace_an_authenticator(self, client, ada, device):
        give_password(client)
        assert client.get("/login/setup/").url == "/login/code/"
        assert client.post("/login/setup/", {"code": "000000"}).url == "/login/code/"

    def test_secret_is_the_sessions_own(self, client, ada):
        other = Client()
        give_password(client)
        give_password(other)
        mine, theirs = self.secret_on(client), self.secret_on(other)

        assert mine != theirs
        assert mine == self.secret_on(client)
        client.post("/login/setup/", {"code": self.code_for(mine)})
        assert other.post("/login/setup/", {"code": self.code_for(theirs)}).url == "/login/code/"
        assert TOTPDevice.objects.count() == 1


class TestLockOut:
    def test_after_five_wrong_passwords_says_until_when_and_lets_nobody_in(self, client, device, clock):
        answers = [give_password(client, "wrong").status_code for _ in range(5)]
        response = give_password(client)

        assert answers == [200, 200, 200, 200, 429]
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "900"
        assert "12:15 GMT" in response.content.decode()
        clock.shift(timedelta(minutes=14))
        assert give_password(client).status_code == 429
        clock.shift(timedelta(minutes=1, seconds=5))
        assert give_password(client).url == "/login/code/"

    def test_is_the_same_for_a_name_nobody_has(self, client, device):
        pages = []
        for name in ("ada", "eve"):
            for _ in range(5):
                response = give_password(client, "wrong", username=name)
            pages.append((response.status_code, without_values(response)))

        assert pages[0][0] == 429
        assert pages[0] == pages[1]

    def test_counts_wrong_passwords_and_wrong_codes_together(self, client, device, clock):
        for _ in range(3):
            give_password(client, "wrong")
        give_password(client)
        assert give_code(client, "000000").status_code == 400
        clock.shift(10)

        assert give_code(client, "000000").status_code == 429
        clock.shift(10)
        assert give_code(client, code_of(device)).status_code == 429
        assert not is_in(client)

    def test_is_not_reset_by_the_right_password_alone(self, client, device, clock):
        for _ in range(4):
            give_password(client)
            assert give_code(client, "000000").status_code == 400
            clock.shift(60)
        give_password(client)

        assert give_code(client, "000000").status_code == 429

    def test_count_starts_anew_after_a_log_in(self, client, device, clock):
        for _ in range(4):
            give_password(client, "wrong")
        give_password(client)
        give_code(client, code_of(device))
        other = Client()

        assert [give_password(other, "wrong").status_code for _ in range(4)] == [200] * 4

    def test_is_of_a_name_and_an_address(self, client, device):
        for _ in range(5):
            give_password(client, "wrong")

        elsewhere = Client(REMOTE_ADDR="192.0.2.7")
        assert give_password(elsewhere).url == "/login/code/"

    def test_is_not_escaped_by_another_browser(self, client, device):
        for number in range(5):
            Client(HTTP_USER_AGENT=f"browser {number}").post("/login/", {"username": "ada", "password": "wrong"})

        assert give_password(client).status_code == 429

    def test_is_recorded_once_and_without_what_was_typed(self, client, ada, device):
        for name in ("ada", "my secret password"):
            for _ in range(7):
                give_password(client, "wrong", username=name)
        events = list(Event.objects.across_tenants().order_by("sequence"))

        assert [event.action for event in events] == (["log_in.failed"] * 5 + ["log_in.locked_out"]) * 2
        assert {event.subject for event in events} == {"person ada", "person an unknown name"}
        assert {event.actor for event in events} == {"nobody"}
        assert "secret" not in str([event.__dict__ for event in events])

    def test_keeps_neither_passwords_nor_codes(self, client, device):
        give_password(client, "hunter2hunter2")
        give_password(client)
        give_code(client, "zzzzzzzz")

        kept = str(list(AccessAttempt.objects.values()))
        assert "hunter2" not in kept
        assert "zzzzzzzz" not in kept


class TestSession:
    def test_key_known_before_log_in_is_worth_nothing(self, client, device):
        client.get("/login/")
        planted = Client()
        planted.cookies["sessionid"] = "a" * 32
        keys = ["a" * 32]
        give_password(planted)
        keys.append(planted.cookies["sessionid"].value)
        give_code(planted, code_of(device))
        keys.append(planted.cookies["sessionid"].value)

        assert len(set(keys)) == 3
        for old in keys[:2]:
            thief = Client()
            thief.cookies["sessionid"] = old
            assert not is_in(thief)
        assert is_in(planted)

    def test_of_whoever_was_in_before_is_gone(self, client, ada, device):
        log_in(client, User.objects.create_user("bob"))
        client.session["leftover"] = 1
        give_password(client)
        give_code(client, code_of(device))

        assert "leftover" not in client.session
        assert PENDING not in client.session
        assert "ada" in client.get("/account/").content.decode()

    def test_ends_after_half_a_day_however_busy(self, client, ada, device, clock):
        give_password(client)
        give_code(client, code_of(device))
        for _ in range(47):
            clock.shift(timedelta(minutes=15))
            assert is_in(client)
        clock.shift(timedelta(minutes=16))

        assert client.get("/account/").url.startswith("/login/")

    def test_ends_for_who_is_shut_out(self, client, ada):
        log_in(client, ada)
        User.objects.update(is_active=False)

        assert client.get("/").url == "/login/?next=/"

    def test_ends_when_the_password_changes(self, client, ada):
        log_in(client, ada)
        ada.set_password("another long password")
        ada.save()

        assert client.get("/").url == "/login/?next=/"

    def test_with_a_first_factor_only_sees_no_page(self, client, ada):
        client.force_login(ada)

        assert client.get("/").url == "/login/code/"
        assert client.get("/login/code/").url == "/login/"

    def test_with_the_device_of_another_person_sees_no_page(self, client, ada):
        log_in(client, User.objects.create_user("bob"))
        session = client.session
        session["_auth_user_id"] = str(ada.pk)
        session["_auth_user_hash"] = ada.get_session_auth_hash()
        session.save()

        assert client.get("/account/").status_code == 302

    def test_ends_with_a_button_and_not_a_link(self, client, ada):
        log_in(client, ada)
        key = client.session.session_key

        assert client.get("/logout/").status_code == 405
        assert client.post("/logout/").url == "/login/"
        assert not Session.objects.filter(session_key=key).exists()
        assert not is_in(client)
        assert actions() == ["log_in.ended"]


class TestForms:
    @pytest.mark.parametrize(
        "address", ["/login/", "/login/code/", "/login/setup/", "/unlock/", "/confirm/", "/act-as/"]
    )
    def test_refuse_what_comes_from_another_site(self, ada, address):
        client = log_in(Client(enforce_csrf_checks=True), ada)

        assert client.post(address, {"username": "ada"}).status_code == 403

    def test_let_password_managers_fill_them(self, client, device):
        page = client.get("/login/").content.decode()
        assert 'autocomplete="username"' in page
        assert 'autocomplete="current-password"' in page
        give_password(client)
        assert 'autocomplete="one-time-code"' in client.get("/login/code/").content.decode()

    def test_show_what_was_typed_as_text(self, client, device):
        page = give_password(client, "x", username='"><script>').content.decode()

        assert "<script>" not in page.replace("<script src", "")
        assert '"><script>' in unescape(page)


def test_confirmed_at_is_set_by_the_second_factor(client, device):
    give_password(client)
    give_code(client, code_of(device))

    assert client.session["confirmed_at"] == timezone.now().isoformat()
