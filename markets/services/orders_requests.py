"""Flex requests: what a buyer asks of a market's zone."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.core.types import FloatArray
from aggregator.models import Organisation, as_platform
from aggregator.services.turns import take_turn
from markets.core.trading_times import gate_closure_of
from markets.models import FlexOffer, FlexRequest, Market
from markets.services.orders_markets import check_window
from markets.services.orders_shared import (
    TradeRefused,
    UnknownTrade,
    check_act,
    in_zone,
    move,
    reason_of,
    record,
    standing,
)

LONGEST_REFERENCE = 80


@dataclass(frozen=True, slots=True)
class FlexRequestTerms:
    """What is asked; ``expires_at`` left out is the gate closure."""

    reference: str
    market: str
    node: str
    starts_at: datetime
    ends_at: datetime
    requested_kw: tuple[float, ...]
    expires_at: datetime | None = None


def publish_flex_request(*, organisation: Organisation, terms: FlexRequestTerms, now: datetime) -> FlexRequest:
    """Publish a request to the DSRSPs of a market's zone.

    Raises:
        UnknownTrade, UnknownNode: the organisation has no such market, or nobody such a node.
        TransitionRefused: the market takes no request.
        TradeRefused: what is stated is refused.
    """
    check_reference(terms.reference)
    market = Market.objects.select_related("product").filter(code=terms.market, buyer=organisation).first()
    if market is None:
        raise UnknownTrade(f"{organisation.code} has no market {terms.market!r}", name=terms.market, field="market")
    check_act(market, "publish a request in", organisation=organisation, now=now)
    node = in_zone(market, terms.node)
    starts_at, ends_at, n_period = check_window(market, starts_at=terms.starts_at, ends_at=terms.ends_at)
    check_power(terms.requested_kw, n_period=n_period, min_kw=market.min_kw, field="requested_kw")
    gate_closes_at = gate_closure_of(market.gate_closure).closes_at(starts_at)
    expires_at = terms.expires_at or gate_closes_at
    if expires_at.tzinfo is None or not now < expires_at <= gate_closes_at:
        raise TradeRefused(
            f"request {terms.reference} would expire at {expires_at.isoformat()}, expected after {now.isoformat()} and "
            f"no later than its gate closure, {gate_closes_at.isoformat()}",
            field="expires_at",
            value=expires_at.isoformat(),
        )
    with transaction.atomic(), as_platform():
        take_turn("flex request", terms.reference)
        if FlexRequest.objects.filter(reference=terms.reference).exists():
            raise TradeRefused(f"the reference {terms.reference} is taken", field="reference")
        request = FlexRequest.objects.create(
            reference=terms.reference,
            market=market,
            buyer=organisation,
            node=node,
            starts_at=starts_at,
            ends_at=ends_at,
            requested_kw=list(terms.requested_kw),
            gate_closes_at=gate_closes_at,
            expires_at=expires_at,
            state="published",
            published_at=now,
        )
        stated = {"market": market.code, "node": node.code, "requested_kw": request.requested_kw}
        record(request, "publish", organisation=organisation, now=now, facts=stated)
    return request


def withdraw_flex_request(*, organisation: Organisation, reference: str, reason: str, now: datetime) -> FlexRequest:
    """Take a request back; offers on it that wait are rejected, orders stand.

    Raises:
        UnknownTrade: the organisation has no such request.
        TransitionRefused: it can't be withdrawn any more.
    """
    said = reason_of(reason)
    with transaction.atomic(), as_platform():
        own = FlexRequest.objects.select_for_update(of=("self",)).filter(buyer=organisation)
        request = own.filter(reference=reference).first()
        if request is None:
            raise UnknownTrade(f"{organisation.code} has no flex request {reference!r}", name=reference)
        before = standing(request, now=now)
        move(request, "withdraw", organisation=organisation, now=now)
        waiting = FlexOffer.objects.across_tenants().filter(request=request, state="submitted", expires_at__gt=now)
        rejected = waiting.update(state="rejected")
        facts = {"offers_rejected": rejected}
        record(request, "withdraw", organisation=organisation, now=now, reason=said, before=before, facts=facts)
    return request


def check_reference(reference: str) -> None:
    """Refuse no reference, or one too long to be stored.

    Raises:
        TradeRefused: so.
    """
    if not reference.strip() or len(reference) > LONGEST_REFERENCE or "\x00" in reference:
        raise TradeRefused(
            f"a reference has 1 to {LONGEST_REFERENCE} characters, found {len(reference.strip())}", field="reference"
        )


def check_power(power_kw: tuple[float, ...], *, n_period: int, min_kw: float, field: str) -> FloatArray:
    """Powers by half-hour, as an array.

    Raises:
        TradeRefused: too many or few, not finite, negative, below the market's least, or nothing at all.
    """
    found = np.array(power_kw, dtype=np.float64)
    if found.shape != (n_period,):
        raise TradeRefused(f"{field} has {found.size} powers, expected {n_period}: one a half-hour", field=field)
    if not np.isfinite(found).all() or (found < 0).any() or ((found > 0) & (found < min_kw)).any() or not found.any():
        raise TradeRefused(
            f"{field} is {list(power_kw)}, expected 0, or {min_kw:g} kW or more, in each half-hour, and not 0 in all",
            field=field,
        )
    return found
