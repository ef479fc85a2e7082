"""The settlement's benchmark works: three ways come to the same, and it says so. No time is asserted."""

import pytest

from tests.benchmarks import settlement
from tests.benchmarks.settlement import INGEST, ONE_BY_ONE, OURS, PANDAS, Row, table
from tests.benchmarks.settlement_cases import CASES
from tests.benchmarks.settlement_seeding import day_kwh, days, sow_fleet, sow_readings


def answer(**other):
    return {
        "seconds": 2.0,
        "cpu_s": 1.0,
        "paid": {"EVENING-00 amber": "1.00"},
        "sha256": "a",
        "n_settled_days": 30,
        "settled_bytes": 8_192,
        "peak_mib": 400.0,
        "own_mib": 300.0,
        "server_s": 3.0,
        **other,
    }


class TestTable:
    def test_says_how_much_longer_another_took_and_whether_it_came_to_the_same(self):
        rows = [
            Row(10, OURS, [answer(), answer(seconds=1.0)]),
            Row(10, PANDAS, [answer(seconds=7.0, settled_bytes=0)]),
            Row(10, ONE_BY_ONE, [answer(paid={"EVENING-00 amber": "1.01"})]),
        ]
        _, _, ours, pandas, singly = table(rows).splitlines()
        assert ours == "| 10 | ours | 2 | 1.00 | 1.50 | 1.0 | 3.0 | - | 400 | 300 | same, 30 settled days |"
        assert pandas.startswith("| 10 | pandas | 1 | 7.00 | 7.00 | 1.0 | 3.0 | 7.0 |")
        assert "| differs, 30 settled days |" in singly
        assert settlement._differences(rows) == ["10 event by event"]

    def test_tells_ingest_by_the_second(self):
        found = answer(readings_a_second=123_456.0, again_a_second=1e6, corrected_a_second=99_999.0)
        said = table([Row(10, INGEST, [found])])
        assert "123,456 readings/s, again 1,000,000, a tenth corrected 99,999" in said


@pytest.mark.django_db(transaction=True)
class TestCases:
    def test_come_to_the_same(self, owner_login):
        """The settlement by blocks and by events, and pandas, each in its own way."""
        sow_fleet(12)
        login = " ".join(f"{key}='{value}'" for key, value in owner_login.items())
        assert sow_readings(login) == sum(int((day_kwh(12, at) >= 0).sum()) for at in range(len(days())))
        found = {name: CASES[name]() for name in (PANDAS, OURS)}
        again = CASES[ONE_BY_ONE]()  # finds the published runs
        assert found[PANDAS]["paid"] == found[OURS]["paid"] == again["paid"]
        assert found[PANDAS]["sha256"] == found[OURS]["sha256"] == again["sha256"]
        assert len(found[OURS]["paid"]) == 90
        assert len(set(found[OURS]["paid"].values())) > 10

    def test_ingest_says_what_it_took_in(self):
        sow_fleet(2)
        found = CASES[INGEST](2 * 480)
        assert found["accepted"] == [960, 0, 96]
        assert found["readings_a_second"] > 0
