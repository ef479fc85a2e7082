"""Settlements and statements over the API: each to those it concerns, exact to the penny and to the byte."""

import hashlib
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import ControlAct
from markets.models import SettlementRun, Statement, StatementLine, StatementRelease
from tests.machines import as_machine, send
from tests.markets.builders import make_statement
from tests.walls.world import mark

STATEMENTS, SETTLEMENTS = "/api/v1/statements/", "/api/v1/settlement-runs/"


def rows(response) -> list[dict]:
    return response.json()["results"]


def settlement_of(dno: str) -> SettlementRun:
    return SettlementRun.objects.get(event__product__code=f"su-{dno}", version=1)


def statement_of(dsrsp: str, version: int = 1) -> Statement:
    return Statement.objects.across_tenants().get(organisation__code=dsrsp, settlement_run__version=version)


def settle_again(first: SettlementRun) -> SettlementRun:
    return SettlementRun.objects.create(
        event=first.event,
        dispatch_run=first.dispatch_run,
        version=2,
        code="RERUN-1",
        supersedes=first,
        as_of=first.as_of + timedelta(hours=1),
        method="test",
        input_sha256="7" * 64,
    )


def release(run: SettlementRun, world) -> None:
    act = ControlAct(
        kind="release_statements",
        organisation=world.organisations["market"],
        subject="x",
        payload={},
        figures={},
        reason="of the test",
        state="done",
        asked_as="person:x",
        asked_at=timezone.now(),
        expires_at=timezone.now() + timedelta(hours=1),
    )
    act.save()
    StatementRelease.objects.create(settlement_run=run, act=act, released_at=timezone.now())


class TestStatements:
    def test_lists_to_each_those_it_may_read(self, client_of):
        for code, seen in {
            "alpha": {"alpha"},
            "gamma": {"gamma"},
            "north": {"alpha", "beta"},
            "south": {"gamma"},
            "market": {"alpha", "beta", "gamma"},
            "platform": {"alpha", "beta", "gamma"},
        }.items():
            assert {row["dsrsp"] for row in rows(client_of(code).get(STATEMENTS))} == seen, code

    def test_is_closed_without_credentials_or_scope(self, world):
        assert Client().get(STATEMENTS).status_code == 401
        assert as_machine(world.organisations["alpha"], "fleet:read").get(STATEMENTS).status_code == 403

    def test_says_money_and_energy_as_exact_text(self, client_of):
        (row,) = rows(client_of("alpha").get(STATEMENTS))

        assert (row["payment_gbp"], row["price_gbp_per_mwh"]) == ("2.70", "300.00")
        assert (row["instructed_kwh"], row["delivered_kwh"]) == ("10.0000", "9.0000")

    def test_says_where_each_version_stands(self, world, client_of):
        first = settlement_of("north")
        release(first, world)
        again = make_statement(settle_again(first), world.organisations["alpha"])
        old = statement_of("alpha")

        newest, oldest = rows(client_of("alpha").get(STATEMENTS))

        assert (newest["id"], newest["version"], newest["run_type"]) == (f"statement_{again.pk}", 2, "RERUN-1")
        assert (newest["state"], newest["supersedes"], newest["superseded_by"]) == (
            "preliminary",
            f"statement_{old.pk}",
            None,
        )
        assert (oldest["state"], oldest["supersedes"], oldest["superseded_by"]) == (
            "superseded",
            None,
            f"statement_{again.pk}",
        )
        assert oldest["released_at"]
        assert newest["released_at"] is None

    def test_filters(self, world, client_of):
        market, run = client_of("market"), settlement_of("south")
        release(run, world)

        def found(**query: str) -> set[str]:
            return {row["dsrsp"] for row in rows(market.get(STATEMENTS, query))}

        assert found(dsrsp="beta") == {"beta"}
        assert found(product="su-north") == {"alpha", "beta"}
        assert found(reference=mark("request", "south")) == {"gamma"}
        assert found(settlement_run=f"settlement_{run.pk}") == {"gamma"}
        assert found(state="released") == {"gamma"}
        assert found(state="preliminary") == {"alpha", "beta"}
        assert found(state="superseded") == set()
        assert found(**{"from": "2026-01-14T20:00:00Z", "to": "2026-01-15T00:00:00Z"}) == set()
        assert found(**{"from": "2026-01-14T19:30:00Z", "to": "2026-01-15T00:00:00Z"}) == {"alpha", "beta", "gamma"}

    def test_a_filter_finds_nothing_of_others(self, client_of):
        run = settlement_of("south")

        assert rows(client_of("alpha").get(STATEMENTS, {"dsrsp": "beta"})) == []
        assert rows(client_of("alpha").get(STATEMENTS, {"settlement_run": f"settlement_{run.pk}"})) == []

    @pytest.mark.parametrize(
        "query", [{"settlement_run": "17"}, {"state": "final"}, {"version": "1"}, {"order": "payment"}, {"limit": "0"}]
    )
    def test_refuses_what_it_does_not_understand(self, client_of, query):
        assert client_of("market").get(STATEMENTS, query).status_code == 400

    def test_pages(self, client_of):
        client = client_of("market")
        first = client.get(STATEMENTS, {"limit": "2"}).json()
        second = client.get(first["next"]).json()

        assert len({row["id"] for row in first["results"] + second["results"]}) == 3


