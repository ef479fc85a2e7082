"""What a month's settlement reads: its events, who takes part in each, and blocks of meters as dense arrays."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from django.db.models import QuerySet

from aggregator.arrays.day_parts import load_day_parts
from aggregator.core.errors import FlexError
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.types import Int32Array, IntArray
from aggregator.models import Enrolment
from markets.arrays.control_groups import spared_evses
from markets.arrays.settlement import Portfolios, called_alone, load_portfolios
from markets.core.evse_volume import LARGEST_KWH, NO_VALUE
from markets.core.month import NOT_IN_IT, Members
from markets.core.month_kernels import lay_days
from markets.models import FlexEvent


class ReadingTooLarge(FlexError):
    code = "settlement.reading_too_large"


def events_between(*, starts_at: datetime, ends_at: datetime) -> QuerySet[FlexEvent]:
    """Events that start in ``[starts_at, ends_at)``, oldest first."""
    events = FlexEvent.objects.filter(signal__starts_at__gte=starts_at, signal__starts_at__lt=ends_at)
    return events.select_related("signal__node", "product__buyer").order_by("signal__starts_at", "pk")


def load_portfolios_of(*, events: Sequence[FlexEvent]) -> list[Portfolios]:
    """Load who takes part in each event.

    Events of one node that spare the same EVSEs, and between which no enrolment changed, share one answer.
    """
    changes = _enrolment_changes(events)
    known: dict[tuple[int, int, int | None, bytes], Portfolios] = {}
    found = []
    for event in events:
        n_before = int(np.searchsorted(changes, _naive(event.signal.starts_at), side="right"))
        key = (
            event.signal.node_id,
            n_before,
            called_alone(event),
            spared_evses(event=event).tobytes(),
        )
        if key not in known:
            known[key] = load_portfolios(event=event)
        found.append(known[key])
    return found


def _enrolment_changes(events: Sequence[FlexEvent]) -> np.ndarray:
    """Instants from the first event's start to the last one's at which an enrolment starts or ends, ascending."""
    if not events:
        return np.array([], dtype="datetime64[us]")
    starts = [event.signal.starts_at for event in events]
    enrolments, span = Enrolment.objects.across_tenants(), (min(starts), max(starts))
    instants = {
        *enrolments.filter(starts_at__range=span).values_list("starts_at", flat=True).distinct(),
        *enrolments.filter(ends_at__range=span).values_list("ends_at", flat=True).distinct(),
    }
    return np.sort(np.array([_naive(at) for at in instants if at is not None], dtype="datetime64[us]"))


def _naive(at: datetime) -> np.datetime64:
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")


def members_of(*, portfolios: Portfolios, meter_pks: IntArray) -> Members:
    """Find some portfolios' meters among all, which ascend."""
    unit = np.full(len(meter_pks), NOT_IN_IT, dtype=np.int64)
    row = np.full(len(meter_pks), NOT_IN_IT, dtype=np.int64)
    at = np.searchsorted(meter_pks, portfolios.meter_pks)
    unit[at], row[at] = portfolios.unit, np.arange(len(portfolios.meter_pks))
    return Members(portfolios.n_unit, unit, row)


def load_quanta(*, meter_pks: IntArray, first_day: date, n_day: int, periods: range, as_of: datetime) -> Int32Array:
    """Load what was known at ``as_of`` of a block of meters.

    Args:
        meter_pks: (n_meter,) ascending.
        periods: which half-hours of every UTC day are read, a run within 0 to 48; nothing is known of the others.

    Returns:
        (n_meter, n_day * 48) energy in whole quanta of each UTC half-hour; ``NO_VALUE`` where nothing is known.

    Raises:
        ReadingTooLarge: a reading no EVSE's meter can have.
    """
    last_day = first_day + timedelta(days=n_day - 1)
    stored = load_day_parts(meter_pks=meter_pks, first_day=first_day, last_day=last_day, periods=periods, as_of=as_of)
    quanta = np.full((len(meter_pks), n_day * PERIODS_A_DAY), NO_VALUE, dtype=np.int32)
    order = np.lexsort((stored.batch, stored.received_at))  # the latest received on top, as in overlay_kwh
    first_half_hour = stored.day * PERIODS_A_DAY + periods.start
    n_too_large = lay_days(stored.energy_kwh, stored.meter, first_half_hour, order, quanta)
    if n_too_large:
        raise ReadingTooLarge(
            f"{n_too_large} half-hours of meters from {meter_pks[0]} on hold more than {LARGEST_KWH:g} kWh"
        )
    return quanta
