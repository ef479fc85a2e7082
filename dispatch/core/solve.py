"""The one door to the engine: a problem in, a checked plan with its certificate out.

Four rungs, best first: *certified* (a solver's optimum whose gap, by our own bound, is within what was asked),
*time-boxed* (a solver's optimum with a larger gap, as it is), *greedy* (no solver answered in time), *last-plan*
(the earlier plan, cut to today's limits, where that is cheaper than greedy). The rung is on the plan.

Source: docs/methods/dispatch.md
"""

import logging
import math
import os
from time import perf_counter

import numpy as np

from aggregator.core.errors import FlexError
from dispatch.core.bound import Prices, lower_bound_gbp
from dispatch.core.child import solve_here, solve_in_child
from dispatch.core.costs import price_plan
from dispatch.core.fast.engine import FAST, Start, solve_fast
from dispatch.core.greedy import greedy_power_kw, safe_power_kw
from dispatch.core.network import Network
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.proof import Candidate, prove
from dispatch.core.reference import SOLVERS, Solution, SolverFailed, SolverTimedOut
from dispatch.core.sparse import SPARSE

logger = logging.getLogger(__name__)

METHODS = ("auto", "reference", "sparse", "fast", "greedy")
# The solvers of an exact method, each in turn where the one before breaks.
EXACT = {"reference": SOLVERS, SPARSE: (SPARSE, *SOLVERS)}
# Up to these sizes "auto" wants an exact vertex; above them, or should that fail, the engine for any size.
AUTO_EXACT_SESSIONS, AUTO_EXACT_CELLS = 2_000, 200_000
_MOST_THREADS = 4
# Kept back of the time limit for an answer without the solver: a share, and what filling and rounding take.
_RESERVE, _MOST_RESERVE = 0.1, 0.5
_FILL_S_PER_SESSION = 0.000_005


class MethodNotAvailable(FlexError):
    code = "dispatch.method_not_available"


class InvalidSolveOption(FlexError):
    code = "dispatch.solve_option_invalid"


class _Stopwatch:
    """Shares the time limit out: first to the solver, then to what makes an answer without it.

    The answer is due at the limit plus a tenth of it or one second, whichever is more.
    """

    def __init__(self, limit_s: float, n_session: int) -> None:
        self._started, self._limit_s = perf_counter(), limit_s
        self._reserve_s = min(_MOST_RESERVE * limit_s, _RESERVE * limit_s + _FILL_S_PER_SESSION * n_session)
        self._grace_s = max(0.1 * limit_s, 1.0)

    def elapsed_s(self) -> float:
        return perf_counter() - self._started

    def is_late(self) -> bool:
        """Filling has to stop; the second half of the grace is for pricing and checking what there is."""
        return self.elapsed_s() > self._limit_s + self._grace_s / 2

    def left_s(self) -> float:
        """Seconds a solver may still take."""
        return self._limit_s - self._reserve_s - self.elapsed_s()


def solve(
    problem: DispatchProblem,
    *,
    method: str = "auto",
    gap: float = 1e-4,
    time_limit_s: float = 60.0,
    start: DispatchPlan | None = None,
    threads: int | None = None,
) -> DispatchPlan:
    """Dispatch one network area.

    Args:
        method: ``reference`` (PuLP and HiGHS), ``sparse`` (arrays and HiGHS), ``fast`` (the engine for any size),
            ``greedy``, or ``auto``: by size.
        gap: certified gap asked, relative to max(1 GBP, the bound).
        time_limit_s: seconds; an exact solver runs in a process of its own and is killed. Infinite: in this process.
        start: an earlier plan of the same sessions: ``fast`` starts from it, and it is what is left when nothing better
            is found.
        threads: unless given, 1 for an exact solver and up to four for everything else.

    Returns:
        A plan no hard limit of which is broken by more than 1e-6 kW.

    Raises:
        MethodNotAvailable: no such method in this version.
        InvalidSolveOption: a gap, limit, thread count or start that cannot be meant.
        CheckFailed: the plan broke a limit after all; a bug, and never answered with that plan.
    """
    _refuse_bad_options(problem, method, gap, time_limit_s, start, threads)
    watch = _Stopwatch(time_limit_s, problem.n_session)
    network = Network.of(problem)
    candidate, methods = None, _methods_by_size(problem) if method == "auto" else (method,)
    for one in methods:
        if candidate is None and one in EXACT:
            candidate = _by_solver(
                problem, network, watch, solvers=EXACT[one], time_limit_s=time_limit_s, threads=threads or 1
            )
        elif candidate is None and one == FAST:
            candidate = _by_engine(problem, network, watch, gap=gap, start=start, threads=threads or _cores())
    if candidate is None:
        candidate = _without_solver(problem, network, watch, start, threads=threads or _cores())
    return prove(
        problem,
        network,
        candidate,
        gap=gap,
        elapsed_s=watch.elapsed_s,
        is_late=watch.is_late,
        threads=threads or _cores(),
    )


