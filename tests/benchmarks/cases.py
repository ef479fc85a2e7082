"""One measurement in a process of its own: ``python -m tests.benchmarks.cases '<case as JSON>'`` prints it as JSON.

A process a case, so that the peak of memory is the case's own.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from dispatch.core.problem import DispatchProblem
from tests.benchmarks.fleets import Shape, national_fleet
from tests.benchmarks.peers import PEERS, engine_plan, of_plan, with_changed_needs

_CHANGED_SHARE = 0.05
_ADD_FLOATS, _ADD_ROUNDS = 20_000_000, 7


@dataclass(frozen=True, slots=True)
class Case:
    """What to measure.

    Attributes:
        kind: ``solve``, ``warm`` (again from a plan, after needs changed), ``start`` (first solve of a process) or
            ``bandwidth``.
        peer: name in ``PEERS``.
        is_full: phases, requests and ramps too.
    """

    kind: str
    peer: str = "engine"
    n_session: int = 0
    n_period: int = 48
    is_full: bool = False
    gap: float = 1e-4
    time_limit_s: float = 600.0


def measured(case: Case) -> dict[str, Any]:
    """Seconds, answer and peak memory of one case, in this process."""
    found = _KINDS[case.kind](case)
    return found | {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def _solve(case: Case) -> dict[str, Any]:
    """Build and solve. The making of the problem, imports and the loading of compiled code are not timed."""
    answer = PEERS[case.peer].answer
    answer(_fleet(case, n_session=50), case.gap, case.time_limit_s)
    problem = _fleet(case)
    before_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = perf_counter()
    answered = answer(problem, case.gap, case.time_limit_s)
    return {"seconds": perf_counter() - started, "problem_gib": before_gib} | asdict(answered)


def _warm(case: Case) -> dict[str, Any]:
    """From a plan of the problem to a plan of the changed one."""
    problem = _fleet(case)
    plan = engine_plan(problem, case.gap, case.time_limit_s)
    changed = with_changed_needs(problem, share=_CHANGED_SHARE, seed=case.n_session)
    started = perf_counter()
    again = engine_plan(changed, case.gap, case.time_limit_s, start=plan)
    return {"seconds": perf_counter() - started, "cold_s": plan.solve_s} | asdict(of_plan(again))


def _start(case: Case) -> dict[str, Any]:
    """The first solve of a process: what loading, or making, compiled code costs."""
    problem = _fleet(case)
    started = perf_counter()
    plan = engine_plan(problem, case.gap, case.time_limit_s)
    first_s, started = perf_counter() - started, perf_counter()
    engine_plan(problem, case.gap, case.time_limit_s)
    return {"seconds": first_s, "again_s": perf_counter() - started} | asdict(of_plan(plan))


def _bandwidth(_case: Case) -> dict[str, Any]:
    """Best of STREAM's add (a = b + c) over arrays beyond any cache, 24 bytes a float, on all cores."""
    n_core = os.cpu_count() or 1
    parts = [[np.ones(_ADD_FLOATS // n_core) for _ in range(3)] for _ in range(n_core)]
    seconds = []
    with ThreadPoolExecutor(n_core) as threads:
        for _ in range(_ADD_ROUNDS):
            started = perf_counter()
            list(threads.map(lambda part: np.add(part[1], part[2], out=part[0]), parts))
            seconds.append(perf_counter() - started)
    return {"seconds": min(seconds), "gb_per_s": 24e-9 * _ADD_FLOATS / min(seconds)}


def _fleet(case: Case, n_session: int | None = None) -> DispatchProblem:
    full = {"phases": case.is_full, "requests": case.is_full, "ramps": case.is_full}
    return national_fleet(Shape(n_session or case.n_session, n_period=case.n_period, **full))


_KINDS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "solve": _solve,
    "warm": _warm,
    "start": _start,
    "bandwidth": _bandwidth,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(Case(**json.loads(sys.argv[1])))) + "\n")
