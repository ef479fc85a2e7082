"""Instruct before delivery, settle after it; what was published once is never changed."""

import logging
from dataclasses import replace
from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.types import FloatArray
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from dispatch.models import DispatchRun
from markets.arrays.settlement import (
    PortfolioReadings,
    Portfolios,
    load_instructions,
    load_planned_kw,
    load_portfolio_readings,
    load_portfolios,
)
from markets.arrays.statements import (
    load_totals,
    newest_settlement,
    settlement_with,
    store_instructions,
    store_settlement,
)
from markets.core.baseline import BaselineRule, event_baseline
from markets.core.delivered import Direction
from markets.core.inputs_digest import inputs_sha256
from markets.core.instruct import instructed_kw
from markets.core.settle import SettlementInputs, settle
from markets.models import FlexEvent, Instruction, SettlementRun, Statement
from markets.services.rules import baseline_rule, performance_rule

logger = logging.getLogger(__name__)

METHOD = "scheduled-utilisation-1"


class EventNotOver(FlexError):
    code = "settlement.event_not_over"


class NothingInstructed(FlexError):
    code = "settlement.nothing_instructed"


def instruct_event(*, event: FlexEvent, run: DispatchRun) -> list[Instruction]:
    """Fix, before delivery, what each DSRSP in the zone is to deliver under this run; asking again changes nothing.

    Expected power is the product's baseline without its same-day adjustment, from what was known at the run's time.
    Nobody is instructed for periods of another charging day, nor anything at all where the zone has no EVSE.
    """
    same = Instruction.objects.across_tenants().filter(event=event, run=run)
    if told := list(same.all()):
        return told
    portfolios = load_portfolios(event=event)
    if portfolios.n_unit == 0:
        return []
    rule = replace(baseline_rule(event.product), adjustment_periods=0, min_adjustment_periods=0)
    readings = load_portfolio_readings(event=event, portfolios=portfolios, rule=rule, as_of=run.as_of, with_event=False)
    step_h = readings.history.grid.step_h
    expected_kw = event_baseline(readings.history, rule).baseline_kwh / step_h
    planned_kw = load_planned_kw(event=event, run=run, portfolios=portfolios)
    asked_kw = instructed_kw(expected_kw, planned_kw, target_kw=event.signal.target_kw, direction=direction_of(event))
    with transaction.atomic():
        take_turn("instruct", event.pk, run.pk)
        if told_meanwhile := list(same.all()):
            return told_meanwhile
        told = store_instructions(
            event=event,
            run=run,
            portfolios=portfolios,
            instructed_kw=asked_kw,
            expected_kw=np.nan_to_num(expected_kw),
            planned_kw=np.nan_to_num(planned_kw),
        )
    logger.info(
        "read %d meters and setpoints of run %s; wrote instructions of %.1f kWh to %d DSRSPs for event %s",
        len(portfolios.meter_pks),
        run.pk,
        asked_kw.sum() * step_h,
        portfolios.n_unit,
        event.signal.reference,
    )
    return told


