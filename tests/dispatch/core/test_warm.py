"""Compiling ahead leaves nothing to compile: the second process pays no compile."""

import subprocess
import sys
from pathlib import Path

from dispatch.core.warm import smallest_problem, warm_up

ROOT = Path(__file__).resolve().parents[3]
SECOND_SOLVE = """
import math
from dispatch.core.solve import solve
from dispatch.core.warm import smallest_problem
from dispatch.core.fast import kernels
from dispatch.core import filling, rounding_kernels
plan = solve(smallest_problem(), method="fast", time_limit_s=math.inf, threads=1)
solve(smallest_problem(), method="fast", time_limit_s=math.inf, threads=1, start=plan)
loops = [kernels.advance, kernels.write_power, kernels.read_power, kernels.add_loads]
loops += [filling.fill_sessions, rounding_kernels.give_back]
print(sum(sum(loop.stats.cache_misses.values()) for loop in loops), sum(len(loop.signatures) for loop in loops))
"""


class TestWarmUp:
    def test_compiles_what_another_process_then_finds_on_disk(self):
        warm_up()
        done = subprocess.run(
            [sys.executable, "-c", SECOND_SOLVE], cwd=ROOT, capture_output=True, text=True, check=True
        )
        missed, signatures = (int(word) for word in done.stdout.split())
        assert signatures == 6
        assert missed == 0

    def test_has_something_for_every_loop_to_do(self):
        problem = smallest_problem()
        assert problem.node_is_phase.any()
        assert problem.n_request == 2
        assert set(problem.session_phases.tolist()) == {1, 3}
