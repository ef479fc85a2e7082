"""What the engine is asked and what it answers: frozen bundles of arrays, checked when they are made.

Axes: ``n_node``, ``n_session``, ``n_request``, ``n_tariff``, ``n_period``. kW and kWh, consumption positive.
"""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core.validate import (
    IdArray,
    InvalidProblem,
    as_bools,
    as_floats,
    as_ids,
    as_ints,
    as_price,
    refuse_where,
)

Direction = Literal[-1, 1]
Rung = Literal["certified", "time-boxed", "greedy", "last-plan"]
TURN_DOWN: Direction = -1
TURN_UP: Direction = 1
RUNGS: tuple[Rung, ...] = ("certified", "time-boxed", "greedy", "last-plan")


class InvalidPlan(FlexError):
    code = "dispatch.plan_invalid"


@dataclass(frozen=True, slots=True)
class FlexRequest:
    """A need at one node over ``[start, end)`` periods: keep its EV power under (turn-down) or over (turn-up) a target.

    Attributes:
        node: index of the network node.
        direction: ``TURN_DOWN`` (-1) or ``TURN_UP`` (+1).
        shortfall_gbp_per_kwh: price of what is missing, at least the penalty of the product behind the request.
    """

    node: int
    start: int
    end: int
    direction: Direction
    target_kw: float
    shortfall_gbp_per_kwh: float


@dataclass(frozen=True, slots=True, eq=False)
class DispatchProblem:
    """One network area, every DSRSP in it, one horizon.

    Attributes:
        step_h: hours a period.
        node_parent: (n_node,) index of the parent, -1 for a root; parents come before their children.
        node_is_phase: (n_node,) one phase of the feeder above it.
        node_limit_kw: (n_node, n_period) headroom for EVs; +inf for none; below zero counts as zero.
        node_diversity: (n_node,) 0 to 1, share of the connected EVs' ratings that may be drawn at once.
        node_ramp_kw: (n_node,) free change between neighbouring periods; +inf for none.
        session_start, session_end: (n_session,) half-open window in periods.
        session_min_kw: (n_session,) the device's floor, used by the rounding only.
        session_tariff: (n_session,) row of ``price_gbp_per_kwh`` (n_tariff, n_period).

    Raises:
        InvalidProblem: on construction, for anything that cannot be meant.
    """

    step_h: float
    node_ids: IdArray
    node_parent: IntArray
    node_is_phase: BoolArray
    node_limit_kw: FloatArray
    node_diversity: FloatArray
    node_ramp_kw: FloatArray
    session_ids: IdArray
    session_node: IntArray
    session_phases: IntArray
    session_start: IntArray
    session_end: IntArray
    session_max_kw: FloatArray
    session_energy_kwh: FloatArray
    session_min_kw: FloatArray
    session_unserved_gbp_per_kwh: FloatArray
    session_tariff: IntArray
    price_gbp_per_kwh: FloatArray
    requests: tuple[FlexRequest, ...]
    ramp_gbp_per_kwh: float

    def __post_init__(self) -> None:
        _cast(self)
        _refuse_bad_nodes(self)
        _refuse_bad_sessions(self)
        _refuse_bad_requests(self)

    @property
    def n_node(self) -> int:
        return len(self.node_ids)

    @property
    def n_session(self) -> int:
        return len(self.session_ids)

    @property
    def n_period(self) -> int:
        return int(self.node_limit_kw.shape[1])

    @property
    def n_request(self) -> int:
        return len(self.requests)


