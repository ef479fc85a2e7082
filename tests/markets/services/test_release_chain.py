"""PostgreSQL chains releases; Python, which makes the chain a second way, agrees."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from psycopg import connect

from aggregator.core.timegrid import charging_day
from aggregator.models import ControlAct
from markets.core.release_chain import chain_break, content_sha256, content_text, next_link
from markets.models import SettlementRun, StatementRelease
from markets.services.release_chain import content_of, link_of, release_faults, release_links
from tests.factories import make_organisation
from tests.markets.builders import make_cycle, make_statement, settle_again

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 2, 16, 9, 30, 0, 120, tzinfo=UTC)


def release(run: SettlementRun, at: datetime = NOW) -> StatementRelease:
    act = ControlAct(
        kind="release_statements",
        organisation=make_organisation("elx", "market_operator"),
        subject="x",
        payload={},
        figures={},
        reason="of the test",
        state="done",
        asked_as="person:x",
        asked_at=at,
        expires_at=at + timedelta(hours=1),
    )
    act.save()
    made = StatementRelease.objects.create(settlement_run=run, act=act, released_at=at)
    made.refresh_from_db()
    return made


@pytest.fixture
def releases() -> list[StatementRelease]:
    cycle = make_cycle()
    run = cycle.statements["flexco"].settlement_run
    made = [release(run)]
    for version in (2, 3):
        run = settle_again(run.event, cycle.row.run, cycle.grid, version=version, supersedes=run)
        make_statement(run, cycle.dsrsps["voltway"])
        made.append(release(run, NOW + timedelta(days=version)))
    return made


class TestReleaseChain:
    def test_is_the_one_that_python_makes(self, releases):
        last = None
        for made in releases:
            last = next_link(content_text(content_of(made)), last=last)
            assert link_of(made) == last
        assert release_links() == tuple(map(link_of, releases))
        assert release_links(up_to=2) == tuple(map(link_of, releases[:2]))
        assert chain_break(release_links()) == ""
        assert release_faults() == []

    def test_covers_every_statement_of_the_run(self, releases):
        assert [len(content_of(made).statements) for made in releases] == [2, 1, 1]
        assert len({content_sha256(content_of(made)) for made in releases}) == 3

    def test_cannot_be_chosen_by_who_stores_a_release(self, releases):
        run = releases[-1].settlement_run
        cycle_run = settle_again(
            run.event, run.dispatch_run, charging_day(run.dispatch_run.charging_day), version=4, supersedes=run
        )
        made = release(cycle_run)
        assert (made.sequence, made.previous_sha256) == (4, releases[-1].sha256)

    def test_tells_of_a_statement_changed_behind_the_applications_back(self, owner_login, releases):
        run = releases[1].settlement_run_id
        with connect(**owner_login) as owner:
            owner.execute("UPDATE markets_statement SET content = content || 'x' WHERE settlement_run_id = %s", [run])

        (fault,) = release_faults()
        assert fault.startswith("release 2 covers other statements than those stored now of settlement of EVENING/")
        with pytest.raises(CommandError, match="release 2 covers other"):
            call_command("verify_releases")

    def test_tells_of_a_release_that_is_gone(self, owner_login, releases):
        with connect(**owner_login) as owner:
            owner.execute("DELETE FROM markets_statementrelease WHERE sequence = 2")

        assert release_faults() == ["release 2 is missing: release 3 follows release 1"]

    def test_is_checked_by_a_command(self, releases, capsys):
        call_command("verify_releases")
        assert capsys.readouterr().out == "3 releases hold.\n"
