"""Every operation of the schema but the two that are open, asked by nobody, with nonsense all around."""

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aggregator.rest.schema_whole import SCHEMA_PATH, TOKEN_PATH, whole_schema
from tests.factories import make_organisation
from tests.machines import make_machine, token_of

OPEN = {SCHEMA_PATH, TOKEN_PATH}
CLOSED = (401, 403, 404)
NONSENSE = {
    "Accept": "text/nonsense",
    "If-Match": "nonsense",
    "If-None-Match": "*",
    "Content-Encoding": "nonsense",
    "Range": "bytes=5-1",
    "X-HTTP-Method-Override": "DELETE",
}


def operations() -> list[tuple[str, str]]:
    return [
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for path, methods in whole_schema()["paths"].items()
        for method in methods
        if path not in OPEN
    ]


def assert_closed(response) -> None:
    assert response.status_code in CLOSED
    assert response.headers["Content-Type"] == "application/problem+json"
    said = json.loads(response.content)
    assert said["status"] == response.status_code
    assert said.keys() == {"type", "title", "status", "detail", "instance", "errors", "trace_id"}


@pytest.mark.django_db
class TestWithoutCredentials:
    @pytest.mark.parametrize(("method", "path"), operations())
    def test_is_closed_before_anything_is_looked_at(self, client, method, path):
        assert_closed(client.generic(method, path))
        assert_closed(client.generic(method, f"{path}?nonsense=%00&limit=x&limit=y", headers=NONSENSE))
        assert_closed(
            client.generic(
                method, path, data=b'{"\xff', content_type="text/nonsense; charset=nonsense", headers=NONSENSE
            )
        )
        assert_closed(client.generic(method, path, data=b"{", content_type="multipart/form-data", headers=NONSENSE))

    @pytest.mark.parametrize(("method", "path"), operations())
    def test_is_closed_to_other_methods_too(self, client, method, path):
        for other in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "NONSENSE"):
            assert_closed(client.generic(other, path))

    @pytest.mark.parametrize(
        "header", ["Bearer nonsense", "Bearer ", "Bearer", "Basic eDp4", "nonsense", "bearer \xff", "Bearer a\x00b"]
    )
    def test_takes_no_nonsense_for_credentials(self, client, header):
        assert_closed(client.get("/api/v1/me/", headers={"Authorization": header}))

    def test_says_how_to_come_back(self, client):
        response = client.get("/api/v1/me/")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    def test_is_closed_to_an_expired_token_and_to_one_taken_back(self, client):
        machine = make_machine(make_organisation())
        good = token_of(machine)
        assert client.get("/api/v1/me/", headers={"Authorization": f"Bearer {good}"}).status_code == 200
        old = token_of(machine, expires_in_s=-1)
        assert_closed(client.get("/api/v1/me/", headers={"Authorization": f"Bearer {old}"}))
        machine.application.accesstoken_set.all().delete()
        assert_closed(client.get("/api/v1/me/", headers={"Authorization": f"Bearer {good}"}))

    def test_is_closed_to_a_session_without_second_factor(self):
        client = Client()
        client.force_login(User.objects.create_user("half"))
        assert_closed(client.get("/api/v1/me/"))

    @pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v1/nonsense/", "/api/v1/me", "/api/v2/me/"])
    def test_answers_for_addresses_that_are_none(self, client, path):
        for method in ("GET", "POST", "DELETE"):
            response = client.generic(method, path)
            assert response.status_code == 404
            assert_closed(response)