@dataclass(frozen=True, slots=True, eq=False)
class DispatchPlan:
    """A safe plan with its price, its certificate and its rounding to what EVSEs can be told.

    Attributes:
        power_kw: (n_session, n_period) the continuous plan as stored; every sum and cost is taken from it.
        unserved_kwh, unserveable_kwh: (n_session,) left out by the plan; beyond what the session could take alone.
        shortfall_kw: (n_request, n_period), zero outside the request's window.
        node_power_kw, node_price_gbp_per_kwh: (n_node, n_period) EV power, and what one more kW of cap is worth.
        gap: (cost_gbp - lower_bound_gbp) / max(1, |lower_bound_gbp|).
        setpoint_a: (n_session, n_period) ceilings in amperes per phase.
        max_violation_kw: the worse of the continuous plan's and the rounding's.

    Raises:
        InvalidPlan: shapes that do not belong together, or a rung that does not exist.
    """

    power_kw: Float32Array
    unserved_kwh: FloatArray
    unserveable_kwh: FloatArray
    shortfall_kw: FloatArray
    node_power_kw: FloatArray
    node_price_gbp_per_kwh: FloatArray
    cost_gbp: float
    cost_energy_gbp: float
    cost_unserved_gbp: float
    cost_shortfall_gbp: float
    cost_ramp_gbp: float
    unavoidable_gbp: float
    lower_bound_gbp: float
    gap: float
    setpoint_a: Int16Array
    rounded_unserved_kwh: FloatArray
    rounding_cost_gbp: float
    max_violation_kw: float
    rung: Rung
    method: str
    iterations: int
    solve_s: float

    def __post_init__(self) -> None:
        n_session, n_period = self.power_kw.shape
        n_node, n_request = self.node_power_kw.shape[0], self.shortfall_kw.shape[0]
        expected = {
            "unserved_kwh": (n_session,),
            "unserveable_kwh": (n_session,),
            "rounded_unserved_kwh": (n_session,),
            "setpoint_a": (n_session, n_period),
            "shortfall_kw": (n_request, n_period),
            "node_power_kw": (n_node, n_period),
            "node_price_gbp_per_kwh": (n_node, n_period),
        }
        for field, shape in expected.items():
            found = getattr(self, field).shape
            if found != shape:
                raise InvalidPlan(f"{field} has shape {found}; expected {shape}", field=field)
        if self.rung not in RUNGS:
            raise InvalidPlan(f"rung is {self.rung!r}; expected one of {', '.join(RUNGS)}", field="rung")


def _cast(problem: DispatchProblem) -> None:
    """Replace every field by a read-only array of the one type it has inside the house."""
    node_ids, session_ids = as_ids("node_ids", problem.node_ids), as_ids("session_ids", problem.session_ids)
    limit, price = np.asarray(problem.node_limit_kw), np.asarray(problem.price_gbp_per_kwh)
    if limit.ndim != 2 or limit.shape[1] < 1:
        raise InvalidProblem(
            f"node_limit_kw has shape {limit.shape}; expected (n_node, n_period) with a period", field="node_limit_kw"
        )
    if price.ndim != 2:
        raise InvalidProblem(
            f"price_gbp_per_kwh has shape {price.shape}; expected (n_tariff, n_period)", field="price_gbp_per_kwh"
        )
    nodes, sessions, n_period = (len(node_ids),), (len(session_ids),), limit.shape[1]
    shapes = {"node_limit_kw": (len(node_ids), n_period), "price_gbp_per_kwh": (price.shape[0], n_period)}
    _put(problem, "node_ids", node_ids)
    _put(problem, "session_ids", session_ids)
    _put(problem, "node_is_phase", as_bools("node_is_phase", problem.node_is_phase, nodes))
    _put(problem, "requests", tuple(problem.requests))
    _put(problem, "ramp_gbp_per_kwh", as_price("ramp_gbp_per_kwh", problem.ramp_gbp_per_kwh))
    _put(problem, "step_h", as_price("step_h", problem.step_h))
    if problem.step_h == 0:
        raise InvalidProblem("step_h is 0; expected hours above 0", field="step_h", value=0.0)
    for field in ("node_parent", "session_node", "session_phases", "session_start", "session_end", "session_tariff"):
        _put(problem, field, as_ints(field, getattr(problem, field), nodes if field == "node_parent" else sessions))
    for field in _FLOATS:
        shape = shapes.get(field, nodes if field.startswith("node") else sessions)
        _put(problem, field, as_floats(field, getattr(problem, field), shape))


def _put(problem: DispatchProblem, field: str, value: object) -> None:
    object.__setattr__(problem, field, value)


