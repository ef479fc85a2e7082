import subprocess
import sys
import textwrap

import numpy as np
import pytest

from dispatch.core import child
from dispatch.core.child import ROOT, solve_here, solve_in_child
from dispatch.core.reference import SolverFailed, SolverTimedOut
from tests.dispatch.core.problems import Ev, make_problem


class TestSolveInChild:
    PROBLEM = make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0)

    @pytest.mark.parametrize("solver", ["HiGHS", "CBC", "sparse"])
    def test_brings_back_what_a_solve_here_gives(self, solver):
        there = solve_in_child(self.PROBLEM, solver=solver, time_limit_s=60, threads=1)
        here = solve_here(self.PROBLEM, solver=solver)
        np.testing.assert_array_equal(there.power_kw, here.power_kw)
        np.testing.assert_array_equal(there.prices.cap, here.prices.cap)
        assert (there.solver, there.iterations) == (here.solver, here.iterations)

    @pytest.mark.parametrize("solver", ["HiGHS", "sparse"])
    def test_is_killed_at_the_limit(self, solver):
        with pytest.raises(SolverTimedOut) as caught:
            solve_in_child(self.PROBLEM, solver=solver, time_limit_s=0.001, threads=1)
        assert caught.value.details["time_limit_s"] == 0.001

    def test_says_why_there_is_no_optimum(self):
        with pytest.raises(SolverFailed, match="no solver called 'ABACUS'"):
            solve_in_child(self.PROBLEM, solver="ABACUS", time_limit_s=60, threads=1)

    def test_reports_a_child_that_crashes(self, monkeypatch):
        monkeypatch.setattr(child, "to_bytes", lambda _: b"not an archive")
        with pytest.raises(SolverFailed) as caught:
            solve_in_child(self.PROBLEM, solver="HiGHS", time_limit_s=60, threads=1)
        assert caught.value.details["returncode"] == 1

    def test_works_inside_a_daemon_process_as_celerys_are(self):
        script = """
            import multiprocessing, sys
            from dispatch.core.solve import solve
            from tests.dispatch.core.problems import Ev, make_problem

            def work(queue):
                queue.put(solve(make_problem(Ev(7.0), Ev(7.0), limit_kw=10.0), method="reference").rung)

            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            worker = context.Process(target=work, args=(queue,), daemon=True)
            worker.start()
            print(queue.get())
        """
        run = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout.strip() == "certified", done.stderr


class TestLimit:
    def test_takes_a_limit_beyond_what_clocks_can_count(self):
        problem = make_problem(Ev(7.0), limit_kw=7.0)
        solution = solve_in_child(problem, solver="sparse", time_limit_s=1e12, threads=1)
        assert solution.power_kw.sum() == pytest.approx(7.0)
