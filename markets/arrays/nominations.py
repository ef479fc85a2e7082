"""Nominations as arrays: what was handed in for an event, as known at a time."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time

import numpy as np
from django.db.models import QuerySet

from aggregator.core.timegrid import SETTLEMENT_PERIOD, utc
from aggregator.core.types import FloatArray
from markets.arrays.settlement import Portfolios, event_grid
from markets.core.baseline_given import Nominations
from markets.core.history import local_dates
from markets.core.nominations import nominated_energy_kwh
from markets.models import FlexEvent, Nomination


def load_nominations(*, event: FlexEvent, portfolios: Portfolios, as_of: datetime) -> Nominations:
    """Load what the portfolios' DSRSPs nominated for an event's product and node and was stored by ``as_of``."""
    grid = event_grid(event.signal)
    days = local_dates(grid.period_starts())
    starts_at = grid.starts()
    unit_of = {organisation.pk: unit for unit, organisation in enumerate(portfolios.organisations)}
    rows = list(nominations_known(event=event, organisation_pks=unit_of, as_of=as_of))
    energy_kwh = np.full((len(rows), grid.n_period), np.nan)
    for index, row in enumerate(rows):
        periods = [period for period, day in enumerate(days) if day == row.settlement_date]
        energy_kwh[index, periods] = _of_day(row)[[_number(row.settlement_date, starts_at[at]) for at in periods]]
    return Nominations(
        # Of two submitted at one instant the one stored later counts: ids sort as text.
        ids=tuple(f"{row.pk:020d}" for row in rows),
        row=np.array([unit_of[row.organisation_id] for row in rows], dtype=np.int64),
        submitted_at=np.array([_naive(row.submitted_at) for row in rows], dtype="datetime64[us]"),
        energy_kwh=energy_kwh,
    )


def nominations_known(*, event: FlexEvent, organisation_pks: Iterable[int], as_of: datetime) -> QuerySet[Nomination]:
    """Rows for an event's product, node and settlement dates that were stored by ``as_of``, by key."""
    return (
        Nomination.objects.across_tenants()
        .filter(
            organisation__in=list(organisation_pks),
            product__code=event.product.code,
            node=event.signal.node_id,
            settlement_date__in=set(local_dates(event_grid(event.signal).period_starts())),
            recorded_at__lte=as_of,
        )
        .order_by("pk")
    )


def store_nominations(rows: list[Nomination]) -> list[Nomination]:
    """Add nominations."""
    return Nomination.objects.across_tenants().bulk_create(rows)


def _of_day(row: Nomination) -> FloatArray:
    return nominated_energy_kwh(row.power_kw)


def _number(day: date, starts_at: datetime) -> int:
    """Index of a half-hour among its settlement date's periods."""
    return (starts_at - utc(day, time(0))) // SETTLEMENT_PERIOD


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)