def _methods_by_size(problem: DispatchProblem) -> tuple[str, ...]:
    """An exact vertex for small fleets; the engine for any size above, or where no exact solver works."""
    n_session = problem.n_session
    is_small = n_session <= AUTO_EXACT_SESSIONS and n_session * problem.n_period <= AUTO_EXACT_CELLS
    return (SPARSE, FAST) if is_small else (FAST,)


def _cores() -> int:
    return min(os.cpu_count() or 1, _MOST_THREADS)


def _by_engine(
    problem: DispatchProblem,
    network: Network,
    watch: _Stopwatch,
    *,
    gap: float,
    start: DispatchPlan | None,
    threads: int,
) -> Candidate | None:
    """The engine for any size, started from the earlier plan where there is one; None where no time is left."""
    if watch.left_s() <= 0:
        return None
    warm = None if start is None else Start(start.power_kw, _start_prices(problem, start))
    found = solve_fast(problem, network, gap=gap, left_s=watch.left_s, start=warm, threads=threads)
    node_price = found.prices.cap / problem.step_h
    return Candidate(found.power_kw, node_price, found.bound_gbp, FAST, found.iterations, "certified")


def _by_solver(
    problem: DispatchProblem,
    network: Network,
    watch: _Stopwatch,
    *,
    solvers: tuple[str, ...],
    time_limit_s: float,
    threads: int,
) -> Candidate | None:
    """The first solver, or the next should it break; None when none proves an optimum in time."""
    for solver in solvers:
        try:
            solution = _solution(problem, solver, watch.left_s() if math.isfinite(time_limit_s) else None, threads)
        except SolverTimedOut as failure:
            logger.warning("the dispatch solver ran out of time: %s", failure)
            return None
        except SolverFailed as failure:
            logger.warning("the dispatch solver failed: %s", failure)
            continue
        method = {SPARSE: SPARSE, SOLVERS[0]: "reference"}.get(solver, f"reference ({solver})")
        power_kw = safe_power_kw(problem, network, solution.power_kw, watch.is_late)
        bound_gbp, node_price = _bound_gbp(problem, network, solution.prices), solution.prices.cap / problem.step_h
        return Candidate(power_kw, node_price, bound_gbp, method, solution.iterations, "certified")
    return None


def _solution(problem: DispatchProblem, solver: str, left_s: float | None, threads: int) -> Solution:
    if left_s is None:
        return solve_here(problem, solver=solver, threads=threads)
    if left_s <= 0:
        raise SolverTimedOut(f"no time is left for {solver}", solver=solver)
    return solve_in_child(problem, solver=solver, time_limit_s=left_s, threads=threads)


def _without_solver(
    problem: DispatchProblem, network: Network, watch: _Stopwatch, start: DispatchPlan | None, *, threads: int
) -> Candidate:
    """The greedy plan, or the earlier plan made safe where that costs less."""
    prices = _start_prices(problem, start)
    greedy_kw = greedy_power_kw(problem, network, watch.is_late, threads=threads)
    bound_gbp, node_price = _bound_gbp(problem, network, prices), prices.cap / problem.step_h
    greedy = Candidate(greedy_kw, node_price, bound_gbp, "greedy", 0, "greedy")
    if start is None:
        return greedy
    kept_kw = safe_power_kw(problem, network, start.power_kw, watch.is_late, threads=threads)
    if price_plan(problem, network, kept_kw).total_gbp < price_plan(problem, network, greedy.power_kw).total_gbp:
        return Candidate(kept_kw, node_price, bound_gbp, start.method, 0, "last-plan")
    return greedy


def _start_prices(problem: DispatchProblem, start: DispatchPlan | None) -> Prices:
    """Yesterday's node prices are legal prices today; with none, each session's own cheapest cost is the bound."""
    prices = Prices.zero(problem)
    if start is not None and start.node_price_gbp_per_kwh.shape == prices.cap.shape:
        prices.cap[:] = np.nan_to_num(start.node_price_gbp_per_kwh) * problem.step_h
    return prices


def _bound_gbp(problem: DispatchProblem, network: Network, prices: Prices) -> float:
    """The better of the bound at these prices and of that at none."""
    return max(lower_bound_gbp(problem, network, one) for one in (prices, Prices.zero(problem)))


def _refuse_bad_options(
    problem: DispatchProblem,
    method: str,
    gap: float,
    time_limit_s: float,
    start: DispatchPlan | None,
    threads: int | None,
) -> None:
    if method not in METHODS:
        raise MethodNotAvailable(f"no method {method!r} in this version; there are {', '.join(METHODS)}", method=method)
    if not (math.isfinite(gap) and gap > 0):
        raise InvalidSolveOption(f"gap is {gap}; expected a finite number above 0", gap=gap)
    if not time_limit_s > 0:
        raise InvalidSolveOption(f"time_limit_s is {time_limit_s}; expected above 0", time_limit_s=time_limit_s)
    if threads is not None and threads < 1:
        raise InvalidSolveOption(f"threads is {threads}; expected at least 1", threads=threads)
    shape = (problem.n_session, problem.n_period)
    if start is not None and start.power_kw.shape != shape:
        raise InvalidSolveOption(f"start is a plan of {start.power_kw.shape}; expected one of {shape}")
