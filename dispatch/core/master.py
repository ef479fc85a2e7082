"""What a coordinator knows of its parts, as a small linear program: mix their plans, price what is above the cut.

A part's plans are convex combinations of any plans it has shown, its *columns*: a profile of power and a cost. The
master mixes them at least cost under the caps, requests and ramps above the cut. Its optimum is the cost of a plan, and
the duals of its rows are prices at which to ask the parts again (Dantzig-Wolfe). Far from the optimum these prices jump
about; held within a box around the best ones known they get there in half the rounds.

Source: docs/methods/dispatch.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from aggregator.core.types import FloatArray, IntArray
from dispatch.core.bound import Prices
from dispatch.core.highs import LinearProgram, minimise
from dispatch.core.sparse import Rows, cap_rows, ones, ramp_rows, request_cells, request_rows
from dispatch.core.split import Split

# HiGHS takes no matrix entry under 1e-9; a profile is not below zero.
_NOTHING_KW = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A plan of a part as the coordinator sees it.

    Attributes:
        profile_kw: (n_period,) power at the cut.
        cost_gbp: of the part alone, without any charge for what is above.
    """

    part: int
    round: int
    profile_kw: FloatArray
    cost_gbp: float


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """A master's optimum.

    Attributes:
        weight: (n_column,) shares, adding up to 1 in each part.
        cost_gbp: of the mixed plan, what is above the cut included.
    """

    weight: FloatArray
    cost_gbp: float


