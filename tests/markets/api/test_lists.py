"""Every list of requests, plans and statements: as many queries for many rows as for two, and links that lead on."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

LISTS = (
    "requests/",
    "products/",
    "flex-events/",
    "cycles/",
    "settlement-runs/",
    "statements/",
    "runs/",
    "runs/{run}/plan/",
    "runs/{run}/requests/",
    "runs/{run}/setpoints/",
)


@pytest.mark.parametrize("path", LISTS)
class TestLists:
    @pytest.fixture
    def url(self, world, path) -> str:
        return "/api/v1/" + path.format(run=f"run_{world.runs['north'].pk}")

    def test_asks_the_database_no_more_for_more_rows(self, person_of, url):
        client = person_of("platform.admin")
        client.get(url)  # what is looked up once is known from here on
        counts = {}
        for limit in (1, 100):
            with CaptureQueriesContext(connection) as queries:
                rows = client.get(url, {"limit": limit}).json()["results"]
            counts[limit] = (len(queries), len(rows))

        assert counts[1][1] == 1
        assert counts[100][0] == counts[1][0]

    def test_leads_through_all_rows_and_back(self, person_of, url):
        client = person_of("platform.admin")
        everything = client.get(url).json()["results"]
        page, seen = client.get(url, {"limit": 1}).json(), []
        while True:
            seen += page["results"]
            if page["next"] is None:
                break
            before, page = page, client.get(page["next"]).json()
            assert client.get(page["previous"]).json()["results"] == before["results"]

        assert seen == everything

    def test_turns_around(self, person_of, url):
        client = person_of("platform.admin")
        answers = [client.get(url, {"order": order}) for order in ("oldest", "newest")]
        turned = [answer.json()["results"] for answer in answers if answer.status_code == 200]

        assert len(turned) < 2 or turned[0] == turned[1][::-1]
