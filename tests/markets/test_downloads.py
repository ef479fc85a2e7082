import hashlib

import pytest

from tests.markets.builders import Cycle, make_cycle, make_statement, settle_again
from tests.markets.site import PERSONS, person

OTHERS = [
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
    ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ("pdf", "application/pdf", b"%PDF-"),
]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


class TestStatementDownload:
    @pytest.mark.parametrize("name", PERSONS)
    @pytest.mark.parametrize("dsrsp", ["flexco", "voltway"])
    def test_reaches_whom_it_concerns_and_is_not_there_for_others(self, cycle, name, dsrsp):
        readers = {"dno", "market_operator", "platform", "auditor", dsrsp}
        response = person(cycle, name).get(f"/statements/{cycle.statements[dsrsp].pk}.csv")

        assert response.status_code == (200 if name in readers else 403 if name == "nobody" else 404)
        assert response.content.startswith(b"HDR") == (name in readers)

    def test_is_the_published_bytes_under_a_fixed_name(self, cycle):
        statement = cycle.statements["flexco"]
        response = person(cycle, "flexco").get(f"/statements/{statement.pk}.csv")

        assert response.content == bytes(statement.content)
        assert "flexco £" in response.content.decode()
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        name = f"statement_EVENING-{cycle.row.run_id}_flexco_v1.csv"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert response.headers["ETag"] == f'"{statement.sha256}"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "private, no-cache"

    def test_is_not_sent_again_to_who_has_it(self, cycle):
        statement = cycle.statements["flexco"]
        client = person(cycle, "flexco")
        response = client.get(f"/statements/{statement.pk}.csv", headers={"if-none-match": f'"{statement.sha256}"'})

        assert (response.status_code, response.content) == (304, b"")

    def test_refuses_what_is_not_what_was_published(self, cycle):
        first = cycle.statements["flexco"].settlement_run
        second = settle_again(first.event, cycle.row.run, cycle.grid, version=2, supersedes=first)
        statement = make_statement(second, cycle.dsrsps["flexco"], sha256="0" * 64)
        client = person(cycle, "flexco")
        client.raise_request_exception = False

        response = client.get(f"/statements/{statement.pk}.csv")

        assert response.status_code == 500
        assert b"The site has a fault" in response.content

    @pytest.mark.parametrize("pk", ["0", "9" * 30])
    def test_of_an_unknown_number_is_not_found(self, cycle, pk):
        assert person(cycle, "platform").get(f"/statements/{pk}.csv").status_code == 404

    @pytest.mark.parametrize(("suffix", "media_type", "begins"), OTHERS)
    def test_has_other_formats_for_the_same_readers(self, cycle, suffix, media_type, begins):
        statement = cycle.statements["flexco"]
        client = person(cycle, "flexco")
        response = client.get(f"/statements/{statement.pk}.{suffix}")

        assert response.content.startswith(begins)
        assert response.headers["Content-Type"] == media_type
        assert f'_flexco_v1.{suffix}"' in response.headers["Content-Disposition"]
        etag = response.headers["ETag"]
        assert etag == f'"{hashlib.sha256(response.content).hexdigest()}"'
        again = client.get(f"/statements/{statement.pk}.{suffix}", headers={"if-none-match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(f"/statements/{cycle.statements['voltway'].pk}.{suffix}").status_code == 404
        assert person(cycle, "nobody").get(f"/statements/{statement.pk}.{suffix}").status_code == 403

    def test_cannot_be_posted_to(self, cycle):
        assert person(cycle, "dno").post(f"/statements/{cycle.statements['flexco'].pk}.csv").status_code == 405
