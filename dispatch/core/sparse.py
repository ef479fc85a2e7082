"""The reference model as sparse arrays, handed to HiGHS without a modeller between: for some ten thousand sessions.

One column per session and period of its window, and one per place and period for the power of the sessions there: a
row of the network adds up places, so it is as short as the tree is small. Powers are in kW and costs in GBP/kWh (the
objective over ``step_h``), so the matrix holds ones and phase shares only, and no period's length scales a tolerance.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from scipy import sparse

from aggregator.core.types import BoolArray, FloatArray, IntArray
from dispatch.core.bound import Prices
from dispatch.core.highs import LinearProgram, minimise
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.reference import Solution

SPARSE = "sparse"


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """(n_cell,) session, period and place of every power column: the windows of sessions that can take anything."""

    session: IntArray
    period: IntArray
    place: IntArray

    @classmethod
    def of(cls, problem: DispatchProblem, network: Network) -> Self:
        n_period = np.where(network.serveable_kwh > 0, problem.session_end - problem.session_start, 0)
        session = np.repeat(np.arange(problem.n_session), n_period)
        nth = np.arange(len(session)) - np.repeat(np.cumsum(n_period) - n_period, n_period)
        period = problem.session_start[session] + nth
        return cls(session=session, period=period, place=network.tree.session_place[session])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of the network: ``lower_kw <= power (- power the period before) + short - over <= upper_kw``.

    Attributes:
        node, period: (n_row,) whose EV power is held.
        is_change: (n_row,) whether the power of the period before is taken off, as ramps do.
        lower_kw, upper_kw: (n_row,), infinite where there is none.
        soft_gbp_per_kwh: (n_row,) price of ``short`` and ``over``; +inf on a hard row, which has neither.
    """

    node: IntArray
    period: IntArray
    is_change: BoolArray
    lower_kw: FloatArray
    upper_kw: FloatArray
    soft_gbp_per_kwh: FloatArray

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def power_of(self, problem: DispatchProblem, network: Network) -> sparse.csr_matrix:
        """(n_row, n_place x n_period) kW in the row for each kW of a place in a period."""
        n_row, n_period = len(self.node), problem.n_period
        change = np.flatnonzero(self.is_change)
        row = np.concatenate([np.arange(n_row), change])
        period = np.concatenate([self.period, self.period[change] - 1])
        sign = np.repeat([1.0, -1.0], [n_row, len(change)])
        shares = network.tree.shares[self.node[row]].tocoo()
        entries = sign[shares.row] * shares.data, (row[shares.row], shares.col * n_period + period[shares.row])
        return sparse.csr_matrix(entries, shape=(n_row, network.tree.n_place * n_period))


def solve_sparse(problem: DispatchProblem, *, time_limit_s: float | None = None, threads: int = 1) -> Solution:
    """Build and solve the reference model in this process; every loop over sessions is numpy's.

    Raises:
        SolverTimedOut: at the time limit.
        SolverFailed: anything else but a proven optimum.
    """
    network = Network.of(problem)
    cells = _Cells.of(problem, network)
    parts = [cap_rows(network), request_rows(problem), ramp_rows(problem)]
    lp = linear_program(problem, network, cells, Rows.joined(parts))
    optimum = minimise(lp, time_limit_s=time_limit_s, threads=threads)
    power_kw = np.zeros((problem.n_session, problem.n_period))
    power_kw[cells.session, cells.period] += optimum.value[: len(cells.session)]  # adding leaves no -0.0
    return Solution(power_kw, _prices(problem, parts, optimum.row_price), SPARSE, optimum.iterations)


def _prices(problem: DispatchProblem, parts: list[Rows], row_price: FloatArray) -> Prices:
    """The last rows' duals as prices: in a minimisation a row's upper end has a negative dual, its lower a positive."""
    caps, _, ramps = parts
    n_held = [len(part.node) for part in parts]
    held = problem.step_h * row_price[len(row_price) - sum(n_held) :]
    of_caps, of_requests, of_ramps = np.split(held, np.cumsum(n_held)[:-1])
    prices = Prices.zero(problem)
    prices.cap[caps.node, caps.period] = np.maximum(-of_caps, 0.0)
    prices.request[request_cells(problem)] = np.abs(of_requests)
    prices.ramp_up[ramps.node, ramps.period - 1] = np.maximum(-of_ramps, 0.0)
    prices.ramp_down[ramps.node, ramps.period - 1] = np.maximum(of_ramps, 0.0)
    return prices


