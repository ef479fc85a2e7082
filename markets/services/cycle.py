"""The day-ahead cycle of an area: forecast, dispatch, deliver, settle; each step also stands on its own."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.arrays.forecasts import load_expectation
from aggregator.arrays.network import find_node
from aggregator.arrays.prices import find_tariff, load_prices_gbp_per_kwh
from aggregator.core.availability import PlanningRule
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import charging_day, utc
from aggregator.core.types import FloatArray
from aggregator.models import AvailabilityForecast
from aggregator.services.forecasts import forecast_area
from aggregator.services.turns import take_turn
from dispatch.core.assemble import RunParameters
from dispatch.core.network import share_matrix
from dispatch.core.spare import fleet_problem
from dispatch.models import DispatchRun
from dispatch.services.delivery import DeliveredDay, deliver_day
from dispatch.services.runs import run_dispatch
from markets.arrays.cycles import (
    RunFigures,
    count_findings,
    finding_sources,
    load_actual_background_kw,
    load_events,
    load_run_figures,
    store_cycle_nodes,
)
from markets.arrays.statements import load_totals
from markets.core.summary import DayCurves, energy_cost_gbp
from markets.models import CycleRun, FlexEvent, SettlementRun
from markets.services.settlement import instruct_event, run_settled_under, settle_event

logger = logging.getLogger(__name__)

KNOWN_AT = time(18)  # London clock, the day before: when a day-ahead plan is made
SETTLED_AFTER = timedelta(hours=2)
LONGEST_REASON = 500
STEPS = ("forecast", "dispatch", "instruct", "deliver", "settle", "summarise")

Summary = dict[str, float | int | str | dict[str, int]]


@dataclass(frozen=True, slots=True)
class CycleOrder:
    """What a cycle is asked to do.

    Attributes:
        as_of: what was known by then is all that forecast and plan may use.
        now: sessions known by then are the ones that really happened.
    """

    area_code: str
    day: date
    tariff_code: str
    as_of: datetime
    now: datetime
    rule: PlanningRule | None = None
    parameters: RunParameters | None = None


def day_ahead(day: date) -> datetime:
    """When the plan for a charging day is made: 18:00 London the day before."""
    return utc(day - timedelta(days=1), KNOWN_AT)


def run_cycle(*, order: CycleOrder, on_step: Callable[[str], None] = lambda _step: None) -> CycleRun:
    """Run every step for one area and charging day; the same order again gives the same result.

    A failed step is kept on the cycle's row with its reason, and raised.
    """
    cycle = _open(order)
    try:
        settlements = _run_steps(cycle, order, on_step)
    except Exception as error:
        _close(cycle, CycleRun.State.FAILED, order.now, error=_reason(error))
        raise
    with transaction.atomic():
        take_turn("cycle", cycle.pk)
        cycle.settlement_runs.set(settlements)
        _close(cycle, CycleRun.State.DONE, order.now)
    return cycle


def _reason(error: Exception) -> str:
    """What a failed cycle says of itself; an error nobody anticipated is named, too."""
    text = str(error) if isinstance(error, FlexError) else f"{type(error).__name__}: {error}"
    return text.replace("\x00", "")[:LONGEST_REASON]


def run_cycle_job(*, area: str, day: str, tariff: str, now: datetime, as_of: str = "") -> dict[str, object]:
    """The cycle as a job: plain words in, plain words out."""
    charging_date = date.fromisoformat(day)
    known_at = datetime.fromisoformat(as_of) if as_of else day_ahead(charging_date)
    order = CycleOrder(area_code=area, day=charging_date, tariff_code=tariff, as_of=known_at, now=now)
    cycle = run_cycle(order=order)
    return {"cycle": cycle.pk, "payment_gbp": cycle.summary["payment_gbp"]}


def _open(order: CycleOrder) -> CycleRun:
    cycle, _ = CycleRun.objects.update_or_create(
        charging_day=order.day,
        area=find_node(order.area_code),
        as_of=order.as_of,
        defaults={
            "state": CycleRun.State.RUNNING,
            "error": "",
            "started_at": order.now,
            "finished_at": None,
            # What an earlier pass found is not this one's: a step that fails must not show old figures.
            "forecast": None,
            "run": None,
            "delivery_batch": None,
            "summary": {},
        },
    )
    return cycle


def _close(cycle: CycleRun, state: CycleRun.State, now: datetime, *, error: str = "") -> None:
    cycle.state, cycle.error, cycle.finished_at = state, error, now
    cycle.save()


def _run_steps(cycle: CycleRun, order: CycleOrder, on_step: Callable[[str], None]) -> list[SettlementRun]:
    grid = charging_day(order.day)
    on_step("forecast")
    forecast = forecast_area(area_code=order.area_code, day=order.day, as_of=order.as_of, rule=order.rule)
    on_step("dispatch")
    run = run_dispatch(forecast=forecast, as_of=order.as_of, tariff_code=order.tariff_code, parameters=order.parameters)
    cycle.forecast, cycle.run = forecast, run
    cycle.save()
    on_step("instruct")
    events = load_events(run=run)
    # What was settled once keeps the run it was instructed under: nobody is instructed after the fact.
    under = {event.pk: run_settled_under(event=event) or run for event in events}
    told = [event for event in events if instruct_event(event=event, run=under[event.pk])]
    due = [event for event in told if event.signal.ends_at <= grid.ends_at]
    on_step("deliver")
    delivered = deliver_day(run=run, as_of=order.now)
    on_step("settle")
    settled_at = grid.ends_at + SETTLED_AFTER
    settlements = [settle_event(event=event, run=under[event.pk], as_of=settled_at) for event in due]
    on_step("summarise")
    figures = load_run_figures(run=run, area=delivered.area)
    parts = _Parts(forecast, run, figures, delivered, settlements)
    with transaction.atomic():
        take_turn("cycle", cycle.pk)
        store_findings(notes=_not_settled(events, due), source=f"cycle:{cycle.pk}", noticed_at=order.now)
        cycle.delivery_batch = delivered.batches[0] if delivered.batches else None
        curves = _store_curves(cycle, order, parts)
        cycle.summary = _summary(cycle, order, parts, curves)
        cycle.save()
    return settlements


def _not_settled(events: Sequence[FlexEvent], due: Sequence[FlexEvent]) -> list[FindingNote]:
    """Why an event has no statement yet: it goes on into the next charging day, or nobody is there to take part."""
    return [
        FindingNote(
            "cycle.event_not_settled",
            event.signal.reference,
            f"{event.signal.reference} is not settled with this charging day: it goes on until "
            f"{event.signal.ends_at.isoformat()}, or no EVSE is enrolled under {event.signal.node.code}",
            details={"ends_at": event.signal.ends_at.isoformat(), "node": event.signal.node.code},
        )
        for event in events
        if event not in due
    ]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the steps of one cycle made."""

    forecast: AvailabilityForecast
    run: DispatchRun
    figures: RunFigures
    delivered: DeliveredDay
    settlements: list[SettlementRun]


