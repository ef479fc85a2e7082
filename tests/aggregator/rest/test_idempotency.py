"""Asking twice is doing once: repeated, changed, failed, crashed and concurrent requests with one key."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from aggregator.models import IdempotentRequest, Organisation
from tests.aggregator.rest import operations
from tests.factories import make_organisation
from tests.machines import as_machine, make_machine, send, token_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.aggregator.rest.operations")]
THINGS = "/api/test/things/"


@pytest.fixture(autouse=True)
def done() -> list[str]:
    operations.Things.n_done.clear()
    return operations.Things.n_done


@pytest.fixture
def machine() -> Client:
    return as_machine(make_organisation())


def ask(client, key="k-1", name="a", how="well"):
    return send(client, "POST", THINGS, {"name": name, "how": how}, Idempotency_Key=key)


class TestIdempotent:
    @pytest.mark.parametrize("key", [None, "", "x" * 256, "a b", "\u00e9"])
    def test_needs_a_key(self, machine, done, key):
        headers = {} if key is None else {"Idempotency_Key": key}
        response = send(machine, "POST", THINGS, {"name": "a"}, **headers)
        assert (response.status_code, done) == (400, [])
        assert response.json()["errors"][0]["pointer"] == "/Idempotency-Key"

    def test_gives_a_repeat_the_first_answer(self, machine, done):
        first, second = ask(machine), ask(machine)
        assert done == ["a"]
        assert "Idempotency-Replayed" not in first.headers
        assert second.headers["Idempotency-Replayed"] == "true"
        for name in ("Content-Type", "Location"):
            assert second.headers[name] == first.headers[name]
        assert (second.status_code, second.content) == (first.status_code, first.content) == (202, b'{"name":"a"}')

    def test_refuses_another_request_with_the_key(self, machine, done):
        ask(machine)
        response = ask(machine, name="b")
        assert (response.status_code, response.json()["type"]) == (422, "/problems/idempotency.other_request")
        assert done == ["a"]

    def test_keeps_a_refusal_that_the_service_decided(self, machine, done):
        assert ask(machine, how="refused").status_code == 422
        again = ask(machine, how="refused")
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (422, "true")
        assert done == ["a"]
        assert not Organisation.objects.filter(code="a").exists()

    def test_forgets_what_never_reached_the_service(self, machine, done):
        assert send(machine, "POST", THINGS, {"nome": "a"}, Idempotency_Key="k-1").status_code == 400
        assert send(machine, "POST", THINGS, b"{", Idempotency_Key="k-1").status_code == 400
        assert ask(machine).status_code == 202
        assert done == ["a"]

    def test_forgets_a_crash(self, machine, done):
        machine.raise_request_exception = False
        assert ask(machine, how="crash").status_code == 500
        assert not Organisation.objects.filter(code="a").exists()
        assert ask(machine).status_code == 202
        assert done == ["a", "a"]

    def test_keeps_each_organisations_keys_apart(self, machine, done):
        ask(machine)
        assert ask(as_machine(make_organisation("voltway")), name="b").status_code == 202
        assert done == ["a", "b"]

    def test_forgets_after_thirty_days(self, machine, done):
        ask(machine)
        IdempotentRequest.objects.across_tenants().update(asked_at=timezone.now() - timedelta(days=30, seconds=1))
        assert "Idempotency-Replayed" not in ask(machine, name="b").headers
        assert done == ["a", "b"]
        assert IdempotentRequest.objects.across_tenants().count() == 1


@pytest.mark.django_db(transaction=True)
class TestConcurrently:
    def test_does_it_once_however_many_ask(self, done):
        token = token_of(make_machine(make_organisation()))

        def once(_number: int):
            try:
                response = ask(Client(headers={"Authorization": f"Bearer {token}"}), how="slow")
                return response.status_code, response.headers.get("Retry-After")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(once, range(6)))

        assert done == ["a"]
        assert Organisation.objects.filter(code="a").count() == 1
        assert {status for status, _ in answers} <= {202, 409}
        assert (202, None) in answers
        assert all(wait == "1" for status, wait in answers if status == 409)
        assert any(status == 409 for status, _ in answers)
