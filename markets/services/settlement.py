"""Instruct before delivery, settle after it; what was published once is never changed."""

import logging
from dataclasses import replace
from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from dispatch.models import DispatchRun
from markets.arrays.baseline_facts import load_baseline_facts
from markets.arrays.run_codes import load_run_codes
from markets.arrays.settled_days import store_settled_days
from markets.arrays.settlement import (
    Portfolios,
    ReadEvent,
    event_grid,
    load_planned_kw,
    load_portfolio_readings,
    load_portfolios,
    order_of,
)
from markets.arrays.statements import (
    load_totals,
    newest_settlement,
    settlement_with,
    store_instructions,
    store_statements,
)
from markets.core.baseline import BaselineRule
from markets.core.baseline_given import ControlGroupRule
from markets.core.baseline_methods import BaselineFacts, Rule, baseline_kwh, history_rule, method_rule
from markets.core.control_group import held_out_kw
from markets.core.instruct import instructed_kw
from markets.core.run_codes import check_code, next_code
from markets.core.settle import SettlementResult
from markets.models import FlexEvent, Instruction, Product, SettlementLink, SettlementRun, Statement
from markets.services.causes import explain_settlement, store_explanation
from markets.services.rules import baseline_method
from markets.services.settlement_load import LoadedEvent, direction_of, left_out, load_event
from markets.services.settlement_pay import claim_and_settle
from markets.services.settlement_reasons import store_reasons
from markets.services.software import software

logger = logging.getLogger(__name__)

CANCELLED = "cancelled"  # state of an order
METHOD = "scheduled-utilisation-1"
BEFOREHAND = "rolling-10-in-10"  # what a portfolio with a control group is expected to draw


class EventNotOver(FlexError):
    code = "settlement.event_not_over"


class NothingInstructed(FlexError):
    code = "settlement.nothing_instructed"


def instruct_event(*, event: FlexEvent, run: DispatchRun) -> list[Instruction]:
    """Fix, before delivery, what each DSRSP in the zone is to deliver under this run; asking again changes nothing.

    Under an order that is the power ordered, and of its DSRSP alone; a cancelled order instructs nothing. A DSRSP that
    is called alone takes by itself what the request needs. Expected power is the baseline without its same-day
    adjustment, from what was known at the run's time. Nobody is instructed for periods of another charging day, nor
    anything at all where the zone has no EVSE.
    """
    same = Instruction.objects.across_tenants().filter(event=event, run=run)
    if told := list(same.all()):
        return told
    portfolios, order = load_portfolios(event=event), order_of(event)
    if portfolios.n_unit == 0 or (order is not None and order.state == CANCELLED):
        return []
    expected_kw = expected_power_kw(event=event, portfolios=portfolios, as_of=run.as_of)
    planned_kw = load_planned_kw(event=event, run=run, portfolios=portfolios)
    if order is None:
        others_kw = expected_held_out_kw(expected_kw, portfolios).sum(axis=0) + _not_called_kw(event, run)
        asked_kw = instructed_kw(
            expected_kw,
            planned_kw,
            target_kw=np.maximum(event.signal.target_kw - others_kw, 0.0),
            direction=direction_of(event),
        )
    else:
        asked_kw = np.where(np.isnan(planned_kw), 0.0, np.array(order.power_kw))
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
            order=order,
        )
    logger.info(
        "read %d meters and setpoints of run %s; wrote instructions of %.1f kWh to %d DSRSPs for event %s",
        len(portfolios.meter_pks),
        run.pk,
        asked_kw.sum() * event_grid(event.signal).step_h,
        portfolios.n_unit,
        event.signal.reference,
    )
    return told


def _not_called_kw(event: FlexEvent, run: DispatchRun) -> FloatArray | float:
    """(n_period,) power expected of the other DSRSPs in the zone where one is called alone: they go on as they do."""
    if event.dsrsp_id is None:
        return 0.0
    zone = load_portfolios(event=event, of_zone=True)
    expected_kw = expected_power_kw(event=event, portfolios=zone, as_of=run.as_of)
    of_all_kw = np.nan_to_num(expected_kw) + expected_held_out_kw(expected_kw, zone)
    is_called = np.array([one.pk == event.dsrsp_id for one in zone.organisations], dtype=np.bool_)
    others_kw: FloatArray = of_all_kw[~is_called].sum(axis=0)
    return others_kw


def expected_power_kw(*, event: FlexEvent, portfolios: Portfolios, as_of: datetime) -> FloatArray:
    """(n_unit, n_period) power expected before an event, which may be unstored; NaN where too little is known."""
    method = _method_beforehand(event.product)
    rule = replace(history_rule(method), adjustment_periods=0, min_adjustment_periods=0)
    readings = load_portfolio_readings(event=event, portfolios=portfolios, rule=rule, as_of=as_of, with_event=False)
    grid, facts = readings.history.grid, BaselineFacts()
    if isinstance(method, BaselineRule):
        method = rule
    else:
        facts = load_baseline_facts(event=event, method=method, portfolios=portfolios, evses=None, as_of=as_of)
    expected_kw: FloatArray = baseline_kwh(method, readings.history, facts).baseline_kwh / grid.step_h
    return expected_kw