def _store_curves(cycle: CycleRun, order: CycleOrder, parts: _Parts) -> DayCurves:
    delivered = parts.delivered
    area, fleet, grid = delivered.area, delivered.fleet, delivered.grid
    shares = share_matrix(fleet_problem(area, fleet, grid, np.full((area.n_node, grid.n_period), np.inf)))
    curves = DayCurves(
        rating_kw=parts.figures.rating_kw,
        background_kw=load_actual_background_kw(area=area, grid=grid, as_of=order.now),
        uncontrolled_kw=np.asarray(shares @ delivered.uncontrolled_kwh) / grid.step_h,
        metered_kw=np.asarray(shares @ delivered.delivery.energy_kwh) / grid.step_h,
    )
    n_evse = np.asarray((shares > 0).astype(np.float64).sum(axis=1)).ravel()
    store_cycle_nodes(cycle=cycle, area=area, n_evse=n_evse, curves=curves)
    store_findings(notes=_over_rating(area, curves), source=f"cycle:{cycle.pk}", noticed_at=order.now)
    return curves


def _over_rating(area: NetworkArea, curves: DayCurves) -> list[FindingNote]:
    """An alarm for each node that was over its rating although it was dispatched."""
    over_kw = curves.total_kw(curves.metered_kw) - curves.rating_kw[:, np.newaxis]
    return [
        FindingNote(
            "network.over_rating",
            str(area.codes[node]),
            f"{area.codes[node]} was over its rating in {int((over_kw[node] > 1e-6).sum())} periods, "
            f"by {over_kw[node].max():.1f} kW at most",
            severity="alarm",
            details={"over_kw": float(over_kw[node].max()), "n_period": int((over_kw[node] > 1e-6).sum())},
        )
        for node in np.flatnonzero((over_kw > 1e-6).any(axis=1))
    ]


