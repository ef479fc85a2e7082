"""The same LP and the same sums written a second time, with nothing of the engine's but the problem itself."""

import numpy as np
from scipy.optimize import linprog

from dispatch.core.problem import DispatchProblem


def share(problem: DispatchProblem, i: int, v: int) -> float:
    """kW at node v per kW of session i, found by walking up from the session."""
    own = int(problem.session_node[i])
    at = own
    while at >= 0:
        if at == v:
            return 1.0
        at = int(problem.node_parent[at])
    if problem.node_is_phase[v] and problem.node_parent[v] == own:
        return 1.0 if problem.session_phases[i] == 1 else 1 / 3
    return 0.0


def added_up_kw(problem: DispatchProblem, power_kw: np.ndarray) -> np.ndarray:
    """(n_node, n_period) loads, one session, node and period at a time."""
    load = np.zeros((problem.n_node, problem.n_period))
    for v in range(problem.n_node):
        for i in range(problem.n_session):
            part = share(problem, i, v)
            for t in range(problem.n_period):
                load[v, t] += part * float(power_kw[i, t])
    return load


def caps_kw(problem: DispatchProblem) -> np.ndarray:
    """(n_node, n_period) what limit and diversity allow together."""
    caps = np.maximum(problem.node_limit_kw, 0.0).copy()
    for v in range(problem.n_node):
        if problem.node_diversity[v] < 1:
            for t in range(problem.n_period):
                rated = sum(share(problem, i, v) * problem.session_max_kw[i] for i in plugged_in(problem, t))
                caps[v, t] = min(caps[v, t], problem.node_diversity[v] * rated)
    return caps


def plugged_in(problem: DispatchProblem, t: int) -> list[int]:
    return [i for i in range(problem.n_session) if problem.session_start[i] <= t < problem.session_end[i]]


def serveable_kwh(problem: DispatchProblem) -> list[float]:
    return [
        min(
            float(problem.session_energy_kwh[i]),
            problem.step_h * float(problem.session_max_kw[i]) * int(problem.session_end[i] - problem.session_start[i]),
        )
        for i in range(problem.n_session)
    ]


def optimum_gbp(problem: DispatchProblem) -> float:
    """The LP's optimal value by scipy's linprog on dense rows; power, then shortfall, then ramp excess."""
    lp = _DenseLp(problem)
    if lp.cost.size == 0:
        return 0.0
    lp.add_sessions()
    lp.add_caps()
    lp.add_requests()
    lp.add_ramps()
    rows = {"A_ub": np.array(lp.rows), "b_ub": lp.limits} if lp.rows else {}
    found = linprog(lp.cost, bounds=np.c_[np.zeros(lp.cost.size), lp.upper], **rows)
    assert found.status == 0, found.message
    return float(found.fun + lp.constant)


class _DenseLp:
    def __init__(self, problem: DispatchProblem) -> None:
        self.problem = problem
        self.n_power = problem.n_session * problem.n_period
        self.n_short = problem.n_request * problem.n_period
        size = self.n_power + self.n_short + problem.n_node * (problem.n_period - 1)
        self.cost, self.upper, self.constant = np.zeros(size), np.full(size, np.inf), 0.0
        self.load = np.zeros((problem.n_node, problem.n_period, size))
        self.rows: list[np.ndarray] = []
        self.limits: list[float] = []

    def add_sessions(self) -> None:
        problem, energy = self.problem, serveable_kwh(self.problem)
        for i, t in np.ndindex(problem.n_session, problem.n_period):
            at = i * problem.n_period + t
            price = problem.price_gbp_per_kwh[problem.session_tariff[i], t]
            self.cost[at] = problem.step_h * (price - problem.session_unserved_gbp_per_kwh[i])
            self.upper[at] = problem.session_max_kw[i] if i in plugged_in(problem, t) else 0.0
            self.load[:, t, at] = [share(problem, i, v) for v in range(problem.n_node)]
        for i in range(problem.n_session):
            taken = np.zeros(self.cost.size)
            taken[i * problem.n_period : (i + 1) * problem.n_period] = problem.step_h
            self.add(taken, energy[i])
            self.constant += problem.session_unserved_gbp_per_kwh[i] * energy[i]

    def add_caps(self) -> None:
        caps = caps_kw(self.problem)
        for v, t in np.argwhere(np.isfinite(caps)):
            self.add(self.load[v, t], caps[v, t])

    def add_requests(self) -> None:
        for r, request in enumerate(self.problem.requests):
            for t in range(request.start, request.end):
                row = -request.direction * self.load[request.node, t]
                slack = self.n_power + r * self.problem.n_period + t
                self.add_soft(row, -request.direction * request.target_kw, slack, request.shortfall_gbp_per_kwh)

    def add_ramps(self) -> None:
        problem = self.problem
        for v, t in np.ndindex(problem.n_node, problem.n_period - 1):
            if np.isfinite(problem.node_ramp_kw[v]):
                rise = self.load[v, t + 1] - self.load[v, t]
                slack = self.n_power + self.n_short + v * (problem.n_period - 1) + t
                self.add_soft(rise, problem.node_ramp_kw[v], slack, problem.ramp_gbp_per_kwh)
                self.add_soft(-rise, problem.node_ramp_kw[v], slack, problem.ramp_gbp_per_kwh)

    def add_soft(self, row: np.ndarray, limit: float, slack: int, price: float) -> None:
        softened = row.copy()
        softened[slack] = -1.0
        self.cost[slack] = self.problem.step_h * price
        self.add(softened, limit)

    def add(self, row: np.ndarray, limit: float) -> None:
        self.rows.append(row)
        self.limits.append(float(limit))
