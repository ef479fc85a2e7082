"""Requesting a dispatch and releasing statements over the API: asked once, done once, or kept for a second person."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from aggregator.models import ControlAct, Event, Job
from dispatch.models import TargetSignal
from markets.models import FlexEvent, SettlementRun, StatementRelease
from tests.machines import as_machine, make_machine, send, token_of

REQUESTS, CHECK, SETTLEMENTS = "/api/v1/requests/", "/api/v1/requests:check/", "/api/v1/settlement-runs/"


def tomorrow(hour: float) -> str:
    at = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (at + timedelta(days=1, hours=hour)).isoformat()


def asked(**changed: object) -> dict:
    """A good request; a value of None leaves the field out."""
    body = {
        "reference": "EVENING/2",
        "node": "north-p",
        "starts_at": tomorrow(18),
        "ends_at": tomorrow(20),
        "direction": "turn_down",
        "kind": "routine",
        "target_kw": 20.0,
        "shortfall_gbp_per_kwh": 1.0,
        "product": "su-north",
        "price_gbp_per_mwh": "300.00",
        "reason": "transformer out for repair",
        **changed,
    }
    return {name: value for name, value in body.items() if value is not None}


def ask(client: Client, body: object, key: str = "first", path: str = REQUESTS):
    return send(client, "POST", path, body, Idempotency_Key=key)


def check(client: Client, **changed: object):
    return send(client, "POST", CHECK, asked(reason=None, **changed))


def n_act() -> int:
    return ControlAct.objects.across_tenants().filter(kind__in=["request_dispatch", "release_statements"]).count()


@pytest.fixture
def north(client_of) -> Client:
    return client_of("north")


@pytest.fixture
def small(settings) -> None:
    """Nothing but the smallest acts is done on one person's word."""
    settings.DUAL_APPROVAL_EVSES = 5


class TestRequestingADispatch:
    def test_is_done_at_once_below_the_thresholds(self, north, world):
        response = ask(north, asked())
        act = response.json()

        assert response.status_code == 201
        assert (act["state"], act["kind"], act["exceeded"], act["approvers"]) == ("done", "request_dispatch", [], [])
        assert response.headers["Location"] == f"{REQUESTS}EVENING/2/"
        request = north.get(response.headers["Location"]).json()
        assert (request["node"], request["target_kw"], request["product"]) == ("north-p", 20.0, "su-north")
        assert (request["price_gbp_per_mwh"], request["issued_by"]) == ("300.00", "north")
        assert Job.objects.filter(kind="dispatch_area").count() == 1

    def test_waits_for_a_second_person_above_one(self, north, small, world):
        response = ask(north, asked())
        act = response.json()

        assert response.status_code == 202
        assert (act["state"], act["exceeded"]) == ("pending", ["n_evse"])
        assert act["approvers"] == ["control_room_supervisor"]
        assert response.headers["Location"] == f"/api/v1/control-acts/{act['id']}/"
        assert north.get(response.headers["Location"]).status_code == 200
        assert not TargetSignal.objects.filter(reference="EVENING/2").exists()

    def test_is_known_under_who_asked(self, world, person_of):
        client = person_of("north.operator")
        assert ask(client, asked()).status_code == 201

        act = ControlAct.objects.across_tenants().get(kind="request_dispatch")
        assert (act.asked_as, act.asked_by.username) == ("person:north.operator", "north.operator")
        received = Event.objects.across_tenants().get(action="request.received")
        assert (received.actor, received.reason) == ("person:north.operator", "transformer out for repair")

    def test_takes_a_time_with_another_offset(self, north):
        starts = datetime.fromisoformat(tomorrow(18)) + timedelta(hours=1)

        assert ask(north, asked(starts_at=starts.replace(tzinfo=None).isoformat() + "+01:00")).status_code == 201
        stored = TargetSignal.objects.get(reference="EVENING/2")
        assert stored.starts_at.isoformat() == tomorrow(18)

    def test_needs_no_product(self, north):
        assert ask(north, asked(product=None, price_gbp_per_mwh=None)).status_code == 201
        assert not FlexEvent.objects.filter(signal__reference="EVENING/2").exists()