@dataclass(frozen=True, slots=True, eq=False)
class Master:
    """The rows above the cut, in the order caps, requests, ramps.

    A row's price is signed as a dual: what one more kW of its limit adds to the cost, GBP per kWh.
    """

    split: Split
    rows: Rows
    n_cap: int
    n_request: int

    @classmethod
    def of(cls, split: Split) -> Self:
        caps, requests, ramps = cap_rows(split.network), request_rows(split.upper), ramp_rows(split.upper)
        return cls(split, Rows.joined([caps, requests, ramps]), len(caps.node), len(requests.node))

    def mix(self, columns: Sequence[Column]) -> Mix:
        """Mix the columns, of which every part has one that fits its share of the caps, at least cost.

        Raises:
            SolverFailed: no proven optimum.
        """
        lp = self._program(columns)
        value = minimise(lp).value
        part = np.array([column.part for column in columns])
        weight = np.maximum(value[: len(columns)], 0.0)
        weight /= np.bincount(part, weights=weight, minlength=len(self.split.parts))[part]
        return Mix(weight, self.split.upper.step_h * float(lp.cost @ value))

    def prices_near(self, columns: Sequence[Column], centre: FloatArray, reach: float) -> tuple[FloatArray, float]:
        """The best (n_row,) prices within ``reach`` of ``centre``, as far as the columns tell, and their bound in GBP.

        Raises:
            SolverFailed: no proven optimum.
        """
        lp, n_row, n_part = self._program(columns), len(self.rows.node), len(self.split.parts)
        low = np.where(np.isfinite(self.rows.upper_kw), centre - reach, np.maximum(centre - reach, 0.0))
        high = np.where(np.isfinite(self.rows.lower_kw), centre + reach, np.minimum(centre + reach, 0.0))
        # Two more columns a row, either of which relaxes it at a price: no dual can go beyond these prices.
        relaxed = sparse.vstack([sparse.csr_matrix((n_part, n_row)), sparse.eye(n_row)])
        none = np.zeros(2 * n_row)
        boxed = LinearProgram(
            cost=np.concatenate([lp.cost, high, -low]),
            lower=np.concatenate([lp.lower, none]),
            upper=np.concatenate([lp.upper, none + np.inf]),
            row_lower=lp.row_lower,
            row_upper=lp.row_upper,
            matrix=sparse.csr_matrix(sparse.hstack([lp.matrix, relaxed, -relaxed])),
        )
        optimum = minimise(boxed)
        return optimum.row_price[n_part:], self.split.upper.step_h * float(boxed.cost @ optimum.value)

    def row_prices(self, prices: Prices) -> FloatArray:
        """(n_row,) prices of ``Split.upper``'s caps, requests and ramps."""
        rows, price = self.rows, np.zeros(len(self.rows.node))
        cap, request, ramp = np.split(np.arange(len(price)), np.cumsum([self.n_cap, self.n_request]))
        price[cap] = -prices.cap[rows.node[cap], rows.period[cap]]
        is_most = np.isfinite(rows.upper_kw[request])
        price[request] = np.where(is_most, -1.0, 1.0) * prices.request[request_cells(self.split.upper)]
        change = rows.node[ramp], rows.period[ramp] - 1
        price[ramp] = prices.ramp_down[change] - prices.ramp_up[change]
        return price / self.split.upper.step_h

    def prices(self, row_price: FloatArray) -> Prices:
        """The same prices as ``bound.Prices`` of ``Split.upper``: none negative, up and down of a ramp apart."""
        prices, price = Prices.zero(self.split.upper), self.split.upper.step_h * row_price
        cap, request, ramp = np.split(np.arange(len(price)), np.cumsum([self.n_cap, self.n_request]))
        prices.cap[self.rows.node[cap], self.rows.period[cap]] = np.maximum(-price[cap], 0.0)
        prices.request[request_cells(self.split.upper)] = np.abs(price[request])
        change = self.rows.node[ramp], self.rows.period[ramp] - 1
        prices.ramp_up[change], prices.ramp_down[change] = np.maximum(-price[ramp], 0.0), np.maximum(price[ramp], 0.0)
        return prices

    def _program(self, columns: Sequence[Column]) -> LinearProgram:
        """Columns: weights, short, over. Rows: one whole of each part, then those above the cut. Costs GBP per hour."""
        n_column, n_part, rows = len(columns), len(self.split.parts), self.rows
        part = np.array([column.part for column in columns], dtype=np.int64)
        is_soft = np.isfinite(rows.soft_gbp_per_kwh)
        short = np.flatnonzero(is_soft & np.isfinite(rows.lower_kw))
        over = np.flatnonzero(is_soft & np.isfinite(rows.upper_kw))
        held = (len(rows.node),)
        matrix = sparse.bmat(
            [
                [ones(part, np.arange(n_column), (n_part, n_column)), None, None],
                [
                    rows.power_of(self.split.upper, self.split.network) @ self._profiles(columns, part),
                    ones(short, np.arange(len(short)), (*held, len(short))),
                    -ones(over, np.arange(len(over)), (*held, len(over))),
                ],
            ],
            format="csr",
        )
        n_all = n_column + len(short) + len(over)
        cost = np.array([column.cost_gbp for column in columns]) / self.split.upper.step_h
        return LinearProgram(
            cost=np.concatenate([cost, rows.soft_gbp_per_kwh[short], rows.soft_gbp_per_kwh[over]]),
            lower=np.zeros(n_all),
            upper=np.full(n_all, np.inf),
            row_lower=np.concatenate([np.ones(n_part), rows.lower_kw]),
            row_upper=np.concatenate([np.ones(n_part), rows.upper_kw]),
            matrix=matrix,
        )

    def _profiles(self, columns: Sequence[Column], part: IntArray) -> sparse.csr_matrix:
        """(n_part x n_period, n_column) every column's profile, in the cells of its part."""
        n_period = self.split.upper.n_period
        cell = (part[:, np.newaxis] * n_period + np.arange(n_period)).ravel()
        profile_kw = np.concatenate([column.profile_kw for column in columns])
        profile_kw = np.where(profile_kw > _NOTHING_KW, profile_kw, 0.0)
        entries = profile_kw, (cell, np.arange(len(columns)).repeat(n_period))
        return sparse.csr_matrix(entries, shape=(len(self.split.parts) * n_period, len(columns)))
