"""The token endpoint against RFC 6749, and what its tokens open."""

from base64 import b64encode
from datetime import timedelta
from urllib.parse import urlencode

import pytest
import time_machine
from django.test import Client
from django.urls import Resolver404, resolve
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from oauth2_provider.models import get_access_token_model, get_application_model

from aggregator.core.permissions import PEOPLE_ONLY, SCOPES, scope_actions
from aggregator.models import MachineClient
from aggregator.services.machines import Credentials, register_machine, usable_scopes
from tests.factories import make_dno, make_organisation

pytestmark = pytest.mark.django_db
FORM = "application/x-www-form-urlencoded"
TOKEN = "/api/v1/token/"


@pytest.fixture
def made() -> Credentials:
    return register_machine(
        organisation=make_organisation(), name="billing", scopes=["fleet:read", "readings:write"], now=timezone.now()
    )


def ask(credentials: Credentials | None = None, *, basic: bool = True, **form: str):
    headers = {}
    form = {"grant_type": "client_credentials"} | form
    if credentials and basic:
        pair = f"{credentials.client_id}:{credentials.secret}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    elif credentials:
        form |= {"client_id": credentials.client_id, "client_secret": credentials.secret}
    return Client().post(TOKEN, urlencode(form), content_type=FORM, headers=headers)


def me(token: str):
    return Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/me/")


