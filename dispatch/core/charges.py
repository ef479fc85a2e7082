"""What drawing costs one session: the tariff, and what every limit, request and ramp on its path adds.

Prices of limits come with the plan. Those of requests and ramps do not; where one is missed or kept with room to spare
its price is known, and at its edge it lies between. There the plan itself tells: complementary slackness of the
session asked for picks the smallest prices under which its power is its own best answer.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linprog

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem

Kind = Literal["limit", "turn_down", "turn_up", "ramp"]

# What a price that explains nothing weighs against a period it leaves unexplained; and the worth against both.
_SLACK, _PRICE, _WORTH = 1e3, 1.0, 1e-3


class NotExplained(FlexError):
    code = "dispatch.not_explained"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one limit, request or ramp adds to a session's cost in one period.

    Attributes:
        node: index of the node it stands at.
        request: index of the request, -1 for a limit or a ramp.
        gbp_per_kwh: added to what the session draws, its share of the node taken in; below 0 it draws the session on.
    """

    kind: Kind
    node: int
    request: int
    gbp_per_kwh: float


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """How a plan stands on the network: what a session's prices are read from.

    Attributes:
        node_power_kw, node_price_gbp_per_kwh: (n_node, n_period).
        edge_kw: a request or ramp this near to its target is at its edge; what rounding may have moved.
    """

    node_power_kw: FloatArray
    node_price_gbp_per_kwh: FloatArray
    edge_kw: float = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class SessionCosts:
    """A session's marginal cost in each period of the horizon, and what its energy is worth to it.

    Attributes:
        tariff_gbp_per_kwh, total_gbp_per_kwh: (n_period,).
        charges: by period, none that is zero.
        worth_gbp_per_kwh: what its last kWh is worth: it draws where the total is below, and not where it is above.
    """

    tariff_gbp_per_kwh: FloatArray
    total_gbp_per_kwh: FloatArray
    charges: tuple[tuple[Charge, ...], ...]
    worth_gbp_per_kwh: float


@dataclass(frozen=True, slots=True)
class _Price:
    """A price between two bounds, and what one GBP of it adds to the session in which periods."""

    kind: Kind
    node: int
    request: int
    low: float
    high: float
    periods: tuple[int, ...]
    factors: tuple[float, ...]


def session_costs(
    problem: DispatchProblem,
    network: Network,
    *,
    session: int,
    power_kw: FloatArray,
    grid: Grid,
    lost_kwh: float = 1e-6,
) -> SessionCosts:
    """Price every period of a session.

    Args:
        session: index.
        power_kw: (n_period,) the session's power in the plan.
        lost_kwh: unserved energy up to this much is no sign of scarcity; rounding loses some.

    Raises:
        NotExplained: HiGHS found no prices at all; a bug, since zero prices are always some.
    """
    nodes, shares = path_of(network, session)
    tariff = problem.price_gbp_per_kwh[problem.session_tariff[session]]
    prices = [
        *_limit_prices(grid, nodes, shares),
        *_request_prices(problem, grid, nodes, shares),
        *_ramp_prices(problem, grid, nodes, shares),
    ]
    values, worth = _settle(problem, network, session, power_kw, tariff, prices, lost_kwh)
    charges = _by_period(prices, values, problem.n_period)
    total = tariff + np.array([sum(charge.gbp_per_kwh for charge in here) for here in charges])
    return SessionCosts(tariff, total, charges, worth)


def path_of(network: Network, session: int) -> tuple[IntArray, FloatArray]:
    """Nodes a session loads, the nearest to the root first, and by what share."""
    column = network.tree.shares[:, [network.tree.session_place[session]]].tocoo()
    order = np.argsort(column.row)
    return column.row[order].astype(np.int64), column.data[order]


def _limit_prices(grid: Grid, nodes: IntArray, shares: FloatArray) -> list[_Price]:
    """A price for each node and period that has one; it is known."""
    price = grid.node_price_gbp_per_kwh[nodes]
    return [
        _Price("limit", int(nodes[at]), -1, float(price[at, t]), float(price[at, t]), (t,), (float(shares[at]),))
        for at, t in np.argwhere(price > 0).tolist()
    ]


def _request_prices(problem: DispatchProblem, grid: Grid, nodes: IntArray, shares: FloatArray) -> list[_Price]:
    share_of = dict(zip(nodes.tolist(), shares.tolist(), strict=True))
    found = []
    for index, request in enumerate(problem.requests):
        if request.node not in share_of or request.shortfall_gbp_per_kwh == 0:
            continue
        kind: Kind = "turn_down" if request.direction == TURN_DOWN else "turn_up"
        for t in range(request.start, request.end):
            missing_kw = request.direction * (request.target_kw - grid.node_power_kw[request.node, t])
            low, high = _bounds(float(missing_kw), grid.edge_kw, request.shortfall_gbp_per_kwh)
            factor = -request.direction * share_of[request.node]
            if high > 0:
                found.append(_Price(kind, request.node, index, low, high, (t,), (factor,)))
    return found


