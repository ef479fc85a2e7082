"""Setpoints issued by two processes at once, which once wrote the same rows."""

from datetime import date

import pytest

from dispatch.services import issue
from markets.services.cycle import run_cycle
from tests.walks.small_area import make_small_area

pytestmark = pytest.mark.django_db


class TestIssueSetpoints:
    def test_takes_the_runs_turn_before_it_replaces_what_was_told(self, monkeypatch):
        # Deleting first is no protection: rows that another process has yet to commit are not seen.
        area, done = make_small_area(date(2026, 1, 15)), []
        take, store = issue.take_turn, issue.store_issued
        monkeypatch.setattr(issue, "take_turn", lambda *work: (done.append(work), take(*work)))
        monkeypatch.setattr(
            issue, "store_issued", lambda **said: (done.append(("store", said["run"].pk)), store(**said))
        )

        run = run_cycle(order=area.order()).run

        assert done == [("issue", run.pk), ("store", run.pk)]
