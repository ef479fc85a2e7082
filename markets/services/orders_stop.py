"""Stop an order under delivery, or cancel one before it: what was asked from then on is asked no more.

No second person is needed: a stop only gives EVs back what they would have drawn, and must not wait.
"""

from datetime import datetime

from django.db import transaction

from aggregator.core.timegrid import charging_day
from aggregator.models import Job, Organisation, actor, as_platform
from aggregator.services.jobs import enqueue
from dispatch.models import TargetSignal
from markets.models import FlexEvent, FlexOrder, Instruction, InstructionStop
from markets.services.orders_events import lock_order
from markets.services.orders_shared import move, reason_of, record, standing
from markets.services.redispatch import JOB_KIND, NoTariff, area_to_dispatch


def stop_order(*, organisation: Organisation, reference: str, reason: str, now: datetime) -> FlexOrder:
    """Stop a dispatched order in its window: from now on nothing is instructed under it.

    Settlement counts what was instructed up to then, of a settlement period its share. The zone is dispatched anew
    without the request.

    Raises:
        UnknownTrade: the organisation has no such order.
        TransitionRefused: it is not dispatched, or not in its window.
    """
    return _end(organisation, reference, "stop", reason, now)


def cancel_order(*, organisation: Organisation, reference: str, reason: str, now: datetime) -> FlexOrder:
    """Cancel an order before its window: nothing is instructed under it, and nothing paid.

    Raises:
        UnknownTrade: the organisation has no such order.
        TransitionRefused: its window has started, or it was stopped or cancelled already.
    """
    return _end(organisation, reference, "cancel", reason, now)


def _end(organisation: Organisation, reference: str, event: str, reason: str, now: datetime) -> FlexOrder:
    said = reason_of(reason)
    with transaction.atomic(), as_platform():
        order = lock_order(organisation=organisation, reference=reference)
        before = standing(order, now=now)
        move(order, event, organisation=organisation, now=now)
        order.stopped_at = now
        order.save(update_fields=["stopped_at"])
        jobs = _withdraw(order.event, said, now) if order.event else []
        facts = {"stopped_at": now, "jobs": [job.pk for job in jobs]}
        record(order, event, organisation=organisation, now=now, reason=said, before=before, facts=facts)
    return order


def _withdraw(event: FlexEvent, reason: str, now: datetime) -> list[Job]:
    """Take an order's request out of later runs, and stop what was instructed for it."""
    signal = event.signal
    TargetSignal.objects.filter(pk=signal.pk).update(withdrawn_at=now)
    told = Instruction.objects.across_tenants().filter(event=event)
    InstructionStop.objects.across_tenants().bulk_create(
        InstructionStop(
            instruction=instruction,
            organisation_id=instruction.organisation_id,
            stopped_at=now,
            recorded_at=now,
            by=actor()[:200],
            reason=reason,
        )
        for instruction in told
    )
    return _dispatch_anew(signal, now)


def _dispatch_anew(signal: TargetSignal, now: datetime) -> list[Job]:
    try:
        target = area_to_dispatch(node=signal.node, starts_at=signal.starts_at, ends_at=signal.ends_at)
    except NoTariff:  # it was never dispatched, so there is nothing to dispatch anew
        return []
    return [
        enqueue(
            kind=JOB_KIND,
            payload={"area": target.area.code, "day": day.isoformat(), "tariff": target.tariff_code},
            now=now,
            unique_key=f"{JOB_KIND}:without:{signal.pk}:{day.isoformat()}",
        )
        for day in target.days
        if charging_day(day).ends_at > now
    ]