def _refuse_bad_nodes(problem: DispatchProblem) -> None:
    ids = problem.node_ids
    parent, limit, ramp = problem.node_parent, problem.node_limit_kw, problem.node_ramp_kw
    order = (parent < -1) | (parent >= np.arange(problem.n_node))
    refuse_where(
        order, "node_parent", parent, owner="node", ids=ids, expected="-1 for a root, or the index of an earlier node"
    )
    diversity = problem.node_diversity
    bad_diversity = ~((diversity >= 0) & (diversity <= 1))
    refuse_where(bad_diversity, "node_diversity", diversity, owner="node", ids=ids, expected="a factor from 0 to 1")
    bad_ramp = np.isnan(ramp) | (ramp < 0)
    refuse_where(bad_ramp, "node_ramp_kw", ramp, owner="node", ids=ids, expected="kW of at least 0, or +inf for none")
    # A negative limit is a fact (background above rating), not a mistake: it counts as zero.
    bad_limit = np.isnan(limit) | np.isneginf(limit)
    refuse_where(bad_limit, "node_limit_kw", limit, owner="node", ids=ids, expected="kW, or +inf for none")
    price = problem.price_gbp_per_kwh
    tariffs = np.arange(len(price))
    refuse_where(
        ~np.isfinite(price), "price_gbp_per_kwh", price, owner="tariff", ids=tariffs, expected="a finite price"
    )


def _refuse_bad_sessions(problem: DispatchProblem) -> None:
    def refuse(bad: BoolArray, field: str, expected: str) -> None:
        refuse_where(bad, field, getattr(problem, field), owner="session", ids=problem.session_ids, expected=expected)

    node, phases, start, end = (
        problem.session_node,
        problem.session_phases,
        problem.session_start,
        problem.session_end,
    )
    tariff, n_tariff = problem.session_tariff, len(problem.price_gbp_per_kwh)
    refuse((node < 0) | (node >= problem.n_node), "session_node", f"a node index from 0 to {problem.n_node - 1}")
    refuse((phases != 1) & (phases != 3), "session_phases", "1 or 3")
    refuse((phases == 3) & problem.node_is_phase[node], "session_phases", "1 on a phase node (3 hang on the feeder)")
    refuse((start < 0) | (start >= problem.n_period), "session_start", f"a period from 0 to {problem.n_period - 1}")
    refuse(end <= start, "session_end", "a period after session_start (an empty window)")
    refuse(end > problem.n_period, "session_end", f"at most the horizon's {problem.n_period} periods")
    refuse((tariff < 0) | (tariff >= n_tariff), "session_tariff", f"a row of price_gbp_per_kwh, 0 to {n_tariff - 1}")
    for field in ("session_max_kw", "session_energy_kwh", "session_min_kw", "session_unserved_gbp_per_kwh"):
        value = getattr(problem, field)
        refuse(~(np.isfinite(value) & (value >= 0)), field, "a finite number of at least 0")


def _refuse_bad_requests(problem: DispatchProblem) -> None:
    for index, request in enumerate(problem.requests):
        bounds = {
            "node": (request.node, 0, problem.n_node - 1),
            "start": (request.start, 0, problem.n_period - 1),
            "end": (request.end, request.start + 1, problem.n_period),
        }
        for name, (value, low, high) in bounds.items():
            if int(as_ints(f"requests.{name}", value, ())) != value or not low <= value <= high:
                raise InvalidProblem(
                    f"{name} of request {index} is {value}; expected {low} to {high}",
                    field=f"requests.{name}",
                    id=index,
                    value=int(value),
                )
        if request.direction not in (TURN_DOWN, TURN_UP):
            raise InvalidProblem(
                f"direction of request {index} is {request.direction}; expected -1 (turn-down) or +1 (turn-up)",
                field="requests.direction",
                id=index,
            )
        as_price(f"target_kw of request {index}", request.target_kw)
        as_price(f"shortfall_gbp_per_kwh of request {index}", request.shortfall_gbp_per_kwh)


_FLOATS = (
    "node_limit_kw",
    "node_diversity",
    "node_ramp_kw",
    "session_max_kw",
    "session_energy_kwh",
    "session_min_kw",
    "session_unserved_gbp_per_kwh",
    "price_gbp_per_kwh",
)
PROBLEM_FIELDS = tuple(field.name for field in fields(DispatchProblem))
PLAN_FIELDS = tuple(field.name for field in fields(DispatchPlan))