def expected_held_out_kw(expected_kw: FloatArray, portfolios: Portfolios) -> FloatArray:
    """(n_unit, n_period) power expected of the control groups' EVSEs in the zone, which count to its target too."""
    held_out = portfolios.held_out
    return held_out_kw(
        expected_kw,
        n_called=np.bincount(portfolios.unit, minlength=portfolios.n_unit),
        n_held_out=np.bincount(held_out.unit[held_out.in_zone], minlength=portfolios.n_unit),
    )


def _method_beforehand(product: Product) -> Rule:
    """The product's method, or where it compares with a control group, which has drawn nothing yet, like days."""
    method = baseline_method(product)
    return method_rule(BEFOREHAND) if isinstance(method, ControlGroupRule) else method


def settle_event(
    *,
    event: FlexEvent,
    run: DispatchRun,
    as_of: datetime,
    run_code: str | None = None,
    read: ReadEvent | None = None,
) -> SettlementRun:
    """Settle one event from the readings known at ``as_of``, and publish a statement for each DSRSP.

    The same inputs again give the published run back; others make a new version that supersedes it. A run that is
    named is published even where it settles what the one before did, and it is never settled twice.

    Args:
        run_code: the run's name, of the table of run codes; None is the first run's or the next rerun's.
        read: what was read of the event beforehand, as known at ``as_of`` (``markets.services.month_read``).

    Raises:
        EventNotOver: ``as_of`` is before the event's end.
        NothingInstructed: no DSRSP was instructed under this run.
        UnknownRunCode, RunCodeUsed, RunCodeOutOfOrder: the name is none that this run may have.
    """
    _refuse_to_settle(event, run, as_of)
    loaded = load_event(event=event, run=run, as_of=as_of, read=read)
    known = _stands_for(event, loaded, as_of, run_code)
    if known:
        logger.info("event %s has these inputs settled already as v%s", event.signal.reference, known.version)
        return known
    with transaction.atomic():
        newest = newest_settlement(event=event, lock=True)
        if settled_meanwhile := _stands_for(event, loaded, as_of, run_code):
            return settled_meanwhile
        settlement = SettlementRun.objects.create(
            event=event,
            dispatch_run=run,
            code=_code(event, run_code),
            version=newest.version + 1 if newest else 1,
            supersedes=newest,
            as_of=as_of,
            method=METHOD,
            input_sha256=loaded.input_sha256,
            input_digests=loaded.input_digests,
            software=software(),
        )
        # A month's events are read in one pass, and no meter again for each: explain_settlements does that when asked.
        result = _publish(settlement, loaded, explains=read is None)
        # By key: the database makes the link, so the settlement at hand must not hold a link without hashes.
        SettlementLink(settlement_run_id=settlement.pk).save(force_insert=True)
        _record(settlement, newest)
    logger.info(
        "read %d meters over %d days as of %s; wrote settlement v%d of %s: %s GBP in %d statements",
        len(loaded.portfolios.meter_pks),
        len(loaded.readings.history.days),
        as_of.isoformat(),
        settlement.version,
        event.signal.reference,
        result.payment_gbp,
        loaded.portfolios.n_unit,
    )
    return settlement


def _refuse_to_settle(event: FlexEvent, run: DispatchRun, as_of: datetime) -> None:
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


def _publish(settlement: SettlementRun, loaded: LoadedEvent, *, explains: bool) -> SettlementResult:
    """Claim and settle what was loaded, and store all that a settlement is kept with."""
    portfolios, readings, event = loaded.portfolios, loaded.readings, settlement.event
    paid = claim_and_settle(settlement=settlement, loaded=loaded)
    result, found = paid.result, paid.claimed.findings
    store_statements(settlement=settlement, portfolios=portfolios, result=result, n_left_out=readings.n_left_out)
    store_reasons(settlement=settlement, portfolios=portfolios, readings=readings)
    if readings.evses is not None:
        store_settled_days(
            settlement=settlement, portfolios=portfolios, evses=readings.evses, direction=direction_of(event)
        )
    if explains:
        why = explain_settlement(
            event=event, run=settlement.dispatch_run, portfolios=portfolios, result=result, as_of=settlement.as_of
        )
        store_explanation(settlement=settlement, portfolios=portfolios, explanation=why)
        found = (*found, *why.findings)
    notes = (*result.findings, *found, *left_out(portfolios, readings))
    for organisation in portfolios.organisations:
        own = [note for note in notes if note.subject == organisation.code]
        source = f"settlement:{settlement.pk}"
        store_findings(notes=own, source=source, noticed_at=settlement.as_of, organisation=organisation)
    return result


def _stands_for(event: FlexEvent, loaded: LoadedEvent, as_of: datetime, run_code: str | None) -> SettlementRun | None:
    """The published run that already says what is asked for, if there is one."""
    if run_code is None:
        return settlement_with(event=event, input_sha256=loaded.input_sha256, as_of=as_of)
    same = SettlementRun.objects.filter(event=event, code=run_code, input_sha256=loaded.input_sha256)
    return same.first()


def _code(event: FlexEvent, run_code: str | None) -> str:
    """What the next run of an event is called."""
    used = list(SettlementRun.objects.filter(event=event).order_by("version").values_list("code", flat=True))
    if run_code is None:
        return next_code(used)
    check_code(run_code, used, load_run_codes())
    return run_code


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