def _ramp_prices(problem: DispatchProblem, grid: Grid, nodes: IntArray, shares: FloatArray) -> list[_Price]:
    """The price of the change into each period: it falls on that period, and the other way on the one before."""
    most, found = problem.ramp_gbp_per_kwh, []
    for node, share in zip(nodes.tolist(), shares.tolist(), strict=True):
        free_kw = float(problem.node_ramp_kw[node])
        if most == 0 or not np.isfinite(free_kw):
            continue
        for t, rise_kw in enumerate(np.diff(grid.node_power_kw[node]).tolist()):
            up_low, up_high = _bounds(rise_kw - free_kw, grid.edge_kw, most)
            down_low, down_high = _bounds(-rise_kw - free_kw, grid.edge_kw, most)
            low, high = up_low - down_high, up_high - down_low
            if low < high or low != 0:
                found.append(_Price("ramp", node, -1, low, high, (t, t + 1), (-share, share)))
    return found


def _bounds(missing_kw: float, edge_kw: float, most: float) -> tuple[float, float]:
    """Bounds of a soft row's price: all of it where it is missed, none where there is room, either at the edge."""
    if missing_kw > edge_kw:
        return most, most
    return (0.0, 0.0) if missing_kw < -edge_kw else (0.0, most)


def _settle(
    problem: DispatchProblem,
    network: Network,
    session: int,
    power_kw: FloatArray,
    tariff: FloatArray,
    prices: list[_Price],
    lost_kwh: float,
) -> tuple[FloatArray, float]:
    """Values of the prices, and the worth of the session's energy: the smallest that leave least unexplained.

    Columns: every price, how far it is from 0, one unexplained rest a period of the window, the worth.
    """
    window = np.arange(problem.session_start[session], problem.session_end[session])
    n_price, n_window = len(prices), len(window)
    draws, has_room = (marks[window] for marks in _draws(problem, session, power_kw))
    cost, no_size = _cost_rows(prices, window), np.zeros((n_window, n_price))
    one, rest, size, far = np.ones((n_window, 1)), np.eye(n_window), np.eye(n_price), np.zeros((n_price, n_window + 1))
    # Where it draws, tariff + cost <= worth + rest; where it has room, tariff + cost >= worth - rest.
    rows = [
        np.hstack([cost, no_size, -rest, -one])[draws],
        np.hstack([-cost, no_size, -rest, one])[has_room],
        np.hstack([size, -size, far]),
        np.hstack([-size, -size, far]),
    ]
    bounds = [*[(price.low, price.high) for price in prices], *[(0.0, np.inf)] * (n_price + n_window)]
    answer = linprog(
        np.concatenate([np.zeros(n_price), np.full(n_price, _PRICE), np.full(n_window, _SLACK), [_WORTH]]),
        A_ub=np.vstack(rows),
        b_ub=np.concatenate([-tariff[window][draws], tariff[window][has_room], np.zeros(2 * n_price)]),
        bounds=[*bounds, _worth_bounds(problem, network, session, power_kw, lost_kwh)],
        method="highs",
    )
    if answer.status != 0:
        raise NotExplained(f"no prices explain session {problem.session_ids[session]!r}: {answer.message}")
    return answer.x[:n_price], float(answer.x[-1])


def _cost_rows(prices: list[_Price], window: IntArray) -> FloatArray:
    """(n_window, n_price) what one GBP of each price adds in each period of the window."""
    rows = np.zeros((len(window), len(prices)))
    for column, price in enumerate(prices):
        for t, factor in zip(price.periods, price.factors, strict=True):
            if window[0] <= t <= window[-1]:
                rows[t - window[0], column] += factor
    return rows


def _worth_bounds(
    problem: DispatchProblem, network: Network, session: int, power_kw: FloatArray, lost_kwh: float
) -> tuple[float, float]:
    """The worth of a session's last kWh is what going without costs where it goes without some, and at most that."""
    unserved = float(problem.session_unserved_gbp_per_kwh[session])
    missing_kwh = float(network.serveable_kwh[session]) - problem.step_h * float(power_kw.sum())
    goes_without = missing_kwh > lost_kwh or not _draws(problem, session, power_kw)[0].any()
    return (unserved if goes_without else -np.inf), unserved


def _draws(problem: DispatchProblem, session: int, power_kw: FloatArray) -> tuple[BoolArray, BoolArray]:
    """(n_period,) where the session draws in its window, and where it could draw more."""
    near_kw = 1e-4
    here = np.zeros(problem.n_period, dtype=np.bool_)
    here[problem.session_start[session] : problem.session_end[session]] = True
    return here & (power_kw > near_kw), here & (power_kw < problem.session_max_kw[session] - near_kw)


def _by_period(prices: list[_Price], values: FloatArray, n_period: int) -> tuple[tuple[Charge, ...], ...]:
    charges: list[dict[tuple[Kind, int, int], float]] = [{} for _ in range(n_period)]
    for price, value in zip(prices, values.tolist(), strict=True):
        for t, factor in zip(price.periods, price.factors, strict=True):
            key = (price.kind, price.node, price.request)
            charges[t][key] = charges[t].get(key, 0.0) + factor * value
    return tuple(tuple(Charge(*key, gbp) for key, gbp in here.items() if abs(gbp) > 1e-9) for here in charges)
