"""A setpoint explained with its user's plan in it, and of the network what the reader may know."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from aggregator.core.display import number
from aggregator.core.timegrid import LONDON, TimeGrid
from dispatch.arrays.explain import Standing, load_standing
from dispatch.core.cause import Cause, Element, find_cause
from dispatch.core.explain import Coarseness, PeriodReason, Reason, SessionReasons, explain_session
from dispatch.core.explain_words import UPSTREAM, Names, element_words, reason_words
from dispatch.core.explanation import CauseLine, ExplainedPeriod, Explanation, LimitLine, RequestLine, Unserved
from dispatch.core.rounding import ampere_kw, least_a
from dispatch.models import IssuedSetpoint, Setpoint
from dispatch.services.explain_shared import NEAR_GBP_PER_KWH, parameters_of, price_of, title

MOST_CAUSE_S = 5.0
SHOWN_KWH = 0.005
HELD_KW = 1e-6  # less is rounding of sums
HOLDING = frozenset({Reason.HELD_BY_LIMIT, Reason.HELD_BY_TURN_DOWN, Reason.HELD_BY_RAMP, Reason.NO_ROOM})


@dataclass(frozen=True, slots=True)
class Reader:
    """What of the network a reader may know.

    Attributes:
        named: codes of nodes whose limits may be named.
        priced: codes of nodes whose prices may be told.
        references: requests that may be named, by key of the signal.
    """

    named: frozenset[str]
    priced: frozenset[str]
    references: frozenset[int]


def explain_whole(
    setpoint: Setpoint, issued: IssuedSetpoint | None, reader_of: Callable[[Standing], Reader]
) -> Explanation:
    """The explanation with the user's plan in it, of the network what the reader may know."""
    run = setpoint.run
    parameters = parameters_of(run)
    price = price_of(run, parameters)
    standing = load_standing(setpoint=setpoint, price_gbp_per_kwh=price, parameters=parameters)
    reader = reader_of(standing)
    names = _names(standing, reader, run.grid)
    reasons = _reasons(standing) if standing.session >= 0 else None
    cause = _cause(standing) if standing.session >= 0 else None
    periods = tuple(_period(t, setpoint, issued, standing, reasons, reader, names) for t in range(run.n_period))
    unserved = None if cause is None else _unserved(cause, standing, names, run.grid)
    return Explanation(
        run=run.pk,
        area=run.area.code,
        charging_day=run.charging_day,
        evse=setpoint.evse.pseudonym,
        node=setpoint.evse.node.code,
        grid=run.grid,
        is_whole=True,
        energy_kwh=setpoint.energy_kwh,
        unserved_kwh=setpoint.unserved_kwh,
        unserveable_kwh=setpoint.unserveable_kwh,
        worth_gbp_per_kwh=reasons.worth_gbp_per_kwh if reasons and names.with_prices else None,
        summary=tuple(_summary(setpoint, unserved)),
        unserved=unserved,
        periods=periods,
    )


def _reasons(standing: Standing) -> SessionReasons:
    problem, at = standing.problem, standing.session
    unit_kw = float(ampere_kw(problem)[at])
    return explain_session(
        problem,
        standing.network,
        session=at,
        power_kw=standing.power_kw[at],
        grid=standing.grid,
        coarseness=Coarseness(NEAR_GBP_PER_KWH, unit_kw, problem.step_h * unit_kw * float(least_a(problem)[at])),
    )


def _cause(standing: Standing) -> Cause:
    started_s = perf_counter()
    return find_cause(
        standing.problem,
        standing.network,
        session=standing.session,
        power_kw=standing.power_kw,
        held_kw=standing.held_kw,
        least_kw=float(ampere_kw(standing.problem)[standing.session] * least_a(standing.problem)[standing.session]),
        is_late=lambda: perf_counter() - started_s > MOST_CAUSE_S,
    )


def _names(standing: Standing, reader: Reader, grid: TimeGrid) -> Names:
    return Names(
        nodes=[title(row.node) if row.node.code in reader.named else "" for row in standing.nodes],
        requests=[one.signal.reference if one.signal_id in reader.references else "" for one in standing.requests],
        clock=_clock(grid),
        with_prices=bool(reader.priced),
    )


def _clock(grid: TimeGrid) -> list[str]:
    """Local time of each boundary, with its day where it is another than the first."""
    local = [(grid.starts_at + index * grid.step).astimezone(LONDON) for index in range(grid.n_period + 1)]
    return [f"{at:%H:%M}" if at.date() == local[0].date() else f"{at:%a %H:%M}" for at in local]


def _period(
    t: int,
    setpoint: Setpoint,
    issued: IssuedSetpoint | None,
    standing: Standing,
    reasons: SessionReasons | None,
    reader: Reader,
    names: Names,
) -> ExplainedPeriod:
    one = reasons.periods[t] if reasons else None
    totals = [period.total_gbp_per_kwh for period in reasons.periods] if reasons else []
    reason = one.reason if one else Reason.NOT_PLUGGED_IN
    starts_at = setpoint.run.grid.starts_at + t * setpoint.run.grid.step
    return ExplainedPeriod(
        starts_at=starts_at,
        ends_at=starts_at + setpoint.run.grid.step,
        setpoint_a=setpoint.setpoint_a[t],
        setpoint_kw=setpoint.setpoint_kw[t],
        told_kw=issued.setpoint_kw[t] if issued else None,
        planned_kw=setpoint.planned_kw[t],
        tariff_gbp_per_kwh=float(standing.problem.price_gbp_per_kwh[0, t]),
        limits=_limit_lines(standing, reader, names, one),
        requests=_request_lines(standing, t, reader, one),
        ramp_gbp_per_kwh=_ramp(one) if names.with_prices else None,
        cost_gbp_per_kwh=one.total_gbp_per_kwh if one and names.with_prices else None,
        reason=reason.value,
        words=reason_words(one, names, totals) if one else "no session was planned",
        note=_note(setpoint, issued, t),
        is_held=reason in HOLDING,
    )