def linear_program(problem: DispatchProblem, network: Network, cells: _Cells, rows: Rows) -> LinearProgram:
    """Columns: power, unserved, place power, short, over. Rows: energy, place power, the network's."""
    soft = np.isfinite(rows.soft_gbp_per_kwh)
    short, over = np.flatnonzero(soft & np.isfinite(rows.lower_kw)), np.flatnonzero(soft & np.isfinite(rows.upper_kw))
    matrix, n_load = _matrix(problem, network, cells, rows, short, over)
    energy_kw, no_power = network.serveable_kwh / problem.step_h, np.zeros(n_load)
    price = problem.price_gbp_per_kwh[problem.session_tariff[cells.session], cells.period]
    soft_price = rows.soft_gbp_per_kwh[np.concatenate([short, over])]
    unbounded = np.full(n_load + len(soft_price), np.inf)
    return LinearProgram(
        cost=np.concatenate([price, problem.session_unserved_gbp_per_kwh, no_power, soft_price]),
        lower=np.zeros(matrix.shape[1]),
        upper=np.concatenate([problem.session_max_kw[cells.session], energy_kw, unbounded]),
        row_lower=np.concatenate([energy_kw, no_power, rows.lower_kw]),
        row_upper=np.concatenate([energy_kw, no_power, rows.upper_kw]),
        matrix=matrix,
    )


def _matrix(
    problem: DispatchProblem, network: Network, cells: _Cells, rows: Rows, short: IntArray, over: IntArray
) -> tuple[sparse.csr_matrix, int]:
    """The rows, and how many places and periods have a column: those whose power any row of the network reads."""
    n_cell, n_row = len(cells.session), len(rows.node)
    cell_load = cells.place * problem.n_period + cells.period
    power_of = rows.power_of(problem, network)
    load = np.intersect1d(cell_load, power_of.indices)
    in_load = np.flatnonzero(np.isin(cell_load, load))
    served = ones(cells.session, np.arange(n_cell), (problem.n_session, n_cell))
    drawn = ones(np.searchsorted(load, cell_load[in_load]), in_load, (len(load), n_cell))
    missed = ones(short, np.arange(len(short)), (n_row, len(short)))
    exceeded = ones(over, np.arange(len(over)), (n_row, len(over)))
    blocks = [
        [served, sparse.eye(problem.n_session), None, None, None],
        [drawn, None, -sparse.eye(len(load)), None, None],
        [None, None, power_of[:, load], missed, -exceeded],
    ]
    return sparse.bmat(blocks, format="csr"), len(load)


def cap_rows(network: Network) -> Rows:
    """Caps that can bind: under what the sessions connected could draw together."""
    node, period = np.nonzero(network.cap_kw < network.rated_kw)
    return Rows(
        node=node,
        period=period,
        is_change=np.zeros(len(node), dtype=bool),
        lower_kw=np.full(len(node), -np.inf),
        upper_kw=network.cap_kw[node, period],
        soft_gbp_per_kwh=np.full(len(node), np.inf),
    )


def request_cells(problem: DispatchProblem) -> tuple[IntArray, IntArray]:
    """Request and period of each row of ``request_rows``."""
    n_period = np.array([asked.end - asked.start for asked in problem.requests], dtype=np.int64)
    period = [np.arange(asked.start, asked.end) for asked in problem.requests]
    return np.repeat(np.arange(problem.n_request), n_period), np.concatenate([*period, np.zeros(0, dtype=np.int64)])


def request_rows(problem: DispatchProblem) -> Rows:
    request, period = request_cells(problem)
    asked = problem.requests

    def of(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)[request]

    is_down = of([one.direction == TURN_DOWN for one in asked]) > 0
    target_kw = of([one.target_kw for one in asked])
    return Rows(
        node=of([one.node for one in asked]).astype(np.int64),
        period=period,
        is_change=np.zeros(len(request), dtype=bool),
        lower_kw=np.where(is_down, -np.inf, target_kw),
        upper_kw=np.where(is_down, target_kw, np.inf),
        soft_gbp_per_kwh=of([one.shortfall_gbp_per_kwh for one in asked]),
    )


def ramp_rows(problem: DispatchProblem) -> Rows:
    """The change into every period but the first, both ways in one row."""
    node = np.flatnonzero(np.isfinite(problem.node_ramp_kw)).repeat(problem.n_period - 1)
    n_row = len(node)
    period = np.tile(np.arange(1, problem.n_period), n_row // max(1, problem.n_period - 1))
    free_kw = problem.node_ramp_kw[node]
    return Rows(
        node=node,
        period=period,
        is_change=np.ones(n_row, dtype=bool),
        lower_kw=-free_kw,
        upper_kw=free_kw,
        soft_gbp_per_kwh=np.full(n_row, problem.ramp_gbp_per_kwh),
    )


def ones(row: IntArray, column: IntArray, shape: tuple[int, ...]) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=shape)
