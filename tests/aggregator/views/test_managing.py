"""The pages on people and on API clients, as an admin, a supervisor and the platform meet them."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aggregator.models import Event, MachineClient, Membership
from tests.factories import make_dno, make_organisation
from tests.machines import make_machine, token_of
from tests.markets.builders import make_person
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def admin() -> Client:
    return log_in(Client(), make_person("boss", make_organisation(), "admin"))


@pytest.fixture
def platform() -> Client:
    return log_in(Client(), make_person("root", make_organisation("headroom", "platform"), "platform_admin"))


def text(response) -> str:
    return response.content.decode()


def roles() -> dict[str, str]:
    return dict(Membership.objects.values_list("user__username", "role"))


class TestPeople:
    def test_lists_the_members_of_the_own_organisation_only(self, admin):
        make_person("ada", make_organisation(), "operator")
        make_person("tern", make_organisation("voltway"), "operator")
        page = text(admin.get("/people/"))

        assert "ada" in page
        assert "tern" not in page
        assert "voltway" not in page.lower()
        assert "platform_admin" not in page

    def test_gives_a_role_to_who_is_there(self, admin):
        User.objects.create_user("ada")
        response = admin.post("/people/", {"username": "ada", "role": "operator"})

        assert response.url == "/people/?organisation=flexco"
        assert roles() == {"boss": "admin", "ada": "operator"}
        assert Event.objects.across_tenants().get().actor == "person:boss"

    def test_makes_a_new_person_and_shows_the_password_once(self, admin):
        page = text(admin.post("/people/", {"username": "ada", "role": "operator", "is_new": "1"}))
        (password,) = re.findall(r"<code>([\w-]{20,})</code>", page)

        assert roles()["ada"] == "operator"
        assert User.objects.get(username="ada").check_password(password)
        assert password not in text(admin.get("/people/"))

    def test_makes_nobody_where_the_role_is_refused(self, admin):
        response = admin.post("/people/", {"username": "ada", "role": "platform_admin", "is_new": "1"})

        assert response.status_code == 400
        assert not User.objects.filter(username="ada").exists()

    @pytest.mark.parametrize(
        "form",
        [
            {"username": "nobody", "role": "operator"},
            {"username": "ada", "role": "platform_admin"},
            {"username": "ada", "role": "control_room_operator"},
            {"username": "ada", "role": ""},
            {"username": "boss", "role": "auditor"},
            {"username": "ada", "role": "operator", "is_new": "1"},
            {"username": "<b>", "role": "operator", "is_new": "1"},
            {},
        ],
    )
    def test_says_why_not(self, admin, form):
        User.objects.create_user("ada")
        response = admin.post("/people/", form)

        assert response.status_code == 400
        assert 'role="alert"' in text(response)
        assert roles() == {"boss": "admin"}

    def test_removes_after_asking(self, admin):
        ada = log_in(Client(), make_person("ada", make_organisation(), "operator"))
        assert ada.get("/fleet/").status_code == 200
        assert "Remove ada?" in text(admin.get("/people/remove/?username=ada"))
        assert admin.post("/people/remove/", {"username": "ada"}).url == "/people/?organisation=flexco"

        assert roles() == {"boss": "admin"}
        assert ada.get("/fleet/").status_code == 403

    def test_does_not_remove_oneself(self, admin):
        assert admin.post("/people/remove/", {"username": "boss"}).status_code == 400
        assert roles() == {"boss": "admin"}

    @pytest.mark.parametrize("code", ["voltway", "headroom", "nobody", "a\x00b"])
    def test_of_another_organisation_are_not_there(self, admin, code):
        make_person("tern", make_organisation("voltway"), "operator")
        make_organisation("headroom", "platform")
        form = {"organisation": code, "username": "tern", "role": "operator"}

        assert admin.get("/people/", {"organisation": code}).status_code == 404
        assert admin.post("/people/", form).status_code == 404
        assert admin.post("/people/remove/", form).status_code == 404
        assert roles() == {"boss": "admin", "tern": "operator"}

    def test_of_every_organisation_are_the_platforms_to_manage(self, platform):
        make_person("tern", make_organisation("voltway"), "operator")
        User.objects.create_user("sue")
        assert "tern" in text(platform.get("/people/?organisation=voltway"))
        platform.post("/people/", {"organisation": "voltway", "username": "sue", "role": "admin"})

        assert roles()["sue"] == "admin"

    def test_of_a_dno_are_the_supervisors_to_manage(self):
        User.objects.create_user("sue")
        supervisor = log_in(Client(), make_person("boss", make_dno(), "control_room_supervisor"))
        supervisor.post("/people/", {"username": "sue", "role": "control_room_operator"})

        assert roles()["sue"] == "control_room_operator"

    @pytest.mark.parametrize("address", ["/people/", "/people/remove/", "/machines/", "/machines/revoke/"])
    def test_ask_for_a_fresh_confirmation(self, admin, address):
        session = admin.session
        session["confirmed_at"] = "2026-01-01T00:00:00+00:00"
        session.save()

        assert admin.get(address).url == f"/confirm/?next={address}"
        assert admin.post(address, {"username": "ada"}).url == f"/confirm/?next={address}"


class TestMachines:
    def test_are_listed_with_their_scopes(self, admin):
        make_machine(make_organisation(), "fleet:read", name="billing")
        make_machine(make_organisation("voltway"), "fleet:read", name="theirs")
        page = text(admin.get("/machines/"))

        assert "billing" in page
        assert "theirs" not in page
        assert 'value="readings:write"' in page
        assert 'value="dispatch:write"' not in page  # a DSRSP never can

    def test_are_registered_with_a_secret_shown_once(self, admin):
        form = {"name": "billing", "scopes": ["fleet:read", "readings:write"]}
        page = text(admin.post("/machines/", form))
        client_id, secret, *_ = re.findall(r"<code>([^<]{30,})</code>", page)
        ask = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}

        assert Client().post("/api/v1/token/", ask).status_code == 400  # multipart is no form of OAuth's
        answer = Client().post(
            "/api/v1/token/",
            "&".join(f"{key}={value}" for key, value in ask.items()),
            content_type="application/x-www-form-urlencoded",
        )
        assert answer.json()["scope"].split() == ["fleet:read", "readings:write"]
        assert secret not in text(admin.get("/machines/"))

    @pytest.mark.parametrize(
        "form",
        [
            {"name": "x"},
            {"name": "", "scopes": "fleet:read"},
            {"name": "x", "scopes": ["fleet:read", "dispatch:write"]},
        ],
    )
    def test_are_not_registered_for_what_cannot_be(self, admin, form):
        assert admin.post("/machines/", form).status_code == 400
        assert not MachineClient.objects.exists()

    def test_are_revoked_after_asking(self, admin):
        machine = make_machine(make_organisation(), "fleet:read", name="billing")
        client_id = machine.application.client_id
        api = Client(headers={"Authorization": f"Bearer {token_of(machine)}"})
        assert api.get("/api/v1/me/").status_code == 200
        assert "Revoke billing?" in text(admin.get(f"/machines/revoke/?client_id={client_id}"))
        assert admin.post("/machines/revoke/", {"client_id": client_id}).url == "/machines/?organisation=flexco"

        assert api.get("/api/v1/me/").status_code == 401
        assert not MachineClient.objects.exists()

    def test_of_another_organisation_are_not_there(self, admin):
        machine = make_machine(make_organisation("voltway"), "fleet:read")
        named = {"client_id": machine.application.client_id}

        for method in (admin.get, admin.post):
            assert method("/machines/revoke/", named).status_code == 404
            assert method("/machines/revoke/", {**named, "organisation": "voltway"}).status_code == 404
            assert method("/machines/revoke/", {"client_id": "a\x00b"}).status_code == 404
        assert MachineClient.objects.count() == 1

    def test_of_every_organisation_are_the_platforms_to_manage(self, platform):
        make_organisation("voltway")
        platform.post("/machines/", {"organisation": "voltway", "name": "x", "scopes": ["fleet:write"]})

        assert MachineClient.objects.get().organisation.code == "voltway"


class TestPages:
    @pytest.mark.parametrize(
        "address",
        ["/people/", "/people/remove/?username=boss", "/machines/", "/account/", "/confirm/", "/account/password/"],
    )
    def test_need_no_inline_style_or_script(self, admin, address):
        page = text(admin.get(address))

        assert "style=" not in page
        assert not re.search(r"\son\w+=", page)
        assert not re.search(r"<script(?! src=)", page)
