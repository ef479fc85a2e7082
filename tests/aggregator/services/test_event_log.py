import json
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import IntegrityError, ProgrammingError, connection, transaction
from psycopg import sql

from aggregator.core.event_chain import GENESIS_SHA256, EventRow, NotCanonical, event_sha256
from aggregator.models import Event, acting_for, known_as
from aggregator.services import event_log
from aggregator.services.anchors import AnchorsUnreadable, read_anchors
from aggregator.services.event_log import COLUMNS, anchor_events, anchor_events_job, record_event, verify_events
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALTERED = {
    "at": "at + interval '1 microsecond'",
    "actor": "'person:mallory'",
    "organisation_id": "NULL",
    "action": "'other'",
    "subject": "'other'",
    "reason": "'other'",
    "before": """'{"kva": 101}'""",
    "after": """jsonb_set(after, '{kva}', '99.5')""",
}


@pytest.fixture(autouse=True)
def anchors(settings, tmp_path) -> Path:
    settings.EVENT_ANCHOR_FILE = tmp_path / "made" / "anchors.jsonl"
    return settings.EVENT_ANCHOR_FILE


def record(number: int = 1, **fields: object) -> Event:
    stated = {
        "action": "limits.changed",
        "subject": f"node F{number}",
        "organisation": make_organisation(),
        "reason": "cable replaced",
        "before": {"kva": 100.0, "since": date(2020, 1, 1)},
        "after": {"kva": Decimal("120.5"), "small": 1e-7, "large": 1e300, "texts": ["Größe", None, True]},
        "at": NOW + timedelta(seconds=number),
    }
    return record_event(**{**stated, **fields})


def record_five() -> None:
    for number in range(1, 6):
        record(number)


def alter(column: str, value: str, where: str) -> str:
    return f"UPDATE aggregator_event SET {column} = {value} WHERE sequence {where}"  # noqa: S608 - words of this file


def delete(where: str) -> str:
    return f"DELETE FROM aggregator_event WHERE sequence {where}"  # noqa: S608 - words of this file


def as_owner(owner_login: dict, *statements: str) -> None:
    """Do what only who owns the table can: switch its triggers off and change it."""
    switch = "ALTER TABLE aggregator_event {} TRIGGER USER"
    with psycopg.connect(**owner_login) as session:
        for statement in (
            switch.format("DISABLE"),
            "SET CONSTRAINTS ALL IMMEDIATE",
            *statements,
            switch.format("ENABLE"),
        ):
            session.execute(statement)


def verify_command() -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_events", stdout=out, stderr=err)
    except SystemExit as ended:
        return ended.code, err.getvalue()
    return 0, out.getvalue()


class TestRecordEvent:
    def test_chains_each_event_to_the_one_before(self):
        first, second = record(1), record(2)
        assert (first.sequence, first.previous_sha256) == (1, GENESIS_SHA256)
        assert (second.sequence, second.previous_sha256) == (2, first.sha256)

    def test_keeps_hashes_that_fit_what_the_database_gives_back(self):
        record_five()
        for values in Event.objects.across_tenants().order_by("sequence").values_list(*COLUMNS):
            row = EventRow(*values)
            assert event_sha256(row) == row.sha256

    def test_keeps_what_was_said_and_who_said_it(self):
        with known_as("person:amber.operator"):
            record()
        event = Event.objects.across_tenants().get()
        assert (event.actor, event.action, event.subject) == ("person:amber.operator", "limits.changed", "node F1")
        assert (event.before, event.reason) == ({"kva": 100.0, "since": "2020-01-01"}, "cable replaced")
        assert event.after["texts"] == ["Größe", None, True]

    def test_loses_no_event_for_its_wording(self):
        with known_as("nobody \x00"):
            record(subject="x" * 300, reason="\ud800 half", after={"a\x00": ["\x00"]})
        event = Event.objects.across_tenants().get()
        assert (event.actor, len(event.subject), event.subject[-1]) == ("nobody \ufffd", 200, "…")
        assert (event.reason, event.after) == ("? half", {"a\ufffd": ["\ufffd"]})
        assert verify_events().is_intact

    def test_refuses_what_has_no_one_text(self):
        for fields in ({"after": {"kw": float("nan")}}, {"at": NOW.replace(tzinfo=None)}):
            with pytest.raises(NotCanonical):
                record(**fields)
        assert not Event.objects.across_tenants().exists()

    def test_goes_with_the_transaction_it_records(self):
        record(1)
        with transaction.atomic():
            record(2)
            transaction.set_rollback(True)
        assert record(3).sequence == 2
        assert verify_events().is_intact

    def test_adds_to_the_one_chain_whoever_acts(self):
        record(1, organisation=make_organisation("other"))
        with acting_for(make_organisation("flexco")):
            assert record(2).sequence == 2
        with acting_for(make_organisation("dno", "dno")):
            assert record(3, organisation=None).sequence == 3
        assert verify_events().n_event == 3

    @committed
    def test_leaves_no_gap_when_many_record_at_once(self):
        n_thread, n_each = 8, 12
        start = threading.Barrier(n_thread)
        organisation = make_organisation()

        def work(number: int) -> None:
            try:
                start.wait()
                for each in range(n_each):
                    with transaction.atomic():
                        record(number, organisation=organisation)
                        if each % 4 == 3:
                            transaction.set_rollback(True)
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(n_thread)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = list(Event.objects.across_tenants().order_by("sequence").values_list("sequence", flat=True))
        assert found == list(range(1, n_thread * 9 + 1))
        assert verify_events().is_intact


