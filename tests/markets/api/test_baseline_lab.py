"""The baseline laboratory over the API."""

import pytest
from django.test import Client

from tests.factories import make_dno
from tests.machines import as_machine
from tests.markets.lab_area import TESTED, make_lab_area

pytestmark = pytest.mark.django_db

LAB = "/api/v1/baseline-lab/"


@pytest.fixture
def flexco():
    return as_machine(make_lab_area()[0])


class TestBaselineLab:
    def test_compares_every_method_at_both_levels(self, flexco):
        found = flexco.get(LAB, TESTED).json()

        assert (found["n_evse"], found["n_evse_tested"], len(found["days"])) == (8, 8, 14)
        by_name = {(score["method"], score["level"]): score for score in found["scores"]}
        assert len(by_name) == 24
        rolling = by_name["rolling-10-in-10", "fleet"]
        assert (rolling["bias_kw"], rolling["rmse_kw"], rolling["bias_share"]) == (0.0, 0.0, 0.0)
        assert by_name["zero", "evse"]["bias_share"] == -1.0
        assert 0.4 < found["zero_days"]["mean_share"] < 0.6
        assert [flags["level"] for flags in found["false_flags"]] == ["fleet", "evse"]

    def test_takes_the_last_two_weeks_read_where_no_day_is_asked_for(self, flexco):
        found = flexco.get(LAB).json()

        assert (found["days"][0], found["days"][-1]) == ("2026-01-12", "2026-01-25")

    def test_writes_null_where_there_is_no_figure(self, flexco):
        """A window in which nothing is drawn, and no day differs from another."""
        found = flexco.get(LAB, {**TESTED, "starts": "08:00"}).json()

        assert {score["bias_share"] for score in found["scores"]} == {None}
        assert [flags["rate"] for flags in found["false_flags"]] == [None, None]

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"from": "2026-01-12", "to": "2026-06-30"}, 422),
            ({"from": "2026-01-25", "to": "2026-01-12"}, 422),
            ({"from": "yesterday"}, 400),
            ({"starts": "17:10"}, 400),
            ({"starts": "23:30"}, 422),
            ({"n_period": "17"}, 400),
            ({"node": "nowhere"}, 422),
            ({"method": "bl01"}, 400),
        ],
    )
    def test_refuses_what_makes_no_sense(self, flexco, query, status):
        assert flexco.get(LAB, query).status_code == status

    def test_shows_a_dno_one_sum(self):
        dno = make_dno()
        make_lab_area(dno=dno)

        response = as_machine(dno).get(LAB, TESTED)

        assert response.json()["n_evse"] == 8
        assert "evse_flexco" not in response.content.decode()

    def test_is_closed_without_credentials_or_scope(self, flexco):
        assert Client().get(LAB).status_code == 401
        dsrsp = make_lab_area("voltway")[0]
        assert as_machine(dsrsp, "fleet:read").get(LAB).status_code == 403
