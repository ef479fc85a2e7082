"""The dispatch model written to be read: this file is the specification, solved by HiGHS (or CBC) through PuLP.

Built variable by variable in Python, so it is for up to some thousand sessions. Dual values become prices for our own
certificate; the solver's claim to be optimal only admits its answer to be looked at.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pulp

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray
from dispatch.core.bound import Prices
from dispatch.core.network import Network, share_matrix
from dispatch.core.problem import TURN_DOWN, DispatchProblem

SOLVERS = ("HiGHS", "CBC")


class SolverFailed(FlexError):
    """The solver did not prove an optimum; whatever it left in its variables is not used."""

    code = "dispatch.solver_failed"


class SolverTimedOut(SolverFailed):
    code = "dispatch.solver_timed_out"


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """An optimal vertex as the solver states it, before any repair.

    Attributes:
        power_kw: (n_session, n_period).
    """

    power_kw: FloatArray
    prices: Prices
    solver: str
    iterations: int


@dataclass(slots=True)
class Model:
    """The PuLP problem, its power variables by (session, period), and which row is which."""

    lp: Any
    power: dict[tuple[int, int], Any] = field(default_factory=dict)
    rows: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    objective: list[Any] = field(default_factory=list)

    def add_row(self, row: Any, kind: str, index: int, period: int) -> None:
        name = f"{kind}_{index}_{period}"
        self.rows[name] = (kind, index, period)
        self.lp += row, name


def build_model(problem: DispatchProblem, network: Network) -> Model:
    """Write the whole model; rows that hold for any power within the EVs' ratings are left out."""
    model = Model(lp=pulp.LpProblem("dispatch", pulp.LpMinimize))
    _add_sessions(model, problem, network)
    load = _node_loads(model, problem)
    _add_caps(model, network, load)
    _add_requests(model, problem, load)
    _add_ramps(model, problem, load)
    model.lp += pulp.lpSum(model.objective)
    return model


def _add_sessions(model: Model, problem: DispatchProblem, network: Network) -> None:
    """Power within the rating while connected; energy served plus energy unserved is what could be served."""
    for i in range(problem.n_session):
        price = problem.price_gbp_per_kwh[problem.session_tariff[i]]
        energy_kwh, max_kw = float(network.serveable_kwh[i]), float(problem.session_max_kw[i])
        window = range(problem.session_start[i], problem.session_end[i])
        for t in window:
            model.power[i, t] = model.lp.add_variable(f"power_{i}_{t}", 0, max_kw)
            model.objective.append(problem.step_h * float(price[t]) * model.power[i, t])
        unserved = model.lp.add_variable(f"unserved_{i}", 0, energy_kwh)
        model.objective.append(float(problem.session_unserved_gbp_per_kwh[i]) * unserved)
        served = pulp.lpSum(problem.step_h * model.power[i, t] for t in window)
        model.add_row(served + unserved == energy_kwh, "energy", i, 0)


def _node_loads(model: Model, problem: DispatchProblem) -> dict[tuple[int, int], Any]:
    """EV power at (node, period), as an expression; absent where no EV can draw."""
    load, shares = {}, share_matrix(problem)
    for v in range(problem.n_node):
        row = shares.getrow(v)
        share = dict(zip(row.indices.tolist(), row.data.tolist(), strict=True))
        for t in range(problem.n_period):
            terms = [s * model.power[i, t] for i, s in share.items() if (i, t) in model.power]
            if terms:
                load[v, t] = pulp.lpSum(terms)
    return load


def _add_caps(model: Model, network: Network, load: dict[tuple[int, int], Any]) -> None:
    """Hard, per node and period: the limit (not under zero) and the share of connected ratings, in one cap."""
    for (v, t), power in load.items():
        if network.cap_kw[v, t] < network.rated_kw[v, t]:
            model.add_row(power <= float(network.cap_kw[v, t]), "cap", v, t)


