"""Many events of one fleet from one pass over its meters, a block of meters at a time.

What an event reads of a portfolio are sums over meters: they are kept for every half-hour, and what an event leaves
out (a meter with a gap in it) is taken off again. Whole quanta make both exact, so the order of blocks is no matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.types import BoolArray, FloatArray, Int32Array, IntArray
from markets.core.baseline import BaselineHistory
from markets.core.evse_baseline import EventTable, add_baselines
from markets.core.evse_volume import NO_VALUE
from markets.core.month_kernels import add_meters, add_meters_at
from markets.core.portfolio import scaled_kwh

NOT_IN_IT = -1


@dataclass(frozen=True, slots=True)
class Members:
    """Who of all meters is in one set of portfolios.

    Attributes:
        n_unit: portfolios.
        unit: (n_meter,) portfolio of each meter, ``NOT_IN_IT`` for others.
        row: (n_meter,) row of the meter's EVSE in the order of the portfolios' EVSEs, ``NOT_IN_IT`` for others.
    """

    n_unit: int
    unit: IntArray
    row: IntArray

    def of(self, block: slice) -> "Members":
        return Members(self.n_unit, self.unit[block], self.row[block])


@dataclass(frozen=True, slots=True)
class MonthEvent:
    """One event to settle.

    Attributes:
        members: index of its portfolios' ``Members``.
        table: where its half-hours stand.
        is_event_day: (n_unit, n_day) days on which a portfolio was called before.
        baseline, metered: (n_evse, n_period) quanta of each EVSE, filled block by block.
    """

    members: int
    table: EventTable
    is_event_day: BoolArray
    baseline: Int32Array
    metered: Int32Array


class Sums(NamedTuple):
    """(n_unit, n_value) whole quanta, and how many meters they are the sum of."""

    total: FloatArray
    n_read: FloatArray

    @classmethod
    def none(cls, n_unit: int, n_value: int) -> "Sums":
        return cls(np.zeros((n_unit, n_value)), np.zeros((n_unit, n_value)))

    def plus(self, other: "Sums") -> "Sums":
        return Sums(self.total + other.total, self.n_read + other.n_read)

    def minus(self, other: "Sums") -> "Sums":
        return Sums(self.total - other.total, self.n_read - other.n_read)

    def at(self, values: IntArray) -> "Sums":
        return Sums(self.total[:, values], self.n_read[:, values])


@dataclass(frozen=True, slots=True)
class MonthSums:
    """What some meters add to their portfolios.

    Attributes:
        of_all: by ``Members``, every half-hour.
        left_out: by event, at ``table.half_hours()``: the meters with a gap in the event.
        n_left_out: by event, (n_unit,) their number.
    """

    of_all: tuple[Sums, ...]
    left_out: tuple[Sums, ...]
    n_left_out: tuple[IntArray, ...]

    def plus(self, other: "MonthSums") -> "MonthSums":
        return MonthSums(
            tuple(one.plus(two) for one, two in zip(self.of_all, other.of_all, strict=True)),
            tuple(one.plus(two) for one, two in zip(self.left_out, other.left_out, strict=True)),
            tuple(one + two for one, two in zip(self.n_left_out, other.n_left_out, strict=True)),
        )


def no_sums(members: Sequence[Members], events: Sequence[MonthEvent], n_half_hour: int) -> MonthSums:
    """The sums of no meter at all."""
    n_unit = [members[event.members].n_unit for event in events]
    return MonthSums(
        tuple(Sums.none(one.n_unit, n_half_hour) for one in members),
        tuple(Sums.none(n, len(event.table.half_hours())) for n, event in zip(n_unit, events, strict=True)),
        tuple(np.zeros(n, dtype=np.int64) for n in n_unit),
    )


def periods_asked(events: Sequence[MonthEvent]) -> range:
    """The run of half-hours of a UTC day in which all that these events read lies, of whatever day."""
    asked = np.concatenate([event.table.half_hours() % PERIODS_A_DAY for event in events])
    return range(int(asked.min()), int(asked.max()) + 1)


def settle_block(quanta: Int32Array, members: Sequence[Members], events: Sequence[MonthEvent]) -> MonthSums:
    """Make every EVSE's baseline and metered energy of a block of meters in every event, and the block's sums.

    Args:
        quanta: (n_meter, n_half_hour) energy of the block, ``NO_VALUE`` where nothing is known.
        members: the block's.
        events: their ``baseline`` and ``metered`` are filled at the rows of the block's EVSEs.

    Source: docs/methods/settlement.md
    """
    sums = no_sums(members, events, quanta.shape[1])
    for one, of_all in zip(members, sums.of_all, strict=True):
        inside = np.flatnonzero(one.unit != NOT_IN_IT)
        add_meters(quanta, inside, one.unit[inside], of_all.total, of_all.n_read)
    for at, event in enumerate(events):
        one = members[event.members]
        inside = np.flatnonzero(one.unit != NOT_IN_IT)
        if len(inside) == 0:
            continue
        unit, row, table = one.unit[inside], one.row[inside], event.table
        metered = quanta[inside[:, np.newaxis], table.event]
        event.metered[row] = metered
        add_baselines(
            quanta,
            meters=inside,
            unit=unit,
            is_event_day=event.is_event_day,
            table=table,
            rows=row,
            baseline=event.baseline,
        )
        has_gap = (metered == NO_VALUE).any(axis=1)
        left_out = sums.left_out[at]
        add_meters_at(quanta, inside[has_gap], unit[has_gap], table.half_hours(), left_out.total, left_out.n_read)
        sums.n_left_out[at][:] = np.bincount(unit[has_gap], minlength=one.n_unit)
    return sums


class EventReadings(NamedTuple):
    """An event's history, (n_unit, n_period) metered energy, and (n_unit,) meters left out for a gap in it."""

    history: BaselineHistory
    metered_kwh: FloatArray
    n_left_out: IntArray


def event_readings(
    sums: MonthSums,
    events: Sequence[MonthEvent],
    at: int,
    *,
    unit_ids: tuple[str, ...],
    n_meter: IntArray,
    holidays: frozenset[date],
    min_share: float,
) -> EventReadings:
    """What event ``at`` reads of its portfolios, from the sums over all blocks.

    Args:
        n_meter: (n_unit,) meters of each portfolio.
        min_share: of a portfolio's meters read, for a half-hour of it to be known.
    """
    event = events[at]
    table, asked = event.table, event.table.half_hours()
    n_counted = n_meter - sums.n_left_out[at]
    counted = sums.of_all[event.members].at(asked).minus(sums.left_out[at])
    kwh = scaled_kwh(counted.total, counted.n_read, n_counted, min_share=min_share)

    def of(half_hours: IntArray) -> FloatArray:
        found: FloatArray = kwh[:, np.searchsorted(asked, half_hours)]
        return found

    history = BaselineHistory(
        row_ids=unit_ids,
        grid=table.grid,
        days=table.days,
        holidays=holidays,
        is_event_day=event.is_event_day,
        event_kwh=of(table.day_event),
        adjustment_kwh=of(table.day_window),
        adjustment_metered_kwh=of(table.window),
    )
    return EventReadings(history, of(table.event), sums.n_left_out[at])
