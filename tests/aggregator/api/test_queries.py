"""A longer page asks the database no more often than a short one."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.aggregator.api.conftest import found

DAY = {"from": "2026-01-13T00:00:00Z", "to": "2026-01-16T00:00:00Z"}
LISTS = {
    "alpha": ("evses/", "enrolments/", "sessions/", "organisations/", "findings/", "events/", "forecasts/"),
    "north": ("network/nodes/", "network/nodes/north-large/evses/", "control-acts/", "events/", "forecasts/"),
    "platform": ("jobs/", "events/", "control-acts/", "findings/", "network/nodes/"),
}


def n_query(client, path: str, limit: int) -> int:
    asked = {"limit": limit, **(DAY if path == "sessions/" else {})}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found(client, path, **asked)
    return len(queries)


class TestLists:
    def test_ask_the_database_as_often_for_many_rows_as_for_one(self, machines):
        counts = {
            (code, path): (n_query(machines[code], path, 1), n_query(machines[code], path, 1000))
            for code, paths in LISTS.items()
            for path in paths
        }
        assert {name: both for name, both in counts.items() if both[0] != both[1]} == {}
        assert max(many for _, many in counts.values()) <= 12