def _add_requests(model: Model, problem: DispatchProblem, load: dict[tuple[int, int], Any]) -> None:
    """Soft at a price: under the target in a turn-down, over it in a turn-up, each period of the window."""
    for r, request in enumerate(problem.requests):
        for t in range(request.start, request.end):
            power = load.get((request.node, t), 0)
            shortfall = model.lp.add_variable(f"shortfall_{r}_{t}", 0)
            model.objective.append(problem.step_h * request.shortfall_gbp_per_kwh * shortfall)
            turned_down = request.direction == TURN_DOWN
            target_kw = float(request.target_kw)
            row = power - shortfall <= target_kw if turned_down else power + shortfall >= target_kw
            model.add_row(row, "request", r, t)


def _add_ramps(model: Model, problem: DispatchProblem, load: dict[tuple[int, int], Any]) -> None:
    """Soft at a price: the change between neighbouring periods beyond the node's free ramp, either way."""
    for v in np.flatnonzero(np.isfinite(problem.node_ramp_kw)).tolist():
        free_kw = float(problem.node_ramp_kw[v])
        for t in range(problem.n_period - 1):
            if (v, t) not in load and (v, t + 1) not in load:
                continue
            rise = load.get((v, t + 1), 0) - load.get((v, t), 0)
            excess = model.lp.add_variable(f"ramp_excess_{v}_{t}", 0)
            model.objective.append(problem.step_h * problem.ramp_gbp_per_kwh * excess)
            model.add_row(rise - excess <= free_kw, "ramp_up", v, t)
            model.add_row(-rise - excess <= free_kw, "ramp_down", v, t)


def solve_model(
    problem: DispatchProblem, *, solver: str = "HiGHS", time_limit_s: float | None = None, threads: int = 1
) -> Solution:
    """Build and solve the model in this process.

    Raises:
        SolverFailed: the solver is not there, broke, ran out of time, or ended with anything but a proven optimum.
    """
    network = Network.of(problem)
    model = build_model(problem, network)
    if not model.lp.variables():
        return Solution(np.zeros((problem.n_session, problem.n_period)), Prices.zero(problem), solver, 0)
    try:
        model.lp.solve(_pulp_solver(solver, time_limit_s, threads))
    except pulp.PulpError as error:
        raise SolverFailed(f"{solver} broke: {error}", solver=solver) from error
    require_optimal(model.lp, solver)
    return Solution(_power(model, problem), _prices(model, problem), solver, _iterations(model.lp))


def require_optimal(lp: Any, solver: str) -> None:
    """Let through a proven optimum only.

    At its time limit PuLP 3 says ``status`` 1, "Optimal", over variables that may all be zero; ``sol_status`` tells.

    Raises:
        SolverFailed: ``status`` or ``sol_status`` is not 1.
    """
    if lp.status != pulp.LpStatusOptimal or lp.sol_status != pulp.LpSolutionOptimal:
        raise SolverFailed(
            f"{solver} ended with status {lp.status} and solution status {lp.sol_status}; expected 1 and 1",
            solver=solver,
            status=lp.status,
            sol_status=lp.sol_status,
        )


def _pulp_solver(solver: str, time_limit_s: float | None, threads: int) -> Any:
    if solver == "HiGHS":
        return pulp.HiGHS(msg=False, threads=threads, timeLimit=time_limit_s)
    if solver == "CBC":
        # COIN_CMD with the bundled binary: PULP_CBC_CMD is the same program behind a deprecation warning.
        path = getattr(pulp.apis.coin_api, "pulp_cbc_path", None)
        return pulp.COIN_CMD(msg=False, threads=threads, timeLimit=time_limit_s, path=path)
    raise SolverFailed(f"no solver called {solver!r}; there are {', '.join(SOLVERS)}", solver=solver)


def _power(model: Model, problem: DispatchProblem) -> FloatArray:
    power_kw = np.zeros((problem.n_session, problem.n_period))
    for (i, t), variable in model.power.items():
        power_kw[i, t] = variable.varValue
    return power_kw


def _prices(model: Model, problem: DispatchProblem) -> Prices:
    """Dual values as prices: in a minimisation a <= row's dual is not positive, a >= row's not negative."""
    prices = Prices.zero(problem)
    for row in model.lp.constraints():
        kind, index, period = model.rows[row.name]
        if kind != "energy":
            getattr(prices, kind)[index, period] = abs(row.pi or 0.0)
    return prices


def _iterations(lp: Any) -> int:
    highs = getattr(lp, "solverModel", None)
    return int(highs.getInfo().simplex_iteration_count) if highs is not None else 0