def _summary(cycle: CycleRun, order: CycleOrder, parts: _Parts, curves: DayCurves) -> Summary:
    run, figures, grid = parts.run, parts.figures, parts.delivered.grid
    expected = load_expectation(forecast=parts.forecast)
    totals = load_totals(settlements=parts.settlements)
    tariff = find_tariff(order.tariff_code)
    price = load_prices_gbp_per_kwh(tariff=tariff, grid=grid, as_of=order.as_of).values
    return {
        "n_session_planned": expected.n_planned,
        "n_session_forecast": round(expected.n_expected, 1),
        **_delivery_figures(parts.delivered),
        **_node_figures(parts.delivered, curves),
        "energy_planned_kwh": float(figures.planned_kw.sum() * grid.step_h),
        "peak_planned_kw": float(figures.planned_kw.max()),
        **_cost_figures(curves, price, grid.step_h),
        "shortfall_kwh": figures.shortfall_kwh,
        "cost_gbp": run.cost_gbp,
        "lower_bound_gbp": run.lower_bound_gbp,
        "gap": run.gap,
        "rung": run.rung,
        "max_violation_kw": run.max_violation_kw,
        "instructed_kwh": totals.instructed_kwh,
        "delivered_volume_kwh": totals.delivered_kwh,
        "payment_gbp": float(totals.payment_gbp),  # to show; the exact sum is in the statements
        "findings": count_findings(sources=finding_sources(cycle=cycle, settlements=parts.settlements)),
    }


def _delivery_figures(delivered: DeliveredDay) -> Summary:
    delivery = delivered.delivery
    return {
        "n_evse": delivered.fleet.n_evse,
        "n_session": int((~delivery.is_absent).sum()),
        "n_override": int(delivery.is_overridden.sum()),
        "n_no_show": int(delivery.is_absent.sum()),
        "energy_asked_kwh": float(delivery.asked_kwh.sum()),
        "energy_delivered_kwh": float(delivery.delivered_kwh.sum()),
        "energy_unserved_kwh": float(delivery.unserved_kwh.sum()),
    }


def _cost_figures(curves: DayCurves, price_gbp_per_kwh: FloatArray, step_h: float) -> Summary:
    """What the area's energy cost at the tariff, in all and a kWh: dispatch may serve less of it."""
    figures: Summary = {}
    for name, power_kw in (("uncontrolled", curves.uncontrolled_kw[0]), ("metered", curves.metered_kw[0])):
        cost_gbp, energy_kwh = energy_cost_gbp(power_kw, price_gbp_per_kwh, step_h), float(power_kw.sum() * step_h)
        figures[f"cost_{name}_gbp"] = cost_gbp
        figures[f"cost_{name}_gbp_per_kwh"] = cost_gbp / energy_kwh if energy_kwh else 0.0
    return figures


def _node_figures(delivered: DeliveredDay, curves: DayCurves) -> Summary:
    """The area's peaks, and the node that needs dispatch most."""
    figures: Summary = {
        "peak_uncontrolled_kw": float(curves.uncontrolled_kw[0].max()),
        "peak_metered_kw": float(curves.metered_kw[0].max()),
        "network_peak_uncontrolled_kw": float(curves.total_kw(curves.uncontrolled_kw)[0].max()),
        "network_peak_metered_kw": float(curves.total_kw(curves.metered_kw)[0].max()),
        "n_node_over_uncontrolled": curves.n_over(curves.uncontrolled_kw),
        "n_node_over_metered": curves.n_over(curves.metered_kw),
    }
    tightest = curves.tightest()
    if tightest is None:
        return figures
    return {
        **figures,
        "tightest_node": str(delivered.area.codes[tightest]),
        "tightest_rating_kw": float(curves.rating_kw[tightest]),
        "tightest_peak_uncontrolled_kw": float(curves.total_kw(curves.uncontrolled_kw)[tightest].max()),
        "tightest_peak_metered_kw": float(curves.total_kw(curves.metered_kw)[tightest].max()),
    }