class TestAskingTwice:
    def test_does_it_once_and_answers_the_same(self, north):
        first, again = ask(north, asked()), ask(north, asked())

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert n_act() == 1

    def test_refuses_another_body_under_the_same_key(self, north):
        ask(north, asked())
        other = ask(north, asked(target_kw=10.0))

        assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency.other_request")
        assert n_act() == 1

    def test_refuses_the_same_reference_under_another_key(self, north):
        ask(north, asked())
        again = ask(north, asked(), key="second")

        assert (again.status_code, again.json()["type"]) == (409, "/problems/markets.request_known")
        assert n_act() == 1

    def test_needs_a_key(self, north):
        response = send(north, "POST", REQUESTS, asked())

        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, "/Idempotency-Key")
        assert n_act() == 0


class TestWhoMayRequest:
    def test_not_without_credentials_the_role_or_the_scope(self, world, client_of):
        statuses = {
            "nobody": ask(Client(), asked()).status_code,
            "dsrsp": ask(client_of("alpha"), asked()).status_code,
            "market": ask(client_of("market"), asked()).status_code,
            "platform": ask(client_of("platform"), asked()).status_code,
            "reader": ask(as_machine(world.organisations["north"], "dispatch:read"), asked()).status_code,
        }

        assert statuses == {"nobody": 401, "dsrsp": 403, "market": 403, "platform": 403, "reader": 403}
        assert n_act() == 0

    def test_not_at_another_dnos_node(self, client_of):
        foreign = ask(client_of("south"), asked(product=None, price_gbp_per_mwh=None))
        nowhere = ask(client_of("south"), asked(node="none", product=None, price_gbp_per_mwh=None), key="second")

        assert (foreign.status_code, nowhere.status_code) == (422, 422)
        assert foreign.json()["type"] == nowhere.json()["type"] == "/problems/network.unknown_node"
        assert n_act() == 0

    def test_not_under_another_dnos_product(self, client_of):
        response = ask(client_of("south"), asked(node="south-p"))

        assert (response.status_code, response.json()["type"]) == (422, "/problems/markets.unknown_product")

    def test_not_by_a_person_who_did_not_just_prove_who_they_are(self, world, person_of):
        client = person_of("north.operator")
        session = client.session
        session["confirmed_at"] = (timezone.now() - timedelta(seconds=301)).isoformat()
        session.save()

        response = ask(client, asked())
        assert (response.status_code, response.json()["type"]) == (403, "/problems/confirmation_required")
        assert check(client).status_code == 200  # looking moves nothing
        assert n_act() == 0

    def test_not_by_a_machine_whose_token_is_old(self, world, settings):
        machine = make_machine(world.organisations["north"])
        token = token_of(machine)
        issued = timezone.now() - timedelta(seconds=settings.CONFIRMED_FOR_S + 1)
        get_access_token_model().objects.filter(token=token).update(created=issued)

        response = ask(Client(headers={"Authorization": f"Bearer {token}"}), asked())
        assert (response.status_code, response.json()["type"]) == (403, "/problems/confirmation_required")


class TestRefusedRequests:
    @pytest.mark.parametrize(
        ("changed", "pointer"),
        [
            ({"starts_at": "2026-12-01T18:00:00"}, "/starts_at"),
            ({"starts_at": 5}, "/starts_at"),
            ({"direction": "sideways"}, "/direction"),
            ({"direction": None}, "/direction"),
            ({"target_kw": -1.0}, "/target_kw"),
            ({"target_kw": "20"}, "/target_kw"),
            ({"target_kw": True}, "/target_kw"),
            ({"price_gbp_per_mwh": 300.0}, "/price_gbp_per_mwh"),
            ({"price_gbp_per_mwh": "300.005"}, "/price_gbp_per_mwh"),
            ({"price_gbp_per_mwh": "1e2"}, "/price_gbp_per_mwh"),
            ({"reference": "a\u0000b"}, ""),
            ({"reference": "/EVENING"}, "/reference"),
            ({"reference": "EVENING/"}, "/reference"),
            ({"reason": "no"}, "/reason"),
            ({"approved": True}, "/approved"),
        ],
    )
    def test_says_which_value_does_not_fit(self, north, changed, pointer):
        response = ask(north, asked(**changed))

        assert response.status_code == 400
        assert [error["pointer"] for error in response.json()["errors"]] == ([pointer] if pointer else [])
        assert n_act() == 0

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"starts_at": "2026-01-14T18:00:00Z", "ends_at": "2026-01-14T19:00:00Z"}, "dispatch.target_refused"),
            ({"ends_at": tomorrow(20.25)}, "dispatch.target_refused"),
            ({"ends_at": tomorrow(17)}, "dispatch.target_refused"),
            ({"product": "none"}, "markets.unknown_product"),
            ({"product": None}, "markets.unknown_product"),
            ({"price_gbp_per_mwh": None}, "markets.invalid_price"),
            ({"shortfall_gbp_per_kwh": 0.5}, "markets.shortfall_too_cheap"),
        ],
    )
    def test_says_which_rule_is_broken(self, north, changed, code):
        response = ask(north, asked(**changed))

        assert (response.status_code, response.json()["type"]) == (422, f"/problems/{code}")
        assert check(north, **changed).json()["type"] == f"/problems/{code}"
        assert n_act() == 0