def settle_event(*, event: FlexEvent, run: DispatchRun, as_of: datetime) -> SettlementRun:
    """Settle one event from the readings known at ``as_of``, and publish a statement for each DSRSP.

    The same inputs again give the published run back; others make a new version that supersedes it.

    Raises:
        EventNotOver: ``as_of`` is before the event's end.
        NothingInstructed: no DSRSP was instructed under this run.
    """
    if as_of < event.signal.ends_at:
        raise EventNotOver(
            f"event {event.signal.reference} ends {event.signal.ends_at.isoformat()}, asked as of {as_of.isoformat()}",
            reference=event.signal.reference,
        )
    if not Instruction.objects.across_tenants().filter(event=event, run=run).exists():
        raise NothingInstructed(
            f"nobody was instructed for event {event.signal.reference} under run {run.pk}",
            reference=event.signal.reference,
        )
    portfolios = load_portfolios(event=event)
    rule = baseline_rule(event.product)
    readings = load_portfolio_readings(event=event, portfolios=portfolios, rule=rule, as_of=as_of)
    asked_kw = load_instructions(event=event, run=run, portfolios=portfolios)
    inputs = settlement_inputs(event, portfolios, readings, rule, asked_kw)
    input_sha256 = inputs_sha256(inputs)
    known = settlement_with(event=event, input_sha256=input_sha256, as_of=as_of)
    if known:
        logger.info("event %s has these inputs settled already as v%s", event.signal.reference, known.version)
        return known
    result = settle(inputs)
    with transaction.atomic():
        newest = newest_settlement(event=event, lock=True)
        if settled_meanwhile := settlement_with(event=event, input_sha256=input_sha256, as_of=as_of):
            return settled_meanwhile
        settlement = store_settlement(
            settlement=SettlementRun(
                event=event, dispatch_run=run, as_of=as_of, method=METHOD, input_sha256=input_sha256
            ),
            supersedes=newest,
            portfolios=portfolios,
            result=result,
            n_left_out=readings.n_left_out,
        )
        notes = (*result.findings, *_left_out(portfolios, readings))
        for organisation in portfolios.organisations:
            own = [note for note in notes if note.subject == organisation.code]
            store_findings(notes=own, source=f"settlement:{settlement.pk}", noticed_at=as_of, organisation=organisation)
        _record(settlement, newest)
    logger.info(
        "read %d meters over %d days as of %s; wrote settlement v%d of %s: %s GBP in %d statements",
        len(portfolios.meter_pks),
        len(readings.history.days),
        as_of.isoformat(),
        settlement.version,
        event.signal.reference,
        result.payment_gbp,
        portfolios.n_unit,
    )
    return settlement


def _record(settlement: SettlementRun, last: SettlementRun | None) -> None:
    """Tell the log of its buyer what was published in place of what."""
    event = settlement.event
    record_event(
        action="settlement.published",
        subject=f"settlement of {event.signal.reference} v{settlement.version}",
        organisation=event.product.buyer,
        before=_totals(last) if last else None,
        after=_totals(settlement),
        at=settlement.created_at,
    )


def _totals(settlement: SettlementRun) -> dict[str, object]:
    totals = load_totals(settlements=[settlement])
    return {
        "settlement": settlement.pk,
        "version": settlement.version,
        "as_of": settlement.as_of,
        "input_sha256": settlement.input_sha256,
        "n_statement": Statement.objects.across_tenants().filter(settlement_run=settlement).count(),
        "instructed_kwh": totals.instructed_kwh,
        "delivered_kwh": totals.delivered_kwh,
        "payment_gbp": totals.payment_gbp,
    }


def run_settled_under(*, event: FlexEvent) -> DispatchRun | None:
    """The run whose instructions an event was settled by, if it was."""
    settlement = newest_settlement(event=event)
    return settlement.dispatch_run if settlement else None


def newest_instructed_run(*, event: FlexEvent) -> DispatchRun:
    """The newest run under which DSRSPs were instructed for an event.

    Raises:
        NothingInstructed: there is none.
    """
    instruction = Instruction.objects.across_tenants().filter(event=event).order_by("-run__created_at").first()
    if instruction is None:
        raise NothingInstructed(f"nobody was instructed for event {event.signal.reference}")
    return instruction.run


def settlement_inputs(
    event: FlexEvent, portfolios: Portfolios, readings: PortfolioReadings, rule: BaselineRule, asked_kw: FloatArray
) -> SettlementInputs:
    """Everything one event's settlement computes with."""
    return SettlementInputs(
        unit_ids=portfolios.unit_ids,
        direction=direction_of(event),
        instructed_kw=asked_kw,
        price_gbp_per_mwh=(event.price_gbp_per_mwh,) * portfolios.n_unit,
        history=readings.history,
        metered_kwh=readings.metered_kwh,
        baseline_rule=rule,
        performance_rule=performance_rule(event.product),
    )


def direction_of(event: FlexEvent) -> Direction:
    return "turn_down" if event.signal.direction == "turn_down" else "turn_up"


def _left_out(portfolios: Portfolios, readings: PortfolioReadings) -> list[FindingNote]:
    return [
        FindingNote(
            "settlement.meters_left_out",
            portfolios.unit_ids[unit],
            f"{int(readings.n_left_out[unit])} meters have no reading in part of the event: they deliver nothing",
            details={"n_meter": int(readings.n_left_out[unit])},
        )
        for unit in np.flatnonzero(readings.n_left_out)
    ]
