"""Statements released by a market operator, once, by two people."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from aggregator.models import ControlAct, Event, Membership, Organisation, acting_for, known_as
from aggregator.services.control_acts import NeedsAnotherPerson, approve_control_act
from aggregator.services.event_log import verify_events
from markets.models import SettlementRun, Statement, StatementRelease
from markets.services.releases import ReleaseRefused, ask_release_statements, plan_release
from tests.factories import make_dno, make_organisation
from tests.markets.builders import Cycle, make_cycle, make_statement, settle_again

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 20, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def cycle() -> Cycle:
    return make_cycle()


def market() -> Organisation:
    return make_organisation("market", "market_operator")


def settlement() -> SettlementRun:
    return SettlementRun.objects.order_by("version").first()


def supersede(cycle: Cycle) -> SettlementRun:
    first = settlement()
    second = settle_again(first.event, first.dispatch_run, cycle.grid, version=2, supersedes=first)
    make_statement(second, cycle.dsrsps["flexco"])
    return second


def person(name: str) -> User:
    user, is_new = User.objects.get_or_create(username=name)
    if is_new:
        Membership.objects.create(user=user, organisation=market(), role="market_operator")
    return user


def ask(settlement_pk: int | None = None, organisation: Organisation | None = None) -> ControlAct:
    organisation = organisation or market()
    settlement_pk = settlement().pk if settlement_pk is None else settlement_pk
    with known_as("person:first"), acting_for(organisation):
        return ask_release_statements(
            organisation=organisation,
            settlement_pk=settlement_pk,
            reason="figures agreed",
            asked_by_pk=person("first").pk,
            now=NOW,
        )


def approve(act: ControlAct, by: str = "second") -> ControlAct:
    with known_as(f"person:{by}"), acting_for(market()):
        return approve_control_act(act_pk=act.pk, organisation=market(), user_pk=person(by).pk, now=NOW + MINUTE)


class TestAskReleaseStatements:
    def test_always_waits_for_a_second_person(self):
        act = ask()
        assert (act.state, act.exceeded, act.figures["n_statements"]) == ("pending", ["n_statements"], 2)
        assert act.payload == {"settlement": settlement().pk, "payment_gbp": "8.56"}
        with pytest.raises(NeedsAnotherPerson):
            approve(act, "first")
        assert not StatementRelease.objects.exists()

    def test_is_done_at_once_where_the_settings_say_so(self, settings):
        settings.DUAL_APPROVAL_STATEMENTS = 2
        assert ask().state == "done"
        assert StatementRelease.objects.count() == 1

    @pytest.mark.parametrize("kind", ["dno", "dsrsp", "platform"])
    def test_refuses_who_is_no_market_operator(self, kind):
        for organisation in (make_organisation(f"a-{kind}", kind), make_dno()):
            with pytest.raises(ReleaseRefused, match="no market operator"):
                ask(organisation=organisation)

    def test_refuses_what_is_not_there(self):
        with pytest.raises(ReleaseRefused, match="no settlement"):
            ask(0)

    def test_refuses_what_is_superseded(self, cycle):
        second = supersede(cycle)
        with pytest.raises(ReleaseRefused, match="superseded by v2"):
            ask()
        assert ask(second.pk).figures["n_statements"] == 1

    def test_refuses_what_was_released(self):
        approve(ask())
        with pytest.raises(ReleaseRefused, match="released already"):
            ask()


class TestDoReleaseStatements:
    def test_keeps_the_release_and_changes_no_statement(self):
        before = [(row.pk, bytes(row.content), row.sha256) for row in Statement.objects.across_tenants().order_by("pk")]
        act = approve(ask())
        release = StatementRelease.objects.get()
        assert (release.settlement_run, release.act, release.released_at) == (settlement(), act, NOW + MINUTE)
        assert (act.state, act.outcome["release"], act.outcome["n_statement"]) == ("done", release.pk, 2)
        after = [(row.pk, bytes(row.content), row.sha256) for row in Statement.objects.across_tenants().order_by("pk")]
        assert after == before

    def test_keeps_the_log(self):
        approve(ask())
        event = Event.objects.across_tenants().get(action="statements.released")
        assert (event.actor, event.organisation, event.reason) == ("person:second", market(), "figures agreed")
        assert (event.before, event.after["n_statement"]) == ({"released": False}, 2)
        assert verify_events().is_intact

    def test_fails_where_it_was_superseded_or_released_meanwhile(self, cycle):
        first, second = ask(), ask()
        assert approve(first).state == "done"
        act = approve(second)
        assert (act.state, act.outcome["code"]) == ("failed", "settlement.release_refused")
        newest = supersede(cycle)
        third = ask(newest.pk)
        settle_again(newest.event, newest.dispatch_run, cycle.grid, version=3, supersedes=newest)
        assert approve(third).state == "failed"
        assert StatementRelease.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_releases_once_though_two_acts_are_approved_at_once(self):
        acts = [ask(), ask()]
        person("second")
        start = threading.Barrier(2)

        def one(act: ControlAct) -> str:
            try:
                connection.ensure_connection()
                start.wait(timeout=60)
                return approve(act).state
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(one, acts)) == ["done", "failed"]
        assert StatementRelease.objects.count() == 1


class TestPlanRelease:
    def test_shows_what_it_would_make_final(self):
        with acting_for(market()):
            plan = plan_release(organisation=market(), settlement_pk=settlement().pk)
        assert (plan.figures.n_statements, plan.payment_gbp) == (2, "8.56")
