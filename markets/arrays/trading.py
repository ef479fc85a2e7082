"""What DSRSPs have promised, by half-hour."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from django.db.models import Q

from aggregator.arrays.network import load_area
from aggregator.core.timegrid import SETTLEMENT_PERIOD
from aggregator.core.types import FloatArray
from aggregator.models import Enrolment, NetworkNode, Organisation
from markets.models import FlexOffer, FlexOrder, FlexRequest

LIVE_ORDERS = ("ordered", "dispatched")


def load_registered_kw(*, node: NetworkNode, organisation: Organisation, at: datetime) -> float:
    """Rated power of the EVSEs at and below a node that are enrolled with a DSRSP then."""
    enrolled = Enrolment.objects.across_tenants().filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=at), dsrsp=organisation, starts_at__lte=at
    )
    below = _below(node, at)
    return float(sum(enrolled.filter(evse__node__in=below).values_list("evse__rated_kw", flat=True)))


def load_promised_kw(
    *, node: NetworkNode, organisation: Organisation, starts_at: datetime, n_period: int, direction: str, now: datetime
) -> FloatArray:
    """(n_period,) kW that a DSRSP's live offers and orders at and below a node promise at most from ``starts_at``.

    Of an offer's options one at most is ordered, so the largest counts, period by period.
    """
    ends_at = starts_at + n_period * SETTLEMENT_PERIOD
    promised_kw = np.zeros(n_period)
    offers = FlexOffer.objects.across_tenants().filter(
        organisation=organisation,
        state="submitted",
        expires_at__gt=now,
        request__node__in=_below(node, starts_at),
        request__market__activity=direction,
        request__starts_at__lt=ends_at,
        request__ends_at__gt=starts_at,
    )
    for offer in offers.select_related("request").prefetch_related("options"):
        largest_kw = np.max([option.power_kw for option in offer.options.all()], axis=0)
        promised_kw += _aligned(largest_kw, offer.request, starts_at, n_period)
    orders = load_live_orders(node=node, starts_at=starts_at, ends_at=ends_at, direction=direction)
    own = (order for order in orders if order.organisation_id == organisation.pk)
    return promised_kw + add_orders(own, starts_at=starts_at, n_period=n_period)


def load_live_orders(
    *,
    node: NetworkNode,
    starts_at: datetime,
    ends_at: datetime,
    direction: str,
    states: tuple[str, ...] = LIVE_ORDERS,
) -> list[FlexOrder]:
    """Orders at and below a node whose window meets this one, by key."""
    orders = FlexOrder.objects.across_tenants().filter(
        state__in=states,
        node__in=_below(node, starts_at),
        market__activity=direction,
        starts_at__lt=ends_at,
        ends_at__gt=starts_at,
    )
    return list(orders.order_by("pk"))


def add_orders(orders: Iterable[FlexOrder], *, starts_at: datetime, n_period: int) -> FloatArray:
    """(n_period,) kW ordered from ``starts_at`` on."""
    ordered_kw = np.zeros(n_period)
    for order in orders:
        ordered_kw += _aligned(np.array(order.power_kw), order, starts_at, n_period)
    return ordered_kw


def _aligned(power_kw: FloatArray, window: FlexRequest | FlexOrder, starts_at: datetime, n_period: int) -> FloatArray:
    """(n_period,) powers of a window as they fall into the periods from ``starts_at``."""
    first = (window.starts_at - starts_at) // SETTLEMENT_PERIOD
    at = first + np.arange(len(power_kw))
    is_in = (at >= 0) & (at < n_period)
    found = np.zeros(n_period)
    found[at[is_in]] = power_kw[is_in]
    return found


def _below(node: NetworkNode, at: datetime) -> list[int]:
    keys: list[int] = load_area(root=node, starts_at=at, ends_at=at + SETTLEMENT_PERIOD).node_pks.tolist()
    return keys
