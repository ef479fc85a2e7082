"""The benchmark itself works: at its smallest size it runs, agrees and says so. No time is asserted."""

import json
import math

import pytest

from tests.benchmarks import engine
from tests.benchmarks.cases import Case, measured
from tests.benchmarks.fleets import Shape, national_fleet
from tests.benchmarks.peers import PEERS


class TestMain:
    def test_prints_a_table_of_fresh_processes_and_stores_it(self, tmp_path, capsys):
        out = tmp_path / "rows.json"
        small = ["--sizes", "60", "--repeat", "1", "--peers", "engine,min-cost flow", "--plain"]
        assert engine.main([*small, "--gaps", "1e-4", "--json", str(out)]) == 0
        said = capsys.readouterr().out
        assert "GB/s" in said
        assert "| 60 x 48, 0.0001 | min-cost flow | 1 |" in said
        rows = json.loads(out.read_text())["rows"]
        assert [row["case"]["peer"] for row in rows] == ["engine", "min-cost flow"]
        assert all(row["answer"]["peak_gib"] > 0.01 for row in rows)

    def test_says_why_a_case_has_no_answer(self):
        row = {"case": {"kind": "solve", "peer": "engine", "n_session": -1}, "seconds": [], "answer": {}, "failure": ""}
        engine._add_run(row, Case("solve", n_session=-1), kill_s=60)
        assert "Error" in row["failure"]
        assert row["failure"] in engine.table([row])


class TestPeers:
    def test_agree_on_a_flow(self):
        problem = national_fleet(Shape(60))
        answers = {name: peer.answer(problem, 1e-4, 60.0) for name, peer in PEERS.items()}
        bound = answers["engine"].lower_bound_gbp
        assert bound is not None
        for answer in answers.values():
            # The flow's is the optimum of the problem in whole watts.
            assert answer.cost_gbp == pytest.approx(bound, rel=1e-4)


class TestMeasured:
    @pytest.mark.parametrize("kind", ["warm", "start"])
    def test_measures_the_engine_a_second_time(self, kind):
        found = measured(Case(kind, n_session=60, n_period=24, is_full=True))
        assert found["rung"] == "certified"
        assert 0 < found["seconds"] < math.inf