class TestEventTable:
    @pytest.mark.parametrize("statement", ["UPDATE aggregator_event SET reason = 'x'", "DELETE FROM aggregator_event"])
    def test_may_not_be_changed_by_the_application(self, statement):
        record()
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(statement)

    @committed
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE aggregator_event SET reason = 'x'",
            "DELETE FROM aggregator_event WHERE sequence = 1",
            "TRUNCATE aggregator_event",
            "TRUNCATE aggregator_organisation CASCADE",
        ],
    )
    def test_refuses_its_owner_too(self, owner_login, statement):
        record()
        with (
            psycopg.connect(**owner_login) as session,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="only ever added"),
        ):
            session.execute(statement)
        assert verify_events().n_event == 1

    @pytest.mark.parametrize(
        ("sequence", "previous"),
        [(1, "last"), (2, "last"), (4, "last"), (3, "f" * 64), (3, GENESIS_SHA256), (0, "last")],
    )
    def test_refuses_a_row_that_does_not_follow_the_last(self, sequence, previous):
        record(1)
        last = record(2)
        previous = last.sha256 if previous == "last" else previous
        forged = Event(
            sequence=sequence, at=NOW, actor="x", action="x", subject="x", previous_sha256=previous, sha256="a" * 64
        )
        with pytest.raises(IntegrityError), transaction.atomic():
            forged.save(force_insert=True)

    def test_refuses_a_fork_from_what_one_tenant_sees(self):
        first = record(1, organisation=make_organisation("flexco"))
        record(2, organisation=make_organisation("other"))
        forged = Event(
            sequence=2, at=NOW, actor="x", action="x", subject="x", previous_sha256=first.sha256, sha256="a" * 64
        )
        with (
            acting_for(make_organisation("flexco")),
            pytest.raises((IntegrityError, ProgrammingError)),
            transaction.atomic(),
        ):
            forged.save(force_insert=True)


