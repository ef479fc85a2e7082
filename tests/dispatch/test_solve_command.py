import os
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from dispatch.adapters.npz import UnreadableArchive, read_plan, read_problem, write_plan, write_problem
from dispatch.core.child import ROOT
from dispatch.core.portable import problem_to_arrays
from dispatch.core.problem import PLAN_FIELDS, TURN_DOWN, TURN_UP, DispatchPlan, FlexRequest
from dispatch.core.solve import solve
from dispatch.core.validate import InvalidProblem
from tests.dispatch.core.problems import Ev, make_problem

PROBLEM = make_problem(
    Ev(7.0),
    Ev(7.0),
    limit_kw=10.0,
    requests=(FlexRequest(0, 0, 1, TURN_DOWN, 9.0, 0.25), FlexRequest(0, 1, 2, TURN_UP, 1.0, 3.0)),
)


@pytest.fixture
def paths(tmp_path):
    write_problem(tmp_path / "problem.npz", PROBLEM)
    return tmp_path / "problem.npz", tmp_path / "plan.npz"


class TestNpz:
    def test_brings_a_problem_back_as_it_was(self, paths):
        back = problem_to_arrays(read_problem(paths[0]))
        for name, array in problem_to_arrays(PROBLEM).items():
            np.testing.assert_array_equal(back[name], array, err_msg=name)
        assert read_problem(paths[0]).requests == PROBLEM.requests

    def test_brings_a_plan_back_as_it_was(self, tmp_path):
        plan = solve(PROBLEM, method="greedy")
        write_plan(tmp_path / "plan.npz", plan)
        back = read_plan(tmp_path / "plan.npz")
        for field in fields(DispatchPlan):
            np.testing.assert_array_equal(getattr(back, field.name), getattr(plan, field.name), err_msg=field.name)
        assert isinstance(back.rung, str)
        assert isinstance(back.cost_gbp, float)

    def test_reads_an_archive_without_requests(self, tmp_path):
        arrays = {name: array for name, array in problem_to_arrays(PROBLEM).items() if not name.startswith("request_")}
        np.savez(tmp_path / "problem.npz", **arrays)
        assert read_problem(tmp_path / "problem.npz").requests == ()

    def test_unpickles_nothing(self, tmp_path):
        arrays = problem_to_arrays(PROBLEM) | {"session_ids": np.array(["ev-0", None], dtype=object)}
        np.savez(tmp_path / "problem.npz", **arrays)
        with pytest.raises(UnreadableArchive, match="pickle"):
            read_problem(tmp_path / "problem.npz")

    @pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
    def test_refuses_what_is_no_archive(self, tmp_path, content):
        (tmp_path / "problem.npz").write_bytes(content)
        with pytest.raises(UnreadableArchive):
            read_problem(tmp_path / "problem.npz")

    def test_refuses_a_single_array(self, tmp_path):
        with (tmp_path / "problem.npz").open("wb") as file:
            np.save(file, np.zeros(3))
        with pytest.raises(UnreadableArchive, match="single array"):
            read_problem(tmp_path / "problem.npz")

    @pytest.mark.parametrize("missing", ["session_max_kw", "request_target_kw"])
    def test_names_a_missing_field(self, tmp_path, missing):
        arrays = problem_to_arrays(PROBLEM)
        del arrays[missing]
        np.savez(tmp_path / "problem.npz", **arrays)
        with pytest.raises(InvalidProblem, match=missing):
            read_problem(tmp_path / "problem.npz")


class TestSolveCommand:
    # Without the django_db mark pytest-django fails a test that opens the database: each of these proves it stays shut.
    def test_writes_the_plan_and_says_how_good_it_is(self, paths, capsys):
        call_command("solve", *map(str, paths))
        said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        plan = read_plan(paths[1])
        assert set(said) == {"method", "gap", "bound", "cost", "violation", "rung", "seconds"}
        assert (said["method"], said["rung"]) == ("sparse", "certified")
        assert float(said["cost"].removesuffix(" GBP")) == pytest.approx(plan.cost_gbp, abs=1e-6)
        with np.load(paths[1], allow_pickle=False) as archive:
            assert sorted(archive) == sorted(PLAN_FIELDS)

    def test_takes_method_gap_and_time_limit(self, paths, capsys):
        call_command("solve", *map(str, paths), "--method", "greedy", "--gap", "0.5", "--time-limit", "5")
        assert read_plan(paths[1]).rung == "greedy"

    def test_alarms_about_a_limit_below_zero(self, paths, capsys):
        write_problem(paths[0], make_problem(Ev(7.0), limit_kw=[[-4.0, 5.0]]))
        call_command("solve", *map(str, paths), "--method", "greedy")
        assert "node-0" in capsys.readouterr().err

    @pytest.mark.parametrize("method", ["reference", "sparse", "fast", "greedy"])
    def test_solves_by_the_method_it_is_told(self, paths, capsys, method):
        call_command("solve", *map(str, paths), "--method", method)
        assert read_plan(paths[1]).method == method
        assert f"method      {method}\n" in capsys.readouterr().out

    def test_refuses_a_method_that_is_not_there(self, paths):
        with pytest.raises(CommandError, match=r"choose from .*auto.*reference.*sparse.*fast.*greedy"):
            call_command("solve", *map(str, paths), "--method", "exact")

    def test_refuses_a_folder_that_is_not_there_before_it_solves(self, paths, tmp_path):
        with pytest.raises(CommandError, match="cannot write"):
            call_command("solve", str(tmp_path / "no-such-problem.npz"), str(tmp_path / "nowhere" / "plan.npz"))

    def test_ends_badly_but_politely_on_a_refused_problem_without_a_database(self, paths):
        arrays = problem_to_arrays(PROBLEM) | {"session_energy_kwh": np.array([7.0, np.nan])}
        np.savez(paths[0], **arrays)
        done = self.run_alone(*map(str, paths))
        assert done.returncode == 1
        assert "session_energy_kwh of session 'ev-1' is nan" in done.stderr
        assert "Traceback" not in done.stderr
        assert not paths[1].exists()

    def test_runs_where_no_database_answers(self, paths):
        done = self.run_alone(*map(str, paths), "--method", "greedy")
        assert done.returncode == 0, done.stderr
        assert read_plan(paths[1]).rung == "greedy"

    def run_alone(self, *arguments):
        """manage.py in a process of its own, with a database nobody listens at."""
        environment = os.environ | {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"}
        run = [sys.executable, str(ROOT / "manage.py"), "solve", *arguments]
        return subprocess.run(run, env=environment, capture_output=True, text=True, check=False, timeout=60)
