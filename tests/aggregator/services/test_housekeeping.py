from datetime import UTC, datetime, timedelta

import pytest

from aggregator.models import ControlAct, Job
from aggregator.services.housekeeping import keep_house
from aggregator.services.jobs import run_due
from tests.factories import make_dno

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)


class TestKeepHouse:
    def test_asks_for_each_daily_job_once_a_utc_day(self):
        for minutes in (0, 0, 0.5, 2, 60):
            keep_house(now=NOW + timedelta(minutes=minutes))
        assert list(Job.objects.order_by("pk").values_list("kind", "unique_key")) == [
            ("anchor_events", "anchor_events:2026-03-01"),
            ("anchor_events", "anchor_events:2026-03-02"),
        ]

    def test_asks_for_jobs_that_are_done(self, settings, tmp_path):
        settings.EVENT_ANCHOR_FILE = tmp_path / "anchors.jsonl"
        keep_house(now=NOW)
        assert [job.state for job in run_due(clock=lambda: NOW, worker="one")] == ["done"]

    def test_closes_control_acts_nobody_agreed_to(self):
        act = ControlAct(
            kind="change_limits",
            organisation=make_dno(),
            payload={},
            figures={},
            state="pending",
            asked_at=NOW - timedelta(hours=2),
            expires_at=NOW - timedelta(hours=1),
        )
        act.save()
        keep_house(now=NOW)
        assert ControlAct.objects.across_tenants().get().state == "expired"
