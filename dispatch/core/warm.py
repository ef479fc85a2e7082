"""Compile the engine for this machine: ``python -m dispatch.core.warm``, once after an installation or a change.

Numba compiles on first use and keeps the result on disk; done here, no request, worker or time limit pays for it. A
second run finds everything compiled and takes a second or two.
"""

import sys
from dataclasses import replace
from time import perf_counter

import numpy as np

from dispatch.core.problem import TURN_DOWN, TURN_UP, DispatchProblem, FlexRequest
from dispatch.core.solve import solve

_N_PERIOD = 8


def smallest_problem() -> DispatchProblem:
    """A feeder with phases, too small for its four EVs, requests and a ramp: each compiled loop has something to do."""
    return DispatchProblem(
        step_h=0.5,
        node_ids=np.arange(5),
        node_parent=np.array([-1, 0, 1, 1, 1]),
        node_is_phase=np.array([False, False, True, True, True]),
        node_limit_kw=np.full((5, _N_PERIOD), 9.0),
        node_diversity=np.ones(5),
        node_ramp_kw=np.array([2.0, np.inf, np.inf, np.inf, np.inf]),
        session_ids=np.arange(4),
        session_node=np.array([1, 2, 3, 1]),
        session_phases=np.array([3, 1, 1, 1]),
        session_start=np.array([0, 1, 0, 2]),
        session_end=np.full(4, _N_PERIOD),
        session_max_kw=np.array([11.0, 7.4, 3.7, 7.4]),
        session_energy_kwh=np.full(4, 12.0),
        session_min_kw=np.array([4.14, 1.38, 1.38, 1.38]),
        session_unserved_gbp_per_kwh=np.array([2.0, 2.0, 1.0, 500.0]),
        session_tariff=np.zeros(4, dtype=np.int64),
        price_gbp_per_kwh=np.linspace(0.1, 0.4, _N_PERIOD)[np.newaxis],
        requests=(FlexRequest(0, 2, 4, TURN_DOWN, 3.0, 0.5), FlexRequest(0, 6, 7, TURN_UP, 8.0, 0.5)),
        ramp_gbp_per_kwh=0.05,
    )


def warm_up() -> float:
    """Solve small problems by every compiled way; the seconds it took."""
    began = perf_counter()
    soft = smallest_problem()
    hard = replace(soft, requests=(), ramp_gbp_per_kwh=0.0)
    for problem in (soft, hard):
        plan = solve(problem, method="fast", time_limit_s=float("inf"), threads=1)
        solve(problem, method="fast", time_limit_s=float("inf"), threads=1, start=plan)
        solve(problem, method="greedy", start=plan, threads=1)
        solve(problem, method="sparse", time_limit_s=float("inf"))
    return perf_counter() - began


if __name__ == "__main__":
    seconds = warm_up()
    if seconds > 5.0:
        sys.stdout.write(f"compiled the dispatch engine for this machine in {seconds:.0f} s\n")
