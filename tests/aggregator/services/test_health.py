import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from aggregator.models import Job
from aggregator.services import jobs
from aggregator.services.health import JobsHealth, check_health_job, health

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = JobsHealth(n_overdue=0, n_abandoned=0, n_failed=0)


def job(*, due_s_ago: float = 0, **fields: object) -> None:
    asked = jobs.enqueue(kind="check_health", payload={}, now=NOW - timedelta(seconds=due_s_ago))
    Job.objects.filter(pk=asked.pk).update(**fields)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


class TestHealth:
    def test_is_well_on_a_migrated_database_without_trouble(self):
        job(due_s_ago=120)
        job(state="leased", leased_until=ago(seconds=120))
        job(state="failed", finished_at=ago(days=1, seconds=1))
        job(state="done", finished_at=NOW, due_s_ago=9_999)
        report = health(now=NOW)
        assert report.jobs == WELL
        assert report.is_well

    def test_counts_each_kind_of_trouble(self):
        for _ in range(2):
            job(due_s_ago=121)
        for _ in range(3):
            job(state="leased", leased_until=ago(seconds=121))
        job(state="failed", finished_at=ago(hours=23))
        report = health(now=NOW)
        assert report.jobs == JobsHealth(n_overdue=2, n_abandoned=3, n_failed=1)
        assert report.is_database_well
        assert not report.is_well

    @pytest.mark.parametrize(
        "trouble",
        [
            {"due_s_ago": 121},
            {"state": "leased", "leased_until": ago(seconds=121)},
            {"state": "failed", "finished_at": NOW},
        ],
    )
    def test_is_unwell_with_one_of_them(self, trouble):
        job(**trouble)
        assert not health(now=NOW).is_well

    def test_says_that_the_database_is_away(self, monkeypatch):
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "PORT", "1")
        report = health(now=NOW)
        assert (report.is_database_up, report.n_migrations_missing, report.jobs) == (False, None, None)
        assert not report.is_well

    def test_counts_the_migrations_the_database_has_not_had(self, monkeypatch):
        applied = "django.db.migrations.recorder.MigrationRecorder.applied_migrations"
        monkeypatch.setattr(applied, lambda _recorder: {})
        report = health(now=NOW)
        assert report.is_database_up
        assert report.n_migrations_missing > 0
        assert not report.is_well


class TestCheckHealthJob:
    def test_answers_in_plain_json(self):
        answer = check_health_job(now=NOW)
        assert json.loads(json.dumps(answer)) == {
            "checked_at": "2026-03-01T12:00:00+00:00",
            "is_database_up": True,
            "n_migrations_missing": 0,
            "jobs": {"n_overdue": 0, "n_abandoned": 0, "n_failed": 0},
            "is_well": True,
        }