class TestStatement:
    def test_holds_its_settlement_periods(self, client_of):
        path = f"{STATEMENTS}statement_{statement_of('alpha').pk}/"
        statement = client_of("north").get(path, {"tz": "Europe/London"}).json()

        assert statement["lines"] == [
            {
                "settlement_date": "2026-01-14",
                "period": period,
                "starts_at": f"2026-01-14T{starts}:00Z",
                "ends_at": f"2026-01-14T{ends}:00Z",
                "starts_local": f"2026-01-14 {starts} GMT",
                "ends_local": f"2026-01-14 {ends} GMT",
                "instructed_kwh": "5.0000",
                "baseline_kwh": "8.5000",
                "metered_kwh": "4.0000",
                "delivered_kwh": "4.5000",
                "n_meters_missing": 0,
            }
            for period, starts, ends in [(37, "18:00", "18:30"), (38, "18:30", "19:00")]
        ]

    def test_is_not_there_for_others_in_any_form(self, client_of):
        path = f"{STATEMENTS}statement_{statement_of('alpha').pk}/"

        for code in ("beta", "gamma", "south"):
            for part in ("", "file/", "diff/"):
                assert client_of(code).get(path + part).status_code == 404, (code, part)

    @pytest.mark.parametrize("named", ["statement_0", "statement_999999999999999", "statement_-1", "1"])
    def test_knows_no_such_id(self, client_of, named):
        for part in ("", "file/", "diff/"):
            assert client_of("market").get(f"{STATEMENTS}{named}/{part}").status_code == 404


