"""HiGHS without a modeller: a linear program in arrays, its proven optimum or an error."""

from dataclasses import dataclass

import highspy
import numpy as np
from scipy import sparse

from aggregator.core.types import FloatArray
from dispatch.core.reference import SolverFailed, SolverTimedOut

# Measured with phases, requests and ramps in, CPU seconds of simplex and of interior point: 3.4 and 6.2 at 61,000
# columns (2,000 sessions x 48), 48 and 18 at 152,000. Without them both take 10 to 12 at 276,000.
MOST_SIMPLEX_COLUMNS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class LinearProgram:
    """Minimise ``cost @ x`` over ``lower <= x <= upper`` and ``row_lower <= matrix @ x <= row_upper``.

    Attributes:
        cost, lower, upper: (n_column,).
        row_lower, row_upper: (n_row,).
        matrix: (n_row, n_column).
    """

    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    matrix: sparse.csr_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """A proven optimum: (n_column,) values, (n_row,) what one more unit of each row's bound adds to the cost."""

    value: FloatArray
    row_price: FloatArray
    iterations: int


def minimise(lp: LinearProgram, *, time_limit_s: float | None = None, threads: int = 1) -> Optimum:
    """Solve to a vertex: by simplex, or from a size on by interior point and crossover.

    Raises:
        SolverTimedOut: HiGHS stopped at its time limit.
        SolverFailed: it refused the model, or ended with anything else but a proven optimum.
    """
    n_row, n_column = lp.matrix.shape
    if not n_column:  # to HiGHS an empty model is no optimum
        return Optimum(np.zeros(0), np.zeros(n_row), 0)
    highs = highspy.Highs()
    for option, value in _options(n_column, time_limit_s, threads).items():
        highs.setOptionValue(option, value)
    if highs.passModel(_passed(lp)) != highspy.HighsStatus.kOk:
        raise SolverFailed("HiGHS refused the model", solver="sparse")
    highs.run()
    require_optimal(highs.getModelStatus())
    solution, info = highs.getSolution(), highs.getInfo()
    iterations = info.simplex_iteration_count + info.ipm_iteration_count
    return Optimum(np.array(solution.col_value), np.array(solution.row_dual), int(iterations))


def require_optimal(status: highspy.HighsModelStatus) -> None:
    """Let through a proven optimum only: a time-out leaves values behind that look like one.

    Raises:
        SolverTimedOut: the time limit.
        SolverFailed: any other status than optimal.
    """
    if status == highspy.HighsModelStatus.kTimeLimit:
        raise SolverTimedOut("HiGHS stopped at its time limit without an optimum", solver="sparse")
    if status != highspy.HighsModelStatus.kOptimal:
        raise SolverFailed(f"HiGHS ended with {status.name}; expected kOptimal", solver="sparse", status=status.name)


def _options(n_column: int, time_limit_s: float | None, threads: int) -> dict[str, str | bool | int | float]:
    solver = "simplex" if n_column <= MOST_SIMPLEX_COLUMNS else "ipm"
    options: dict[str, str | bool | int | float] = {"output_flag": False, "threads": threads, "solver": solver}
    if time_limit_s is not None:
        options["time_limit"] = time_limit_s
    return options


def _passed(lp: LinearProgram) -> highspy.HighsLp:
    """The program in the types HiGHS takes."""
    n_row, n_column = lp.matrix.shape
    passed = highspy.HighsLp()
    passed.num_col_, passed.num_row_ = n_column, n_row
    passed.col_cost_, passed.col_lower_, passed.col_upper_ = lp.cost, lp.lower, lp.upper
    passed.row_lower_, passed.row_upper_ = lp.row_lower, lp.row_upper
    passed.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    passed.a_matrix_.num_col_, passed.a_matrix_.num_row_ = n_column, n_row
    passed.a_matrix_.start_ = lp.matrix.indptr
    passed.a_matrix_.index_ = lp.matrix.indices
    passed.a_matrix_.value_ = lp.matrix.data
    return passed
