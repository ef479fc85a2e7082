"""The page of the baseline laboratory."""

import pytest

from tests.aggregator.views.people import PAYLOADS, client_of, statuses, text_of
from tests.factories import make_dno
from tests.markets.lab_area import TESTED, make_lab_area
from tests.markets.site import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

ADDRESS = "/baselines/"


@pytest.fixture
def operator():
    dsrsp, _, _ = make_lab_area()
    return client_of(dsrsp, "operator")


class TestBaselineLab:
    def test_is_open_to_those_who_see_readings(self):
        assert statuses(ADDRESS) == {
            "operator": 200,
            "admin": 200,
            "control_room_operator": 200,
            "control_room_supervisor": 200,
            "market_operator": 403,
            "platform_admin": 403,
            "auditor of dsrsp": 200,
            "auditor of dno": 200,
            "auditor of market_operator": 403,
            "auditor of platform": 403,
        }

    def test_starts_with_the_last_two_weeks_read_and_computes_nothing(self, operator):
        page = Page(text_of(operator.get(ADDRESS)))

        values = {tag["name"]: tag.get("value") for name, tag in page.tags if name == "input" and "name" in tag}
        assert (values["from"], values["to"]) == ("2026-01-12", "2026-01-25")
        assert page.rows == []

    def test_shows_every_method_at_both_levels(self, operator):
        text = text_of(operator.get(ADDRESS, TESTED))
        page = Page(text)

        rows = {row[0]: row[1:] for row in page.rows if row}
        assert rows["Rolling 10-in-10"][:4] == ["0.000", "0.000", "0.000 to 0.000", "0"]
        assert rows["Zero"][:2] == ["-3.000", "3.000"]
        assert len([row for row in page.rows if len(row) == 9]) == 1 + 12
        assert text.count("<svg") >= 2
        assert "50 to 60 %" in rows

    def test_says_what_is_wrong_with_what_was_asked(self, operator):
        response = operator.get(ADDRESS, {"from": "2026-01-12", "to": "2026-06-30"})

        assert response.status_code == 422
        assert "expected 1 to 62" in text_of(response)

    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_shows_what_was_typed_as_text(self, operator, payload):
        text = text_of(operator.get(ADDRESS, {**TESTED, "node": payload}))

        assert payload not in text

    def test_offers_no_node_to_a_dno(self):
        dno = make_dno()
        make_lab_area(dno=dno)

        text = text_of(client_of(dno, "control_room_operator").get(ADDRESS, TESTED))

        assert 'name="node"' not in text
        assert "Rolling 10-in-10" in text
        assert "evse_flexco" not in text