class TestToken:
    @pytest.mark.parametrize("basic", [True, False])
    def test_is_issued_for_a_quarter_of_an_hour_with_all_the_client_may(self, made, basic):
        answer = ask(made, basic=basic)
        body = answer.json()

        assert answer.status_code == 200
        assert body.keys() == {"access_token", "expires_in", "token_type", "scope"}
        assert (body["expires_in"], body["token_type"]) == (900, "Bearer")
        assert set(body["scope"].split()) == {"fleet:read", "readings:write"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert me(body["access_token"]).json()["organisation"]["code"] == "flexco"

    def test_is_not_kept_as_issued(self, made):
        token = ask(made).json()["access_token"]

        assert token not in str(list(get_access_token_model().objects.values()))

    def test_opens_nothing_once_it_is_old(self, made):
        token = ask(made).json()["access_token"]

        with time_machine.travel(timezone.now() + timedelta(seconds=901)):
            assert me(token).status_code == 401
            ask(made)
        assert get_access_token_model().objects.count() == 1  # the old one is swept

    def test_may_be_asked_with_fewer_scopes(self, made):
        body = ask(made, scope="fleet:read").json()

        assert body["scope"] == "fleet:read"
        assert set(me(body["access_token"]).json()["actions"]) == {"see_fleet", "see_sessions", "see_organisations"}

    @pytest.mark.parametrize("scope", ["settlement:read", "fleet:read settlement:read", "everything", "é"])
    def test_is_refused_for_scopes_the_client_does_not_have(self, made, scope):
        answer = ask(made, scope=scope)

        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
        assert not get_access_token_model().objects.exists()

    def test_loses_what_its_client_loses(self, made):
        token = ask(made).json()["access_token"]
        MachineClient.objects.update(scopes=["readings:write"])

        assert me(token).json()["actions"] == ["send_readings"]

    def test_of_a_client_of_no_organisation_opens_nothing(self):
        model = get_application_model()
        model.objects.create(
            name="stray",
            client_id="stray",
            client_secret="s",
            client_type=model.CLIENT_CONFIDENTIAL,
            authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS,
        )
        answer = ask(Credentials("stray", "s"))

        assert answer.status_code == 400 or me(answer.json()["access_token"]).status_code == 401
        assert ask(Credentials("stray", "s"), scope="fleet:read").json()["error"] == "invalid_scope"

    def test_is_no_log_in_to_pages(self, made):
        token = ask(made).json()["access_token"]
        client = Client(headers={"Authorization": f"Bearer {token}"})

        assert client.get("/").url == "/login/?next=/"

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer é", "Token x"])
    def test_that_is_none_is_refused(self, header):
        assert Client(headers={"Authorization": header}).get("/api/v1/me/").status_code == 401


class TestRefusals:
    def test_of_a_wrong_secret_and_an_unknown_client_are_the_same(self, made):
        for basic in (True, False):
            answers = [
                ask(Credentials(made.client_id, "wrong"), basic=basic),
                ask(Credentials("nobody", made.secret), basic=basic),
            ]
            assert {(answer.status_code, answer.content) for answer in answers} == {
                (401, b'{"error": "invalid_client"}')
            }
            assert all(answer.headers["WWW-Authenticate"].startswith("Basic ") for answer in answers)

    @pytest.mark.parametrize(
        "header",
        ["Basic é", "Basic %", "Basic YQ==", "Basic /w==", "Basic ADph", "Basic JTAwOmE=", "basic x", "Digest x"],
    )
    def test_of_a_header_that_names_no_client(self, header):
        answer = Client(headers={"Authorization": header}).post(
            TOKEN, "grant_type=client_credentials", content_type=FORM
        )

        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    @pytest.mark.parametrize(
        "grant",
        ["password", "authorization_code", "implicit", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    )
    def test_of_every_other_grant(self, made, grant):
        answer = ask(made, grant_type=grant, username="ada", password="x", code="x", device_code="x", refresh_token="x")

        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")

    @pytest.mark.parametrize(
        ("address", "body", "content_type"),
        [
            (TOKEN, "", FORM),
            (TOKEN, "grant_type=", FORM),
            (TOKEN, "scope=fleet:read", FORM),
            (TOKEN, "grant_type=client_credentials&grant_type=client_credentials", FORM),
            (TOKEN, '{"grant_type": "client_credentials"}', "application/json"),
            (TOKEN, "grant_type=client_credentials", "text/plain"),
            (TOKEN, "grant_type=client_credentials&client_id=%00", FORM),
            (f"{TOKEN}?grant_type=client_credentials", "", FORM),
            (f"{TOKEN}?client_id=x&client_secret=y", "grant_type=client_credentials", FORM),
        ],
    )
    def test_of_a_malformed_request(self, address, body, content_type):
        answer = Client().post(address, body, content_type=content_type)

        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_of_another_method(self, method):
        answer = getattr(Client(), method)(TOKEN)

        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert answer.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "address",
        [
            "/o/authorize/",
            "/o/token/",
            "/o/introspect/",
            "/o/revoke_token/",
            "/o/applications/",
            "/.well-known/oauth-authorization-server",
        ],
    )
    def test_of_every_other_endpoint_of_the_toolkit(self, address):
        with pytest.raises(Resolver404):
            resolve(address)

    @given(
        form=st.dictionaries(
            st.sampled_from(["grant_type", "scope", "client_id", "client_secret", "resource"]), st.text(max_size=20)
        ),
        header=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30),
    )
    def test_never_is_a_fault_of_the_site(self, form, header):
        form = {"grant_type": "client_credentials"} | form
        answer = Client(headers={"Authorization": header}).post(TOKEN, urlencode(form), content_type=FORM)

        assert answer.status_code in (400, 401)


class TestScopes:
    @pytest.mark.parametrize("kind", ["dsrsp", "dno", "market_operator", "platform"])
    @pytest.mark.parametrize("scope", sorted(SCOPES))
    def test_open_what_the_table_says_and_nothing_of_people(self, scope, kind):
        organisation = make_organisation("org", kind)
        if scope not in usable_scopes(kind):
            return
        made = register_machine(organisation=organisation, name="one", scopes=[scope], now=timezone.now())
        actions = set(me(ask(made).json()["access_token"]).json()["actions"])

        assert actions == scope_actions(frozenset({scope}), kind)
        assert actions.isdisjoint(PEOPLE_ONLY)

    def test_not_asked_for_have_no_effect(self):
        made = register_machine(
            organisation=make_dno(), name="one", scopes=["network:read", "dispatch:write"], now=timezone.now()
        )
        token = ask(made, scope="dispatch:write").json()["access_token"]
        client = Client(headers={"Authorization": f"Bearer {token}"})

        assert client.get("/api/v1/network/nodes/").status_code == 403