def _limit_lines(standing: Standing, reader: Reader, names: Names, one: PeriodReason | None) -> tuple[LimitLine, ...]:
    """Limits that add to the session's cost in the period; one that may not be named is upstream."""
    full = () if one is None or one.reason != Reason.NO_ROOM or one.because is None else (one.because,)
    found = []
    for charge in (*one.charges, *full) if one else ():
        if charge.kind == "limit" and (charge.gbp_per_kwh > NEAR_GBP_PER_KWH or charge in full):
            row = standing.nodes[charge.node].node
            is_named = row.code in reader.named
            price = charge.gbp_per_kwh if row.code in reader.priced else None
            found.append(LimitLine(row.code if is_named else "", names.nodes[charge.node] or UPSTREAM, price))
    # Two limits without a name are one to the reader: how many there are is of the network.
    return tuple(dict.fromkeys(found))


def _request_lines(standing: Standing, t: int, reader: Reader, one: PeriodReason | None) -> tuple[RequestLine, ...]:
    """Requests in force at nodes on the path; to who may not know them only those that bear on the session."""
    put = {charge.request: charge.gbp_per_kwh for charge in (one.charges if one else ()) if charge.request >= 0}
    on_path = {standing.nodes[at].node_id for at in standing.path}
    found = []
    for index, request in enumerate(standing.requests):
        if not request.start_period <= t < request.end_period or request.signal.node_id not in on_path:
            continue
        node = request.signal.node.code
        direction = request.signal.direction
        if request.signal_id in reader.references:
            found.append(RequestLine(request.signal.reference, direction, node, put.get(index, 0.0)))
        elif abs(put.get(index, 0.0)) > NEAR_GBP_PER_KWH:
            found.append(RequestLine("", direction, node if node in reader.named else "", None))
    return tuple(dict.fromkeys(found))


def _ramp(one: PeriodReason | None) -> float:
    return sum(charge.gbp_per_kwh for charge in one.charges if charge.kind == "ramp") if one else 0.0


def _note(setpoint: Setpoint, issued: IssuedSetpoint | None, t: int) -> str:
    """What the ceiling holds beside the plan."""
    if issued is not None and issued.setpoint_kw[t] != setpoint.setpoint_kw[t]:
        if issued.setpoint_kw[t] == 0:
            return "told 0: no car when the period began"
        return f"told {number(issued.setpoint_kw[t], 2)} kW: spare of EVSEs without a car"
    if setpoint.setpoint_kw[t] > setpoint.planned_kw[t] + 1e-6:
        return f"spare headroom offered: at most {number(setpoint.setpoint_kw[t], 2)} kW"
    return ""


def _unserved(cause: Cause, standing: Standing, names: Names, grid: TimeGrid) -> Unserved:
    is_all = standing.held_kw.max(initial=0.0) <= HELD_KW
    outside = ""
    if not is_all:
        outside = standing.free_under.code if standing.free_under else standing.nodes[standing.path[0]].node.code
    lines = tuple(_cause_line(element, standing, names, grid) for element in cause.elements)
    return Unserved(cause.verdict, tuple(dict.fromkeys(lines)), cause.is_reduced, outside)


def _cause_line(element: Element, standing: Standing, names: Names, grid: TimeGrid) -> CauseLine:
    n_evse = len(element.sessions) if element.sessions and names.with_prices else None
    is_named = element.node >= 0 and bool(names.nodes[element.node])
    return CauseLine(
        kind=element.kind,
        node=standing.nodes[element.node].node.code if is_named else "",
        reference=names.requests[element.request] if element.request >= 0 else "",
        starts_at=grid.starts_at + element.start * grid.step,
        ends_at=grid.starts_at + element.end * grid.step,
        n_evse=n_evse,
        words=element_words(element, names, n_evse),
    )


def _summary(setpoint: Setpoint, unserved: Unserved | None) -> list[str]:
    if unserved is None:
        return ["No session of this EVSE was planned in this run; what it is offered is spare headroom."]
    asked = setpoint.energy_kwh + setpoint.unserveable_kwh
    found = []
    if unserved.verdict == "limits":
        causes = "; ".join(cause.words for cause in unserved.causes)
        found.append(f"Unserved {number(setpoint.unserved_kwh, 2)} of {number(asked, 2)} kWh because: {causes}.")
        found.append(
            "Without any one of these it could have had all its energy."
            if unserved.is_irreducible
            else "Time ran out before each of these was tried: some may not matter."
        )
        if unserved.held_outside:
            found.append(f"EVSEs not under {unserved.held_outside} were taken to keep to their plan.")
    elif setpoint.unserved_kwh > SHOWN_KWH:
        kwh = f"{number(setpoint.unserved_kwh, 2)} of {number(asked, 2)} kWh"
        found.append(f"Unserved {kwh}, which no limit forces: whole amperes, ramps or the plan's gap took it.")
    if setpoint.unserveable_kwh > SHOWN_KWH:
        kwh = number(setpoint.unserveable_kwh, 2)
        found.append(f"{kwh} of {number(asked, 2)} kWh could not be served by any plan: its window is too short.")
    return found or [f"It gets all of the {number(asked, 2)} kWh asked for."]
