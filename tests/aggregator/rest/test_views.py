"""What every operation shares: the order of work, paging, ETags, limits."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from aggregator.models import Organisation
from tests.aggregator.rest import operations
from tests.factories import make_organisation
from tests.machines import as_machine, make_machine, send, token_of, with_csrf
from tests.markets.builders import make_person
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.aggregator.rest.operations")]
THINGS = "/api/test/things/"


@pytest.fixture
def machine() -> Client:
    return as_machine(make_organisation())


def problem_of(response, status: int) -> dict:
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    said = response.json()
    assert said["status"] == status
    assert said["instance"] == response.request["PATH_INFO"]
    assert len(said["trace_id"]) == 32
    return said


class TestOrderOfWork:
    def test_asks_who_before_it_negotiates_or_reads(self, client):
        for headers in ({"Accept": "image/png"}, {"Content-Encoding": "x"}, {"Idempotency-Key": ""}):
            problem_of(client.post(THINGS, b"{", content_type="image/png", headers=headers), 401)

    def test_asks_what_may_be_done_before_it_negotiates_or_reads(self):
        reader = as_machine(make_organisation(), "fleet:read")
        response = reader.post(f"{THINGS}?x=1", b"{", content_type="image/png", headers={"Accept": "image/png"})
        assert problem_of(response, 403)["type"] == "/problems/permission_denied"

    def test_closes_what_states_no_action(self, machine):
        problem_of(machine.get("/api/test/forgotten/"), 403)
        problem_of(Client().get("/api/test/forgotten/"), 401)

    def test_refuses_other_media_types_than_json(self, machine):
        problem_of(machine.get(THINGS, headers={"Accept": "text/html"}), 406)
        problem_of(machine.post(THINGS, b"a", content_type="text/plain", headers={"Idempotency-Key": "k"}), 415)

    def test_names_the_methods_there_are(self, machine):
        for method in ("PUT", "DELETE", "TRACE", "NONSENSE"):
            response = machine.generic(method, THINGS)
            problem_of(response, 405)
            assert response.headers["Allow"] == "GET, POST, HEAD, OPTIONS"
        assert machine.options(THINGS).status_code == 204
        assert machine.options(THINGS).headers["Allow"] == "GET, POST, HEAD, OPTIONS"

    def test_answers_head_as_get_without_a_body(self, machine):
        response = machine.head(THINGS)
        assert (response.status_code, response.content) == (200, b"")

    def test_refuses_bodies_that_are_no_json_or_too_large(self, machine):
        for body, status in ((b"{", 400), (b'{"name": "a", "name": "b"}', 400), (b" " * (2**20 + 1), 413)):
            problem_of(send(machine, "POST", THINGS, body, Idempotency_Key="k"), status)

    def test_marks_answers_as_one_viewers_own(self, machine):
        response = machine.get(THINGS)
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert {"Accept", "Authorization", "Cookie"} <= set(response.headers["Vary"].split(", "))

    def test_passes_on_the_trace_it_is_given(self, machine):
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        assert problem_of(machine.get(f"{THINGS}x/", headers=headers), 404)["trace_id"] == trace


class TestFailures:
    def test_turn_into_problems_by_their_code(self, machine, settings):
        asked = {"name": "a", "how": "refused"}
        said = problem_of(send(machine, "POST", THINGS, asked, Idempotency_Key="1"), 422)
        assert (said["type"], said["details"]) == ("/problems/test.not_now", {"name": "a"})
        settings.PROBLEM_STATUSES = {"test": 409, "test.not": 400}
        problem_of(send(machine, "POST", THINGS, asked, Idempotency_Key="2"), 409)

    def test_of_ours_are_told_as_such(self, machine):
        machine.raise_request_exception = False
        said = problem_of(send(machine, "POST", THINGS, {"name": "a", "how": "crash"}, Idempotency_Key="1"), 500)
        assert "ZeroDivision" not in str(said)

    def test_of_the_database_say_when_to_come_back(self, machine, monkeypatch):
        def fail(self, asked):
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(operations.Things, "seen", fail)
        response = machine.get(THINGS)
        assert "server" not in str(problem_of(response, 503))
        assert response.headers["Retry-After"] == "5"


class TestCsrf:
    @pytest.fixture
    def person(self) -> Client:
        return log_in(Client(enforce_csrf_checks=True), make_person("amber", make_organisation(), "admin"))

    def test_lets_a_session_read(self, person):
        assert person.get(THINGS).status_code == 200

    def test_refuses_a_sessions_unsafe_request_without_its_token(self, person):
        body = {"name": "a"}
        said = problem_of(send(person, "POST", THINGS, body, Idempotency_Key="1"), 403)
        assert said["type"] == "/problems/csrf_failed"
        problem_of(send(person, "POST", THINGS, body, Idempotency_Key="1", X_CSRFToken="b" * 32), 403)
        assert not Organisation.objects.filter(code="a").exists()

    def test_takes_it_with_the_token(self, person):
        response = send(person, "POST", THINGS, {"name": "a"}, Idempotency_Key="1", **with_csrf(person))
        assert response.status_code == 202

    def test_asks_no_machine_for_one(self):
        machine = make_machine(make_organisation())
        client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {token_of(machine)}"})
        assert send(client, "POST", THINGS, {"name": "a"}, Idempotency_Key="1").status_code == 202


class TestConfirmation:
    def test_is_demanded_of_those_who_proved_long_ago_who_they_are(self, settings):
        settings.CONFIRMED_FOR_S = 300
        machine = make_machine(make_organisation())
        token = token_of(machine)
        client = Client(headers={"Authorization": f"Bearer {token}"})
        assert client.post("/api/test/fresh/").status_code == 200
        machine.application.accesstoken_set.update(created=timezone.now() - timedelta(seconds=301))
        assert problem_of(client.post("/api/test/fresh/"), 403)["type"] == "/problems/confirmation_required"

    def test_of_people_only_keeps_machines_out(self, machine):
        problem_of(machine.put("/api/test/fresh/"), 403)
        person = log_in(Client(), make_person("amber", make_organisation(), "admin"))
        assert person.put("/api/test/fresh/").status_code == 200


class TestLists:
    @pytest.fixture(autouse=True)
    def organisations(self) -> None:
        for number in range(7):
            make_organisation(f"o{number}", "dno" if number % 2 else "market_operator")

    @pytest.mark.parametrize("order", ["code", "kind", "latest"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_give_every_row_once_forth_and_back(self, machine, order, limit):
        whole = machine.get(THINGS, {"order": order}).json()["results"]
        pages, link = [], f"{THINGS}?order={order}&limit={limit}"
        while link:
            page = machine.get(link).json()
            pages.append(page["results"])
            link = page["next"]
        assert [row for page in pages for row in page] == whole
        back, link = [pages[-1]], page["previous"]
        while link:
            page = machine.get(link).json()
            back.insert(0, page["results"])
            link = page["previous"]
        assert back == pages

    def test_go_on_where_they_were_whatever_came_or_went(self, machine):
        first = machine.get(THINGS, {"limit": 3}).json()
        make_organisation("a-new-one-before")
        Organisation.objects.filter(code=first["results"][-1]["code"]).delete()
        codes = [row["code"] for row in machine.get(first["next"]).json()["results"]]
        assert [row["code"] for row in first["results"]] == ["flexco", "o0", "o1"]
        assert codes == ["o2", "o3", "o4"]

    def test_keep_their_filters_in_links(self, machine):
        page = machine.get(THINGS, {"limit": 1, "kind": "dno"}).json()
        assert machine.get(page["next"]).json()["results"][0]["kind"] == "dno"
        assert page["next"].startswith(THINGS)

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1001", "limit=x", "order=pk", "order=-code", "kind=x", "n=6", "tenant=1", "kind="]
    )
    def test_refuse_what_they_do_not_take(self, machine, query):
        (error,) = problem_of(machine.get(f"{THINGS}?{query}"), 400)["errors"]
        assert (error["place"], error["pointer"]) == ("query", f"/{query.split('=')[0]}")

    def test_refuse_cursors_that_are_not_theirs(self, machine):
        cursor = machine.get(THINGS, {"limit": 1}).json()["next"].split("cursor=")[1]
        for query in ("cursor=x", f"cursor={cursor[:-1]}", f"order=latest&cursor={cursor}", f"cursor={cursor}x"):
            (error,) = problem_of(machine.get(f"{THINGS}?{query}"), 400)["errors"]
            assert error["pointer"] == "/cursor"


class TestEtags:
    @pytest.fixture
    def thing(self) -> str:
        return f"{THINGS}{make_organisation().code}/"

    def test_spare_a_reader_what_it_has(self, machine, thing):
        etag = machine.get(thing).headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            response = machine.get(thing, headers={"If-None-Match": known})
            assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
        assert machine.get(thing, headers={"If-None-Match": '"other"'}).status_code == 200

    def test_are_demanded_of_a_change(self, machine, thing):
        etag = machine.get(thing).headers["ETag"]
        body = {"name": "New"}
        assert problem_of(send(machine, "PATCH", thing, body), 428)["errors"][0]["pointer"] == "/If-Match"
        stale = send(machine, "PATCH", thing, body, If_Match='"other"')
        problem_of(stale, 412)
        problem_of(send(machine, "PATCH", thing, body, If_Match=f"W/{etag}"), 412)
        changed = send(machine, "PATCH", thing, body, If_Match=etag)
        assert changed.json()["name"] == "New"
        assert changed.headers["ETag"] == machine.get(thing).headers["ETag"] != etag
        problem_of(send(machine, "PATCH", thing, {"name": "Newer"}, If_Match=etag), 412)


class TestLimits:
    @pytest.fixture(autouse=True)
    def few(self, settings) -> None:
        settings.API_LIMITS = {"reads": (3, 3600), "commands": (1, 3600)}

    def test_are_told_and_kept(self, machine):
        left = [machine.get(THINGS).headers["RateLimit"].split(";")[1] for _ in range(3)]
        assert left == ["r=2", "r=1", "r=0"]
        response = machine.get(THINGS)
        assert problem_of(response, 429)["type"] == "/problems/throttled"
        assert 0 < int(response.headers["Retry-After"]) <= 1200
        assert response.headers["RateLimit-Policy"] == '"reads";q=3;w=3600'

    def test_are_apart_for_commands_and_for_each_viewer(self, machine):
        for _ in range(3):
            machine.get(THINGS)
        assert machine.put("/api/test/fresh/").status_code == 403  # not counted: it was not let in
        assert send(machine, "POST", THINGS, {"name": "a"}, Idempotency_Key="1").status_code == 202
        problem_of(send(machine, "POST", THINGS, {"name": "b"}, Idempotency_Key="2"), 429)
        assert as_machine(make_organisation()).get(THINGS).status_code == 200

    def test_fill_again_with_time(self, machine, settings, monkeypatch):
        settings.API_LIMITS = {"reads": (1, 10)}
        now = [1000.0]
        monkeypatch.setattr("aggregator.rest.throttle.time.time", lambda: now[0])
        assert machine.get(THINGS).status_code == 200
        now[0] += 9
        assert machine.get(THINGS).headers["Retry-After"] == "1"
        now[0] += 1
        assert machine.get(THINGS).status_code == 200
