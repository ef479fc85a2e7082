"""Read many events from one pass over their meters, a block at a time."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce

import numpy as np
from django.db import connection

from aggregator.arrays.calendar import bank_holidays
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.timegrid import LONDON
from aggregator.core.types import IntArray
from markets.arrays.month import load_portfolios_of, load_quanta, members_of
from markets.arrays.settlement import (
    PortfolioReadings,
    Portfolios,
    ReadEvent,
    event_grid,
    has_own_baseline,
    load_event_days,
    portfolio_sha256,
)
from markets.core.evse_baseline import event_table
from markets.core.evse_volume import NO_VALUE, EvseVolume
from markets.core.history import adjustment_starts, candidate_days
from markets.core.month import Members, MonthEvent, MonthSums, event_readings, no_sums, periods_asked, settle_block
from markets.models import FlexEvent
from markets.services.rules import baseline_rule

logger = logging.getLogger(__name__)

METERS_A_BLOCK = 1_000  # times 92 days some 200 MB while they are unpacked, for each worker
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Called:
    """An event to read, with who takes part."""

    event: FlexEvent
    portfolios: Portfolios


@dataclass(frozen=True, slots=True)
class _Span:
    """The UTC days that all events read, and the meters, which ascend."""

    first_day: date
    n_day: int
    meter_pks: IntArray
    as_of: datetime


def read_events(
    *, events: Sequence[FlexEvent], as_of: datetime, n_worker: int = 1, n_meter_a_block: int = METERS_A_BLOCK
) -> list[ReadEvent]:
    """Read what ``markets.arrays.settlement.read_event`` reads of each of these events, each meter once for all.

    Memory goes with the block and with the result, 8 bytes for each EVSE and half-hour of an event.

    Args:
        events: over at ``as_of``, in any order.
        n_worker: threads that read and compute, each on a connection of its own; 1 stays on the caller's.
    """
    if not events:
        return []
    of_events = zip(events, load_portfolios_of(events=events), strict=True)
    return _read([_Called(event, portfolios) for event, portfolios in of_events], as_of, n_worker, n_meter_a_block)


def _read(called: list[_Called], as_of: datetime, n_worker: int, n_meter_a_block: int) -> list[ReadEvent]:
    span = _span(called, as_of)
    distinct = list({id(one.portfolios): one.portfolios for one in called}.values())
    members = [members_of(portfolios=portfolios, meter_pks=span.meter_pks) for portfolios in distinct]
    place = {id(portfolios): at for at, portfolios in enumerate(distinct)}
    events = [_month_event(one, span, place[id(one.portfolios)]) for one in called]
    blocks = [slice(at, at + n_meter_a_block) for at in range(0, len(span.meter_pks), n_meter_a_block)]

    periods = periods_asked(events)

    def work(some: Sequence[slice]) -> MonthSums:
        return _sums_of(some, span, periods, members, events)

    parts = _in_threads(work, [blocks[at::n_worker] for at in range(n_worker)])
    sums = reduce(MonthSums.plus, parts)
    logger.info(
        "read %d meters over %d days for %d events as of %s",
        len(span.meter_pks),
        span.n_day,
        len(events),
        as_of.isoformat(),
    )
    digests = [portfolio_sha256(portfolios) for portfolios in distinct]
    return [_read_event(one, events, at, sums, digests[events[at].members]) for at, one in enumerate(called)]


def _span(called: list[_Called], as_of: datetime) -> _Span:
    meter_pks = np.unique(np.concatenate([one.portfolios.meter_pks for one in called]))
    first_day = min(_days_of(one.event)[0] for one in called) - ONE_DAY
    last_day = max(event_grid(one.event.signal).ends_at.date() for one in called)
    return _Span(first_day, (last_day - first_day).days + 1, meter_pks, as_of)


def _days_of(event: FlexEvent) -> tuple[date, ...]:
    rule, grid = baseline_rule(event.product), event_grid(event.signal)
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    return candidate_days(grid.period_starts(), window, lookback_days=rule.lookback_days)


def _holidays(event: FlexEvent, days: tuple[date, ...]) -> frozenset[date]:
    return frozenset(bank_holidays(days[0], event.signal.ends_at.astimezone(LONDON).date()))


def _month_event(one: _Called, span: _Span, members: int) -> MonthEvent:
    days = _days_of(one.event)
    table = event_table(
        event_grid(one.event.signal),
        baseline_rule(one.event.product),
        holidays=_holidays(one.event, days),
        first_day=span.first_day,
        n_half_hour=span.n_day * PERIODS_A_DAY,
        has_own_baseline=has_own_baseline(one.event.product),
    )
    shape = (len(one.portfolios.meter_pks), table.grid.n_period)
    is_event_day = load_event_days(one.event, one.portfolios, days)
    return MonthEvent(
        members, table, is_event_day, np.full(shape, NO_VALUE, dtype=np.int32), np.full(shape, NO_VALUE, dtype=np.int32)
    )


def _sums_of(
    blocks: Sequence[slice], span: _Span, periods: range, members: list[Members], events: list[MonthEvent]
) -> MonthSums:
    """Read and compute some blocks, one after the other."""
    sums = no_sums(members, events, span.n_day * PERIODS_A_DAY)
    for block in blocks:
        quanta = load_quanta(
            meter_pks=span.meter_pks[block],
            first_day=span.first_day,
            n_day=span.n_day,
            periods=periods,
            as_of=span.as_of,
        )
        sums = sums.plus(settle_block(quanta, [one.of(block) for one in members], events))
    return sums


def _in_threads(work: Callable[[Sequence[slice]], MonthSums], parts: list[list[slice]]) -> list[MonthSums]:
    """Do each part in a thread of its own, on a connection of its own, for whom this one acts; a single part here."""
    if len(parts) == 1:
        return [work(parts[0])]

    def alone(part: list[slice]) -> MonthSums:
        try:
            return work(part)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(parts)) as threads:
        doing = [threads.submit(copy_context().run, alone, part) for part in parts]
        return [one.result() for one in doing]


def _read_event(one: _Called, events: list[MonthEvent], at: int, sums: MonthSums, portfolio_digest: str) -> ReadEvent:
    month_event, portfolios = events[at], one.portfolios
    history, metered_kwh, n_left_out = event_readings(
        sums,
        events,
        at,
        unit_ids=portfolios.unit_ids,
        n_meter=np.bincount(portfolios.unit, minlength=portfolios.n_unit),
        holidays=_holidays(one.event, month_event.table.days),
        min_share=one.event.product.min_meters_share,
    )
    evses = EvseVolume(month_event.table.grid, month_event.baseline, month_event.metered)
    return ReadEvent(portfolios, portfolio_digest, PortfolioReadings(history, metered_kwh, n_left_out, evses))