class TestStatementFile:
    def path(self) -> str:
        return f"{STATEMENTS}statement_{statement_of('alpha').pk}/file/"

    def test_is_the_bytes_as_published(self, client_of):
        statement = statement_of("alpha")
        response = client_of("market").get(self.path())

        assert response.content == bytes(statement.content)
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["ETag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'

    def test_costs_nothing_to_who_has_them(self, client_of):
        client = client_of("alpha")
        etag = client.get(self.path()).headers["ETag"]
        again = send(client, "GET", self.path(), If_None_Match=etag)

        assert (again.status_code, again.content) == (304, b"")

    def test_can_be_asked_for_as_csv_and_as_nothing_else(self, client_of):
        client = client_of("alpha")

        assert send(client, "GET", self.path(), Accept="text/csv").status_code == 200
        refused = send(client, "GET", self.path(), Accept="application/json")
        assert (refused.status_code, refused.headers["Content-Type"]) == (406, "application/problem+json")

    def test_is_refused_where_the_stored_bytes_are_others(self, world, client_of):
        altered = make_statement(settle_again(settlement_of("north")), world.organisations["alpha"], sha256="a" * 64)
        response = client_of("alpha").get(f"{STATEMENTS}statement_{altered.pk}/file/")

        assert response.json()["type"] == "/problems/markets.statement_altered"
        assert response.status_code >= 400
        assert b"HDR" not in response.content


class TestStatementDiff:
    def test_says_that_a_first_version_is_new_as_a_whole(self, client_of):
        diff = client_of("alpha").get(f"{STATEMENTS}statement_{statement_of('alpha').pk}/diff/").json()

        assert diff["before"] is None
        assert [(line["before"], line["after"]["delivered_kwh"]) for line in diff["lines"]] == [(None, "4.5000")] * 2

    def test_tells_only_what_changed(self, world, client_of):
        first = statement_of("alpha")
        changed, same = first.lines.order_by("starts_at")
        again = make_statement(settle_again(first.settlement_run), world.organisations["alpha"])
        gone_at = changed.starts_at + timedelta(minutes=60)
        for statement, starts_at, delivered in (
            (first, gone_at, "1.0000"),
            (again, changed.starts_at, "2.0000"),
            (again, same.starts_at, "4.5000"),
        ):
            StatementLine.objects.create(
                statement=statement,
                settlement_date=changed.settlement_date,
                period=37,
                starts_at=starts_at,
                ends_at=starts_at + timedelta(minutes=30),
                instructed_kwh=same.instructed_kwh,
                baseline_kwh=same.baseline_kwh,
                metered_kwh=same.metered_kwh,
                delivered_kwh=Decimal(delivered),
            )

        diff = client_of("north").get(f"{STATEMENTS}statement_{again.pk}/diff/").json()

        assert (diff["before"]["id"], diff["before"]["payment_gbp"]) == (f"statement_{first.pk}", "2.70")
        assert (diff["after"]["id"], diff["after"]["version"]) == (f"statement_{again.pk}", 2)
        changes = [
            (one["starts_at"], one["before"]["delivered_kwh"], one["after"] and one["after"]["delivered_kwh"])
            for one in diff["lines"]
        ]
        assert changes == [
            ("2026-01-14T18:00:00Z", "4.5000", "2.0000"),
            ("2026-01-14T19:00:00Z", "1.0000", None),
        ]


class TestSettlements:
    def test_lists_to_each_those_with_a_statement_to_read(self, client_of):
        north, south = (f"settlement_{settlement_of(dno).pk}" for dno in ("north", "south"))

        for code, seen in {"alpha": {north}, "south": {south}, "market": {north, south}}.items():
            assert {row["id"] for row in rows(client_of(code).get(SETTLEMENTS))} == seen, code

    def test_shows_the_statements_the_viewer_may_read(self, world, client_of):
        run = settlement_of("north")
        path = f"{SETTLEMENTS}settlement_{run.pk}/"

        market, alpha = client_of("market").get(path).json(), client_of("alpha").get(path).json()

        assert [one["dsrsp"] for one in market["statements"]] == ["alpha", "beta"]
        assert [(one["dsrsp"], one["payment_gbp"]) for one in alpha["statements"]] == [("alpha", "2.70")]
        assert (market["reference"], market["run"]) == (mark("request", "north"), f"run_{world.runs['north'].pk}")
        assert (market["state"], market["released_at"]) == ("preliminary", None)

    def test_says_what_was_released_and_superseded(self, world, client_of):
        first = settlement_of("north")
        second = settle_again(first)
        make_statement(second, world.organisations["beta"])
        release(second, world)

        client = client_of("market")
        newest, old = (client.get(f"{SETTLEMENTS}settlement_{run.pk}/").json() for run in (second, first))

        assert (old["state"], old["superseded_by"]) == ("superseded", f"settlement_{second.pk}")
        assert (newest["state"], newest["supersedes"]) == ("released", f"settlement_{first.pk}")
        assert newest["released_at"].endswith("Z")
        found = rows(client.get(SETTLEMENTS, {"state": "released"}))
        assert [row["id"] for row in found] == [f"settlement_{second.pk}"]

    def test_is_not_there_for_others(self, client_of):
        path = f"{SETTLEMENTS}settlement_{settlement_of('north').pk}/"

        for code in ("gamma", "south"):
            assert client_of(code).get(path).status_code == 404, code
