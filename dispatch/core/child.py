"""Run an exact solver in a process of its own, which can be killed.

Solvers look at their time limit between phases only, and building the model takes time of its own, so the limit is
kept from outside. A plain child process, not ``multiprocessing``: Celery's workers are daemons and may have no such
children. The problem goes in and the solution comes out as npz bytes through pipes; nothing is pickled.
"""

import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from aggregator.core.errors import FlexError
from dispatch.core.bound import Prices
from dispatch.core.portable import from_bytes, problem_from_arrays, problem_to_arrays, to_bytes
from dispatch.core.problem import DispatchProblem
from dispatch.core.reference import Solution, SolverFailed, SolverTimedOut, solve_model
from dispatch.core.sparse import SPARSE, solve_sparse

ROOT = Path(__file__).resolve().parents[2]
_PRICES = ("cap", "request", "ramp_up", "ramp_down")
# An orphan (its parent was killed) ends itself this long after its limit.
_ORPHAN_S = 5.0
# The system's clocks take no longer limit; a fortnight is as good as for ever.
_LONGEST_S = 1_000_000.0


def solve_here(
    problem: DispatchProblem, *, solver: str, time_limit_s: float | None = None, threads: int = 1
) -> Solution:
    """Solve in this process by the solver of that name: the model as sparse arrays, or in PuLP for any other.

    Raises:
        SolverFailed: no such solver, or no proven optimum.
    """
    solve = solve_sparse if solver == SPARSE else partial(solve_model, solver=solver)
    return solve(problem, time_limit_s=time_limit_s, threads=threads)


def solve_in_child(problem: DispatchProblem, *, solver: str, time_limit_s: float, threads: int) -> Solution:
    """Solve the model in a child process that is killed, with its solver, at the limit.

    Args:
        solver: a name ``solve_here`` knows.

    Raises:
        SolverTimedOut: killed at ``time_limit_s``.
        SolverFailed: no proven optimum.
    """
    asked = {"solver": np.array(solver), "time_limit_s": np.array(time_limit_s), "threads": np.array(threads)}
    question = to_bytes(problem_to_arrays(problem) | asked)
    # CBC leaves its files behind when it is killed: they go with the folder.
    with tempfile.TemporaryDirectory(prefix="dispatch-") as scratch:
        answer = _run(question, solver=solver, time_limit_s=time_limit_s, scratch=scratch)
    arrays = from_bytes(answer)
    prices = Prices(**{name: arrays[name] for name in _PRICES})
    return Solution(arrays["power_kw"], prices, str(arrays["solver"]), int(arrays["iterations"]))


def _run(question: bytes, *, solver: str, time_limit_s: float, scratch: str) -> bytes:
    """Feed a child, wait, and return what it says; kill its whole process group at the limit."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": scratch, "TEMP": scratch, "TMP": scratch}
    with subprocess.Popen(
        [sys.executable, "-m", "dispatch.core.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            answer, complaint = process.communicate(question, timeout=min(time_limit_s, _LONGEST_S))
        except subprocess.TimeoutExpired:
            _kill(process)
            raise SolverTimedOut(
                f"{solver} was stopped after {time_limit_s:.2f} s without an optimum",
                solver=solver,
                time_limit_s=time_limit_s,
            ) from None
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise SolverFailed(f"{solver} gave no optimum: {last[0]}", solver=solver, returncode=process.returncode)
    return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def main() -> int:
    """Answer one question from standard input; the exit code is 1 when there is no optimum."""
    # Solvers print on standard output at will; the answer keeps a descriptor of its own.
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    asked = from_bytes(sys.stdin.buffer.read())
    time_limit_s = float(asked["time_limit_s"])
    signal.setitimer(signal.ITIMER_REAL, min(time_limit_s, _LONGEST_S) + _ORPHAN_S)
    try:
        solution = solve_here(
            problem_from_arrays(asked),
            solver=str(asked["solver"]),
            time_limit_s=time_limit_s,
            threads=int(asked["threads"]),
        )
    except FlexError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with os.fdopen(answer_fd, "wb") as answer:
        answer.write(_packed(solution))
    return 0


def _packed(solution: Solution) -> bytes:
    prices = {name: getattr(solution.prices, name) for name in _PRICES}
    origin = {"solver": np.array(solution.solver), "iterations": np.array(solution.iterations)}
    return to_bytes({"power_kw": solution.power_kw} | prices | origin)


if __name__ == "__main__":
    sys.exit(main())
