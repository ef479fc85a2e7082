"""Dispatch anew in the middle of a day: believe, solve what is left, keep what was told, hand on what is spare.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass, field, replace

import numpy as np

from aggregator.core.belief import BeliefRule, Need, UsualVisits, believe
from aggregator.core.errors import FlexError
from aggregator.core.fleet_state import FleetState
from aggregator.core.types import BoolArray, FloatArray, Int16Array, IntArray
from dispatch.core.check import TOLERANCE_KW, CheckFailed, add_up
from dispatch.core.network import Network
from dispatch.core.problem import TURN_UP, DispatchPlan, DispatchProblem
from dispatch.core.rolling import Remaining, remaining_problem, rest_of, shift_plan
from dispatch.core.rounding import ampere_kw
from dispatch.core.scenario import drawn_power_kw
from dispatch.core.sessions import serveable_kwh
from dispatch.core.solve import solve
from dispatch.core.spare import offer_spare, open_periods, valley_kw
from dispatch.core.spared import Spared, nobody_spared, solve_sparing
from dispatch.core.steady import CHANGE_GBP, NOTHING_TOLD, Steady, keep_told


class InvalidRollingRule(FlexError):
    code = "dispatch.rolling_rule_invalid"


@dataclass(frozen=True, slots=True)
class RollingRule:
    """How a day is dispatched anew.

    Attributes:
        change_gbp: a setpoint already sent is changed only where that gains more.
        told_periods: how many periods each EVSE is told at a time, the current one first.
        root_peak_level: no re-dispatch lifts an area's root above this multiple of its day's highest other demand.
        spare_price_share, spare_peak_level: of headroom no plan uses, as the day before.
        least_chance: an EVSE less likely to see an EV yet is not waited for.
        belief: what an EV that says nothing is believed to need.
        gap, time_limit_s, method: of ``solve``.
    """

    change_gbp: float = CHANGE_GBP
    told_periods: int = 2
    root_peak_level: float = 1.1
    spare_price_share: float = 0.75
    spare_peak_level: float = 1.2
    least_chance: float = 0.1
    belief: BeliefRule = field(default_factory=BeliefRule)
    gap: float = 1e-4
    time_limit_s: float = 60.0
    method: str = "auto"

    def __post_init__(self) -> None:
        if self.told_periods < 1:
            raise InvalidRollingRule(f"told_periods is {self.told_periods}, expected at least 1", field="told_periods")
        if not self.root_peak_level >= 1:
            raise InvalidRollingRule(
                f"root_peak_level is {self.root_peak_level}, expected at least 1: below it no EV may draw at the peak",
                field="root_peak_level",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """What a day's re-dispatches share.

    Attributes:
        problem: the whole day's; its session ids are EVSE ids.
        everyone: the fleet as sessions (``spare.fleet_problem``); gives the order of all (n_evse, ...) arrays.
        background_kw: (n_node, n_period) other demand held against the ratings.
        visits: of the fleet.
        unserved_gbp_per_kwh, tariff, fallback_kw: (n_evse,).
        order: (n_evse,) who is offered spare headroom first.
        spared: of the fleet's EVSEs and the day's requests; None where all requests call on everybody.
    """

    problem: DispatchProblem
    everyone: DispatchProblem
    background_kw: FloatArray
    visits: UsualVisits
    unserved_gbp_per_kwh: FloatArray
    tariff: IntArray
    fallback_kw: FloatArray
    order: IntArray
    spared: Spared | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What stands when a period begins.

    Attributes:
        setpoint_a: (n_evse, n_period of the day) the ceilings of the last dispatch.
        sent_a: (n_evse, n_sent) what EVSEs were sent for this period and the next ones; ``NOTHING_TOLD`` for none.
        last: the last plan and its problem, and the period it began with; None before the first.
    """

    setpoint_a: Int16Array
    sent_a: Int16Array
    last: tuple[DispatchPlan, DispatchProblem, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Redispatch:
    """A day dispatched anew from ``remaining.now`` on.

    Attributes:
        plan: of the remaining problem, with its certificate.
        setpoint_a: (n_evse, n_left) ceilings, checked.
        planned_a: (n_evse, n_left) of them without spare headroom: the plan, but for setpoints that were kept.
        unserved_kwh: (n_session,) serveable energy that these leave out.
        is_changed: (n_evse,) sent something else than before.
    """

    remaining: Remaining
    need: Need
    plan: DispatchPlan
    setpoint_a: Int16Array
    planned_a: Int16Array
    unserved_kwh: FloatArray
    is_changed: BoolArray


def redispatch(day: Day, state: FleetState, told: Told, rule: RollingRule) -> Redispatch:
    """Dispatch what is left of the day, with EVs as they are.

    Raises:
        CheckFailed: a bug; plan or ceilings broke a limit, and what was told stands.
    """
    now, rated_kw = state.now, day.everyone.session_max_kw
    step_h, n_period = day.problem.step_h, day.problem.n_period
    need = believe(state, day.visits, rated_kw=rated_kw, n_period=n_period, step_h=step_h, rule=rule.belief)
    remaining = remaining_problem(
        day.problem,
        day.everyone,
        state=state,
        need=need,
        unserved_gbp_per_kwh=day.unserved_gbp_per_kwh,
        tariff=day.tariff,
        told_a=told.setpoint_a,
        fallback_kw=day.fallback_kw,
        least_chance=rule.least_chance,
        bound_kw=_root_bound_kw(day, rule)[:, now:],
    )
    plan = solve_sparing(
        remaining.problem,
        _spared(day, remaining),
        solver=solve,
        method=rule.method,
        gap=rule.gap,
        time_limit_s=rule.time_limit_s,
        start=_start(told, remaining),
    )
    steady = _steady(day, state, remaining, plan, told, rule)
    setpoint_a = _ceilings(day, state, remaining, steady, told, rule)
    planned_kw = steady.setpoint_a[remaining.evse] * ampere_kw(remaining.problem)[:, np.newaxis]
    drawn_kwh = step_h * drawn_power_kw(remaining.problem, planned_kw).sum(axis=1)
    unserved_kwh = np.maximum(serveable_kwh(remaining.problem) - drawn_kwh, 0.0)
    return Redispatch(remaining, need, plan, setpoint_a, steady.setpoint_a, unserved_kwh, steady.is_changed)


def _spared(day: Day, remaining: Remaining) -> Spared:
    if day.spared is None:
        return nobody_spared(remaining.problem.n_session, remaining.problem.n_request)
    return day.spared.of(remaining.evse, remaining.request)


def _start(told: Told, remaining: Remaining) -> DispatchPlan | None:
    if told.last is None:
        return None
    plan, problem, since = told.last
    return shift_plan(plan, problem, remaining.problem, n_gone=remaining.now - since)


def _root_bound_kw(day: Day, rule: RollingRule) -> FloatArray:
    """(n_node, n_period) what a root may be lifted to, but where a turn-up asks for more; no bound elsewhere."""
    bound_kw = np.full(day.background_kw.shape, np.inf)
    root = day.problem.node_parent < 0
    bound_kw[root] = valley_kw(day.background_kw[root], level=rule.root_peak_level)
    for request in day.problem.requests:
        if request.direction == TURN_UP:
            bound_kw[:, request.start : request.end] = np.inf
    return bound_kw


def _steady(
    day: Day, state: FleetState, remaining: Remaining, plan: DispatchPlan, told: Told, rule: RollingRule
) -> Steady:
    """(n_evse, n_left) the plan's setpoints, with what was sent put back where it doesn't pay to change it."""
    problem = remaining.problem
    free_a = np.zeros((state.n_evse, problem.n_period), dtype=np.int16)
    free_a[remaining.evse] = plan.setpoint_a
    sent_a = _sent_a(state, told, problem.n_period)
    cap_kw = Network.of(problem).cap_kw
    return keep_told(_believed(day, remaining), free_a, sent_a, cap_kw=cap_kw, change_gbp=rule.change_gbp)


def _sent_a(state: FleetState, told: Told, n_left: int) -> Int16Array:
    """(n_evse, n_sent) what those heard that have an EV and listen."""
    listens = state.is_present & ~state.is_overridden & ~state.is_offline
    return np.where(listens[:, np.newaxis], told.sent_a[:, :n_left], NOTHING_TOLD).astype(np.int16)


def _ceilings(
    day: Day, state: FleetState, remaining: Remaining, steady: Steady, told: Told, rule: RollingRule
) -> Int16Array:
    """(n_evse, n_left) what EVSEs are told: with spare headroom on top, where nothing was sent yet."""
    now = remaining.now
    offered = offer_spare(
        replace(_believed(day, remaining), node_limit_kw=Network.of(remaining.problem).cap_kw),
        steady.setpoint_a,
        is_open=_open(day, state, remaining, steady.setpoint_a, _sent_a(state, told, remaining.problem.n_period), rule),
        order=day.order,
        bound_kw=valley_kw(day.background_kw, level=rule.spare_peak_level)[:, now:],
    )
    # What those may draw that don't listen is off the limits already: one offline may still follow what it heard last,
    # one that was overridden follows nothing and waits to be told anew.
    setpoint_a = np.where(state.is_offline[:, np.newaxis], told.setpoint_a[:, now:], offered.setpoint_a)
    setpoint_a[state.is_overridden] = 0
    _check_held(day, remaining, setpoint_a, (state.is_overridden | state.is_offline)[:, np.newaxis])
    return setpoint_a.astype(np.int16)


def _believed(day: Day, remaining: Remaining) -> DispatchProblem:
    """The remaining problem with a session for every EVSE of the fleet; one in need of nothing where it has none."""
    problem, rest = remaining.problem, rest_of(day.everyone, remaining.now)
    energy_kwh, end = np.zeros(rest.n_session), np.full(rest.n_session, rest.n_period)
    energy_kwh[remaining.evse], end[remaining.evse] = problem.session_energy_kwh, problem.session_end
    return replace(
        rest,
        node_limit_kw=problem.node_limit_kw,
        node_ramp_kw=problem.node_ramp_kw,
        session_end=end,
        session_energy_kwh=energy_kwh,
        session_unserved_gbp_per_kwh=day.unserved_gbp_per_kwh,
        session_tariff=day.tariff,
        price_gbp_per_kwh=problem.price_gbp_per_kwh,
        requests=problem.requests,
        ramp_gbp_per_kwh=problem.ramp_gbp_per_kwh,
    )


def _open(
    day: Day,
    state: FleetState,
    remaining: Remaining,
    setpoint_a: Int16Array,
    sent_a: Int16Array,
    rule: RollingRule,
) -> BoolArray:
    """(n_evse, n_left) where spare may be offered: to EVs that are there for what they're told now, later to all.

    What was sent is not touched: more of it would be a change, too.
    """
    price, now = day.problem.price_gbp_per_kwh[0], remaining.now
    planned_a = np.concatenate([np.zeros((state.n_evse, now), dtype=np.int16), setpoint_a], axis=1)
    is_open = open_periods(price, planned_a, day.problem.requests, share=rule.spare_price_share, spared=day.spared)
    is_open = is_open[:, now:]
    is_open &= ~(state.is_overridden | state.is_offline)[:, np.newaxis]
    is_open[:, : rule.told_periods] &= state.is_present[:, np.newaxis]
    kept = sent_a == setpoint_a[:, : sent_a.shape[1]]
    is_open[:, : sent_a.shape[1]] &= ~kept
    return is_open


def _check_held(day: Day, remaining: Remaining, setpoint_a: Int16Array, is_held: BoolArray) -> None:
    """Add everything up once more: ceilings of those who listen, and what the others may draw.

    Raises:
        CheckFailed: it is above a limit of the day where those who don't listen leave any room at all.
    """
    now, rest = remaining.now, rest_of(day.everyone, remaining.now)
    told_kw = np.where(is_held, 0.0, setpoint_a * ampere_kw(day.everyone)[:, np.newaxis])
    held_kw = add_up(rest, remaining.held_kw)
    left_kw = np.maximum(day.problem.node_limit_kw[:, now:] - held_kw, 0.0)
    over_kw = add_up(rest, told_kw) - left_kw
    worst = float(over_kw.max(initial=0.0))
    if worst > TOLERANCE_KW:
        node, period = (int(at) for at in np.unravel_index(int(np.argmax(over_kw)), over_kw.shape))
        who = str(day.problem.node_ids[node])
        raise CheckFailed(
            f"node {who!r} is over its limit by {worst:.6g} kW in period {now + period} of a re-dispatch",
            node=who,
            period=now + period,
            excess_kw=worst,
        )
