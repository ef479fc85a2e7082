"""Settle all events of a month from one pass over the meters."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
from django.db import transaction

from aggregator.core.timegrid import utc
from dispatch.models import DispatchRun
from markets.arrays.ledger import load_primacy_rules, service_of
from markets.arrays.month import events_between
from markets.arrays.run_codes import load_run_codes
from markets.arrays.settlement import Portfolios
from markets.core.primacy import serving_order
from markets.core.run_codes import find_code
from markets.core.settle_order import meeting_groups, zones_meet
from markets.models import FlexEvent, SettlementRun
from markets.services.month_read import METERS_A_BLOCK, read_events
from markets.services.settlement import NothingInstructed, newest_instructed_run, settle_event


@dataclass(frozen=True, slots=True)
class MonthSettled:
    """What came of a month.

    Attributes:
        settlements: of each event settled, oldest first; one settled before from the same inputs is there too.
        not_over, not_instructed: references of the events left out: not over at ``as_of``, or nobody was instructed.
    """

    settlements: tuple[SettlementRun, ...]
    not_over: tuple[str, ...]
    not_instructed: tuple[str, ...]


def settle_month(
    *,
    month: date,
    as_of: datetime,
    run_code: str | None = None,
    n_worker: int = 1,
    n_meter_a_block: int = METERS_A_BLOCK,
) -> MonthSettled:
    """Settle the events that start in a month of London time, from what was known at ``as_of``.

    Statements, digests and versions are those of ``settle_event``; only the reading differs: each meter is read once
    for all events. Events that can claim the same energy are settled in the order of primacy: what each may be paid
    does not depend on which of them began first.

    Args:
        month: any day of it.
        run_code: the runs' name, as ``settle_event`` takes it.
        n_worker, n_meter_a_block: as ``read_events`` takes them.

    Raises:
        UnknownRunCode, RunCodeUsed, RunCodeOutOfOrder: an event may have no run of this name; none is settled then.
    """
    if run_code is not None:
        find_code(run_code, load_run_codes())  # before 100,000 meters are read
    first = month.replace(day=1)
    after = (first + timedelta(days=31)).replace(day=1)
    events = list(events_between(starts_at=utc(first, time(0)), ends_at=utc(after, time(0))))
    over = [event for event in events if event.signal.ends_at <= as_of]
    runs = {event.pk: run for event in over if (run := _run_of(event)) is not None}
    called = [event for event in over if event.pk in runs]
    reads = read_events(events=called, as_of=as_of, n_worker=n_worker, n_meter_a_block=n_meter_a_block)
    # A name may be refused for one event: then none has it. Without a name each event is published at once.
    with transaction.atomic() if run_code is not None else nullcontext():
        settled = {
            at: settle_event(event=called[at], run=runs[called[at].pk], as_of=as_of, run_code=run_code, read=reads[at])
            for at in settling_order(called, [read.portfolios for read in reads])
        }
    return MonthSettled(
        tuple(settled[at] for at in range(len(called))),
        not_over=tuple(event.signal.reference for event in events if event.signal.ends_at > as_of),
        not_instructed=tuple(event.signal.reference for event in over if event.pk not in runs),
    )


def settling_order(events: Sequence[FlexEvent], portfolios: Sequence[Portfolios]) -> list[int]:
    """Indices of events: of those that meet at an EVSE's half-hour, who goes first in the ledger is settled first."""
    zones = {id(one): one for one in portfolios}
    place = {key: at for at, key in enumerate(zones)}
    groups = meeting_groups(
        [(event.signal.starts_at, event.signal.ends_at) for event in events],
        np.array([place[id(one)] for one in portfolios], dtype=np.int64),
        zones_meet([one.evse_pks for one in zones.values()]),
    )
    order: list[int] = []
    for group in groups:
        services = [service_of(events[at]) for at in group]
        rules = load_primacy_rules(at=services[0].starts_at) if len(group) > 1 else ()
        order += [group[at] for at in serving_order(rules, services)]
    return order


def _run_of(event: FlexEvent) -> DispatchRun | None:
    try:
        return newest_instructed_run(event=event)
    except NothingInstructed:
        return None