@committed
class TestVerifyEvents:
    def test_says_that_a_log_is_intact(self):
        record_five()
        head = Event.objects.across_tenants().get(sequence=5)
        assert verify_command() == (0, f"5 events, intact, head 5 {head.sha256}, 0 anchors hold\n")

    def test_is_content_with_an_empty_log(self):
        assert verify_command()[0] == 0

    @pytest.mark.parametrize("column", ALTERED)
    def test_names_a_row_with_an_altered_column(self, owner_login, column):
        record_five()
        as_owner(owner_login, alter(column, ALTERED[column], "= 3"))
        code, said = verify_command()
        assert code == 1
        assert said.startswith("broken: event 3 does not fit its hash")
        assert column.removesuffix("_id") in said

    @pytest.mark.parametrize("column", ["sha256", "previous_sha256"])
    def test_names_an_altered_hash(self, owner_login, column):
        record_five()
        as_owner(owner_login, alter(column, "repeat('f', 64)", "= 3"))
        broken = verify_events().broken
        assert (broken.sequence, broken.column) == (3, column)

    def test_names_an_altered_sequence(self, owner_login):
        record_five()
        as_owner(owner_login, alter("sequence", "9", "= 5"))
        broken = verify_events().broken
        assert (broken.sequence, broken.column) == (5, "sequence")

    @pytest.mark.parametrize(("where", "first"), [("= 3", 3), ("= 1", 1), ("IN (2, 3)", 2)])
    def test_names_what_was_taken_out(self, owner_login, where, first):
        record_five()
        as_owner(owner_login, delete(where))
        code, said = verify_command()
        assert (code, f"event {first} is" in said or f"events {first} to" in said) == (1, True)

    @pytest.mark.parametrize("sequence", [6, 9])
    def test_names_what_was_put_in(self, owner_login, sequence):
        record_five()
        forged = sql.SQL(
            "INSERT INTO aggregator_event (sequence, at, actor, action, subject, reason, previous_sha256, sha256) "
            "SELECT {}, at, actor, action, subject, reason, sha256, repeat('a', 64) FROM aggregator_event "
            "WHERE sequence = 5"
        ).format(sql.Literal(sequence))
        as_owner(owner_login, forged.as_string())
        assert verify_command()[0] == 1
        assert verify_events().broken.sequence in (5, 6)

    def test_finds_a_tail_cut_off_by_its_anchor(self, owner_login):
        record_five()
        anchor_events(now=NOW)
        as_owner(owner_login, delete("> 3"))
        code, said = verify_command()
        assert (code, "events 4 to 5 are missing" in said) == (1, True)

    def test_finds_a_log_emptied_after_an_anchor(self, owner_login):
        record_five()
        anchor_events(now=NOW)
        as_owner(owner_login, "DELETE FROM aggregator_event")
        assert verify_events().broken.sequence == 1

    def test_finds_a_log_written_anew_by_its_anchor(self, owner_login):
        record_five()
        anchor_events(now=NOW)
        as_owner(owner_login, "DELETE FROM aggregator_event")
        for number in range(1, 6):
            record(number, reason="another story")
        broken = verify_events().broken
        assert (broken.sequence, broken.column) == (5, "sha256")

    @pytest.mark.parametrize("rows_a_piece", [1, 2, 4, 5])
    def test_reads_the_log_in_pieces(self, owner_login, monkeypatch, rows_a_piece):
        monkeypatch.setattr(event_log, "ROWS_A_PIECE", rows_a_piece)
        record_five()
        anchor_events(now=NOW)
        report = verify_events()
        assert (report.n_event, report.n_anchor, report.is_intact) == (5, 1, True)
        as_owner(owner_login, alter("sha256", "repeat('f', 64)", "= 4"))
        broken = verify_events().broken
        assert (broken.sequence, broken.column) == (4, "sha256")


class TestAnchorEvents:
    def test_notes_the_head_once_a_day(self, anchors):
        record(1)
        first = anchor_events(now=NOW)
        record(2)
        assert anchor_events(now=NOW + timedelta(hours=3)) == first
        second = anchor_events(now=NOW + timedelta(days=1))
        assert (first.head.sequence, second.head.sequence, second.day) == (1, 2, date(2026, 3, 2))
        assert read_anchors(anchors) == (first, second)
        assert verify_events().n_anchor == 2

    def test_writes_a_line_that_anybody_can_read(self, anchors):
        event = record(1)
        anchor_events(now=NOW)
        assert [json.loads(line) for line in anchors.read_text().splitlines()] == [
            {"day": "2026-03-01", "sequence": 1, "sha256": event.sha256, "at": NOW.isoformat()}
        ]
        assert anchors.stat().st_mode & 0o777 == 0o600

    def test_notes_nothing_of_an_empty_log(self, anchors):
        assert anchor_events(now=NOW) is None
        assert anchor_events_job(now=NOW) == {}
        assert not anchors.exists()

    def test_refuses_a_file_that_is_no_list_of_anchors(self, anchors):
        record(1)
        anchors.parent.mkdir()
        for line in ("not json", "[]", "{}", '{"day": "2026-03-01", "sequence": "x", "sha256": "", "at": ""}'):
            anchors.write_text(line + "\n")
            for reader in (verify_events, lambda: anchor_events(now=NOW)):
                with pytest.raises(AnchorsUnreadable, match="line 1"):
                    reader()

    def test_is_a_command_too(self, anchors):
        out = StringIO()
        call_command("anchor_events", stdout=out)
        assert out.getvalue() == "no event yet, nothing to anchor\n"
        record(1)
        call_command("anchor_events", stdout=out)
        assert f"event 1 {read_anchors(anchors)[0].head.sha256} in {anchors}" in out.getvalue()

    @committed
    def test_is_one_line_though_many_note_at_once(self, anchors):
        record(1)
        start = threading.Barrier(4)

        def work() -> None:
            try:
                start.wait()
                anchor_events(now=NOW)
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(anchors.read_text().splitlines()) == 1