class TestCheckingARequest:
    def test_says_what_it_would_do_and_stores_nothing(self, north):
        plan = check(north).json()

        assert (plan["area"], plan["tariff"], plan["product"]) == ("north-p", "night", "su-north v1")
        assert (plan["n_evse"], plan["rated_kw"]) == (20, 150.0)  # 16 EVSEs of 7.4 kW, in groups
        assert plan["figures"]["total_mw"] == pytest.approx(0.13)
        assert (plan["exceeded"], plan["approvers"]) == ([], [])
        assert n_act() == 0
        assert not TargetSignal.objects.filter(reference="EVENING/2").exists()

    def test_says_who_would_have_to_agree(self, north, small):
        plan = check(north).json()

        assert (plan["exceeded"], plan["approvers"]) == (["n_evse"], ["control_room_supervisor"])

    def test_refuses_a_reason_it_would_not_keep(self, north):
        response = send(north, "POST", CHECK, asked())

        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, "/reason")

    def test_is_closed_to_others(self, client_of):
        assert check(client_of("alpha")).status_code == 403
        assert check(Client()).status_code == 401


class TestReleasingStatements:
    def path(self, dno: str = "north") -> str:
        run = SettlementRun.objects.get(event__product__code=f"su-{dno}")
        return f"{SETTLEMENTS}settlement_{run.pk}/release/"

    def release(self, client: Client, dno: str = "north", key: str = "first"):
        return ask(client, {"reason": "no disputes open"}, key, self.path(dno))

    def test_waits_for_a_second_person(self, world, client_of):
        market = client_of("market")
        response = self.release(market)
        act = response.json()

        assert (response.status_code, act["state"], act["exceeded"]) == (202, "pending", ["n_statements"])
        assert (act["approvers"], act["figures"]["n_statements"]) == (["market_operator"], 2)
        assert market.get(response.headers["Location"]).status_code == 200
        assert not StatementRelease.objects.exists()

    def test_is_done_at_once_where_one_person_may(self, settings, client_of):
        settings.DUAL_APPROVAL_STATEMENTS = 2
        response = self.release(client_of("market"))

        assert (response.status_code, response.json()["state"]) == (200, "done")
        settlement = client_of("market").get(response.headers["Location"]).json()
        assert (settlement["state"], settlement["id"]) == ("released", self.path().split("/")[4])
        assert StatementRelease.objects.count() == 1

    def test_is_done_once(self, settings, client_of):
        settings.DUAL_APPROVAL_STATEMENTS = 2
        market = client_of("market")
        first, again, other = self.release(market), self.release(market), self.release(market, key="second")

        assert again.content == first.content
        assert (other.status_code, other.json()["type"]) == (409, "/problems/settlement.release_refused")
        assert n_act() == 1

    def test_is_the_market_operators(self, world, client_of):
        statuses = {code: self.release(client_of(code)).status_code for code in ("alpha", "north", "platform")}

        assert statuses == {"alpha": 403, "north": 403, "platform": 403}
        assert ask(Client(), {"reason": "x"}, path=self.path()).status_code == 401

    def test_needs_a_proof_of_who_asks(self, world, person_of):
        client = person_of("market.operator")
        session = client.session
        del session["confirmed_at"]
        session.save()

        assert self.release(client).json()["type"] == "/problems/confirmation_required"

    @pytest.mark.parametrize("named", ["settlement_999999999999999", "settlement_0", "1"])
    def test_knows_no_such_settlement(self, client_of, named):
        response = ask(client_of("market"), {"reason": "none there"}, path=f"{SETTLEMENTS}{named}/release/")

        assert response.status_code == 404
