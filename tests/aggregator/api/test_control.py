"""A change of a rating over REST: asked by one person, agreed to by another, never by a machine."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from aggregator.models import ControlAct, NodeRating
from aggregator.viewer import CONFIRMED_AT
from tests.aggregator.api.conftest import found, status
from tests.machines import send
from tests.people import log_in

RATINGS = "/api/v1/network/nodes/north-large/ratings/"
ASKED = {"rating_kva": 80.0, "reason": "fuse replaced by a smaller one"}


@pytest.fixture
def people(world) -> dict[str, Client]:
    names = ("north.operator", "north.supervisor", "south.supervisor", "alpha.admin", "platform.auditor")
    return {name: log_in(Client(), User.objects.get(username=name)) for name in names}


def ask(client: Client, key: str = "k-1", **changes):
    return send(client, "POST", RATINGS, {**ASKED, **changes}, Idempotency_Key=key)


def decide(client: Client, act: str, what: str = "approve", **body):
    return send(client, "POST", f"/api/v1/control-acts/{act}/{what}/", body, Idempotency_Key=f"{what}-{act}")


class TestChangeOfLimits:
    def test_waits_for_a_second_person_and_is_done_on_their_word(self, people):
        asked = ask(people["north.operator"])
        assert asked.status_code == 202, asked.content
        act = asked.json()
        assert (act["state"], act["exceeded"]) == ("pending", ["n_limits"])
        assert NodeRating.objects.filter(node__code="north-large").count() == 1

        approved = decide(people["north.supervisor"], act["id"])
        assert (approved.status_code, approved.json()["state"]) == (200, "done"), approved.content
        rows = found(people["north.operator"], "network/nodes/north-large/ratings/")["results"]
        assert [row["rating_kva"] for row in rows] == [80.0, 100.0]
        assert rows[1]["valid_to"] == rows[0]["valid_from"]
        assert found(people["north.supervisor"], f"control-acts/{act['id']}/")["decided_by"] == "north.supervisor"

    def test_asked_twice_with_one_key_is_asked_once(self, people, world):
        first, again = ask(people["north.operator"]), ask(people["north.operator"])
        assert again.json()["id"] == first.json()["id"]
        assert again.headers["Idempotency-Replayed"] == "true"

    def test_needs_another_person(self, people):
        act = ask(people["north.supervisor"]).json()["id"]
        response = decide(people["north.supervisor"], act)
        assert (response.status_code, response.json()["type"]) == (403, "/problems/control.needs_another_person")
        assert decide(people["north.operator"], act).status_code == 403

    def test_may_be_refused_once_and_not_approved_then(self, people):
        act = ask(people["north.operator"]).json()["id"]
        refused = decide(people["north.supervisor"], act, "refuse", reason="not tonight")
        assert (refused.status_code, refused.json()["state"]) == (200, "refused")
        late = decide(people["north.supervisor"], act)
        assert (late.status_code, late.json()["type"]) == (409, "/problems/control.decided")

    def test_may_be_taken_back_by_who_asked(self, people):
        act = ask(people["north.operator"]).json()["id"]
        assert decide(people["north.operator"], act, "refuse", reason="asked by mistake").json()["state"] == "refused"

    def test_is_nobody_elses(self, people, machines):
        act = ask(people["north.operator"]).json()["id"]
        assert decide(people["south.supervisor"], act).status_code == 404
        assert ask(people["south.supervisor"]).status_code == 404
        for name in ("alpha.admin", "platform.auditor"):
            assert decide(people[name], act).status_code == 403
            assert ask(people[name]).status_code == 403
        for code in ("north", "south", "alpha"):
            assert decide(machines[code], act).status_code == 403
            assert decide(machines[code], act, "refuse", reason="by machine").status_code == 403
            assert ask(machines[code]).status_code == 403
        assert ControlAct.objects.across_tenants().get(pk=act.removeprefix("act_")).state == "pending"

    def test_demands_who_proved_just_now_who_they_are(self, people):
        client = people["north.operator"]
        session = client.session
        session[CONFIRMED_AT] = (timezone.now() - timedelta(hours=1)).isoformat()
        session.save()
        response = ask(client)
        assert (response.status_code, response.json()["type"]) == (403, "/problems/confirmation_required")
        assert status(client, "network/nodes/north-large/ratings/") == 200

    def test_keeps_the_rules(self, people):
        refused = [
            ({"rating_kva": 0}, 400),
            ({"reason": "no"}, 400),
            ({"valid_from": "2026-01-01T00:00:00Z"}, 422),
            ({"valid_to": "2030-01-01T00:00:00Z"}, 400),
        ]
        for changes, code in refused:
            assert ask(people["north.operator"], key=f"k-{min(changes)}", **changes).status_code == code
