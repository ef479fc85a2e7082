"""Findings, jobs and the log: own ones, filtered, paged, and safe to read."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import Finding, Job, Organisation, known_as
from aggregator.services.event_log import anchor_events, record_event
from aggregator.views import records
from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import make_dno, make_organisation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)


@pytest.fixture
def dno() -> Organisation:
    return make_dno("north")


@pytest.fixture
def client(dno) -> Client:
    return client_of(dno, "control_room_operator", "oli")


@pytest.fixture
def platform() -> Client:
    return client_of(make_organisation("headroom", "platform"), "platform_admin", "pam")


def add_event(organisation: Organisation | None, action="limits.changed", actor="person:oli", at=NOW, **stated) -> None:
    with known_as(actor):
        record_event(
            action=action, subject=stated.pop("subject", "node F1"), organisation=organisation, at=at, **stated
        )


def add_finding(organisation: Organisation | None, code="session.reversed", severity="warning", **stated) -> None:
    plain = {"subject": "evse-1", "message": "odd", "source": "batch:1", "noticed_at": NOW}
    Finding(code=code, severity=severity, organisation=organisation, **{**plain, **stated}).save()


class TestLog:
    def test_is_seen_by_every_organisation(self):
        assert set(statuses("/log/").values()) == {200}

    def test_shows_own_events_only_and_all_to_the_platform(self, client, platform, dno):
        add_event(dno, subject="node mine")
        add_event(make_dno("south"), subject="node theirs")
        add_event(None, subject="nobody's")

        page = text_of(client.get("/log/"))

        assert "node mine" in page
        assert "node theirs" not in page
        assert "nobody" not in page
        for subject in ("node mine", "node theirs", "nobody&#x27;s"):
            assert subject in text_of(platform.get("/log/"))

    def test_shows_who_what_why_before_and_after(self, client, dno):
        add_event(dno, reason="works", before={"rating_kva": 100}, after={"rating_kva": 80, "nodes": ["F1"]})

        page = text_of(client.get("/log/"))

        for shown in (
            "person:oli",
            "limits.changed",
            "works",
            "<code>rating_kva</code> 100",
            "<code>nodes.1</code> F1",
        ):
            assert shown in page

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("?action=limits", {"one"}),
            ("?action=nothing", set()),
            ("?actor=SUE", {"two"}),
            ("?day=2026-01-14", {"one"}),
            ("?day=2026-06-30", {"two"}),
            ("?day=2026-06-29", set()),
            ("?action=%00", {"one", "two"}),
        ],
    )
    def test_filters_by_action_actor_and_local_day(self, client, dno, query, found):
        add_event(dno, subject="event one")
        late = datetime(2026, 6, 29, 23, 30, tzinfo=UTC)  # half past midnight in London
        add_event(dno, action="log_in.succeeded", actor="person:sue", at=late, subject="event two")

        page = text_of(client.get(f"/log/{query}"))

        assert {name for name in ("one", "two") if f"event {name}" in page} == found

    def test_says_when_its_head_was_last_noted_outside(self, client, platform, dno, settings, tmp_path):
        settings.EVENT_ANCHOR_FILE = tmp_path / "anchors.jsonl"
        assert "never noted outside" in text_of(client.get("/log/"))
        add_event(dno)
        anchor = anchor_events(now=timezone.now())

        assert f"noted outside the database on {anchor.day.day} " in text_of(client.get("/log/"))
        assert anchor.head.sha256[:12] not in text_of(client.get("/log/")).split("<table>")[0]
        assert anchor.head.sha256[:12] in text_of(platform.get("/log/")).split("<table>")[0]

    def test_is_checked_whole_by_the_platform_alone(self, client, platform, dno, settings, tmp_path):
        settings.EVENT_ANCHOR_FILE = tmp_path / "anchors.jsonl"
        add_event(dno)

        assert "The log is intact" in text_of(platform.post("/log/verify/", follow=True))
        assert client.post("/log/verify/").status_code == 403
        assert platform.get("/log/verify/").status_code == 405

    def test_escapes_payloads(self, client, dno):
        add_event(dno, action="x", subject=PAYLOADS[0], reason=PAYLOADS[0], after={PAYLOADS[0]: PAYLOADS[0]})

        assert "<script>alert" not in text_of(client.get("/log/"))

    def test_asks_the_database_no_more_for_many_than_for_few(self, client, dno, django_assert_max_num_queries):
        for _ in range(60):
            add_event(dno)

        with django_assert_max_num_queries(15):
            assert "1 to 50 of " in text_of(client.get("/log/"))


class TestLogFile:
    def test_holds_the_events_of_the_filters(self, client, dno):
        add_event(dno, reason=PAYLOADS[1], before={"a": 1}, after={"a": 2, "b": {"c": None}})
        add_event(dno, action="log_in.succeeded")
        add_event(make_dno("south"))

        rows = list(csv.DictReader(io.StringIO(text_of(client.get("/log.csv?action=limits")))))

        assert [(row["action"], row["organisation"]) for row in rows] == [("limits.changed", "north")]
        assert rows[0]["reason"] == "'" + PAYLOADS[1]
        assert (rows[0]["before"], rows[0]["after"]) == ("a=1", "a=2; b.c=")
        assert rows[0]["at"] == "2026-01-14T12:00:00Z"

    def test_says_when_there_are_too_many(self, client, dno, monkeypatch):
        monkeypatch.setattr(records, "LARGEST_FILE", 1)
        add_event(dno)
        add_event(dno)

        response = client.get("/log.csv")

        assert response.status_code == 400
        assert "name a day" in text_of(response)


class TestFindings:
    def test_are_seen_by_every_organisation(self):
        assert set(statuses("/findings/").values()) == {200}

    def test_are_own_ones_the_newest_first(self, client, dno):
        add_finding(dno, "x.old")
        add_finding(dno, "x.new", noticed_at=NOW + timedelta(days=1), details={"n_row": 3})
        add_finding(make_dno("south"), "x.theirs")

        page = text_of(client.get("/findings/"))

        assert page.index("x.new") < page.index("x.old")
        assert "<code>n_row</code> 3" in page
        assert "x.theirs" not in page

    @pytest.mark.parametrize(
        ("query", "found"),
        [("?severity=alarm", {"b"}), ("?code=x.", {"a"}), ("?source=run:7", {"b"}), ("?severity=x", {"a", "b"})],
    )
    def test_filter(self, client, dno, query, found):
        add_finding(dno, "x.a", subject="finding a")
        add_finding(dno, "y.b", "alarm", source="run:7", subject="finding b")

        page = text_of(client.get(f"/findings/{query}"))

        assert {name for name in "ab" if f"finding {name}" in page} == found

    def test_escape_payloads(self, client, dno):
        add_finding(dno, PAYLOADS[0], subject=PAYLOADS[0], message=PAYLOADS[0], details={"x": PAYLOADS[0]})

        assert "<script>alert" not in text_of(client.get("/findings/"))


class TestJobs:
    def test_are_the_platform_s(self):
        seen = {role for role, status in statuses("/jobs/").items() if status == 200}

        assert seen == {"platform_admin", "auditor of platform"}

    def test_show_state_attempts_and_outcome(self, platform):
        Job.objects.create(
            kind="run_cycle",
            payload={"day": "2026-01-14"},
            state="failed",
            due_at=NOW,
            created_at=NOW,
            finished_at=NOW,
            attempts=3,
            outcome={"error": PAYLOADS[0]},
        )
        Job.objects.create(kind="check_health", state="leased", due_at=NOW, created_at=NOW, leased_until=NOW)

        page = text_of(platform.get("/jobs/"))

        assert "3 of 3" in page
        assert "Lease ran out" in page
        assert "<code>day</code> 2026-01-14" in page
        assert "<script>alert" not in page
        assert "check_health</code>" not in text_of(platform.get("/jobs/?state=failed"))
        assert "run_cycle</code>" not in text_of(platform.get("/jobs/?kind=check_health"))
