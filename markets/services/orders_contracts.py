"""Contracts: a standing agreement under which the buyer orders directly, without a request and an offer each time.

A contract is a row of its own and not an order with availability windows: an order states its half-hours, and a
contract has none until it is called on. Each call makes an order, so that dispatch, stop, cancel and settlement are the
same whichever way it was bought.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite

import numpy as np
from django.db import transaction

from aggregator.models import ControlAct, Organisation, as_platform
from aggregator.services.turns import take_turn
from markets.arrays.trading import LIVE_ORDERS, add_orders
from markets.core.trading_offers import KWH_PER_MWH, PENNY
from markets.models import Contract, FlexOrder, Market
from markets.queries import contracts_seen_by
from markets.services.events import HIGHEST_PRICE_GBP_PER_MWH
from markets.services.orders_accept import STEP_H, refuse_taken
from markets.services.orders_dispatch import ask_dispatch_order, plan_dispatch_order
from markets.services.orders_markets import check_window
from markets.services.orders_requests import check_power, check_reference
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
from markets.services.requests import RequestPlan

PRICE_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """What a buyer proposes to a DSRSP, both by their codes."""

    reference: str
    market: str
    dsrsp: str
    starts_at: datetime
    ends_at: datetime
    max_kw: float
    price_gbp_per_mwh: Decimal


@dataclass(frozen=True, slots=True)
class Call:
    """A call under a contract: power by half-hour at a node of its market's zone."""

    reference: str
    node: str
    starts_at: datetime
    ends_at: datetime
    power_kw: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What a call under a contract would order, and what its dispatch would move."""

    request: RequestPlan
    dsrsp: str
    energy_kwh: float
    price_gbp: Decimal
    price_gbp_per_mwh: Decimal


def propose_contract(*, organisation: Organisation, terms: ContractTerms, now: datetime) -> Contract:
    """Propose a contract; it is in force once the DSRSP agrees.

    Raises:
        UnknownTrade: the organisation has no such market, or nobody is such a DSRSP.
        TradeRefused: what is stated is refused.
    """
    check_reference(terms.reference)
    market = Market.objects.filter(code=terms.market, buyer=organisation).first()
    dsrsp = Organisation.objects.filter(code=terms.dsrsp, kind=Organisation.Kind.DSRSP).first()
    if market is None or dsrsp is None:
        field, name = ("market", terms.market) if market is None else ("dsrsp", terms.dsrsp)
        raise UnknownTrade(f"{organisation.code} has no {field} {name!r}", field=field, name=name)
    _check_terms(terms, market, now)
    with transaction.atomic(), as_platform():
        take_turn("contract", terms.reference)
        if Contract.objects.across_tenants().filter(reference=terms.reference).exists():
            raise TradeRefused(f"the reference {terms.reference} is taken", field="reference")
        contract = Contract(
            reference=terms.reference,
            market=market,
            organisation=dsrsp,
            buyer=organisation,
            starts_at=terms.starts_at,
            ends_at=terms.ends_at,
            max_kw=terms.max_kw,
            price_gbp_per_mwh=terms.price_gbp_per_mwh,
            state="proposed",
            proposed_at=now,
        )
        contract.save()
        stated = {"market": market.code, "dsrsp": dsrsp.code, "max_kw": terms.max_kw}
        facts = {**stated, "price_gbp_per_mwh": terms.price_gbp_per_mwh}
        record(contract, "propose", organisation=organisation, now=now, facts=facts)
    return contract


def move_contract(*, organisation: Organisation, reference: str, act: str, reason: str, now: datetime) -> Contract:
    """Agree to a contract, decline, withdraw or end it: whoever may by ``core.trading.CONTRACT``.

    Raises:
        UnknownTrade: the organisation has no such contract.
        TransitionRefused: it is not its turn, or too late.
    """
    said = reason_of(reason)
    with transaction.atomic():
        contract = _lock(organisation, reference)
        before = standing(contract, now=now)
        with as_platform():
            move(contract, act, organisation=organisation, now=now)
            record(contract, act, organisation=organisation, now=now, reason=said, before=before)
    return contract


def instruct_under_contract(
    *,
    organisation: Organisation,
    contract: str,
    call: Call,
    reason: str,
    asked_by_pk: int | None,
    now: datetime,
    target_kw: float | None = None,
) -> ControlAct:
    """Order under a contract and ask for the order's dispatch at once.

    Where a second person must agree, the order waits with the control act; if nobody does, it lapses at its start.

    Raises:
        UnknownTrade, TransitionRefused: there is no such contract, or it is not in force.
        TradeRefused: outside the zone, the windows or the power agreed.
        FlexError: as for ``ask_dispatch_order``; nothing is ordered then.
    """
    with transaction.atomic():
        order_under_contract(organisation=organisation, contract=contract, call=call, now=now)
        return ask_dispatch_order(
            organisation=organisation,
            reference=call.reference,
            reason=reason,
            asked_by_pk=asked_by_pk,
            now=now,
            target_kw=target_kw,
        )


def plan_call(
    *, organisation: Organisation, contract: str, call: Call, now: datetime, target_kw: float | None = None
) -> CallPlan:
    """What a call would order and move, by ordering it and taking that back: nothing of it is stored.

    Raises:
        FlexError: as for ``instruct_under_contract``.
    """
    with transaction.atomic():
        order = order_under_contract(organisation=organisation, contract=contract, call=call, now=now)
        plan = plan_dispatch_order(organisation=organisation, reference=call.reference, now=now, target_kw=target_kw)
        transaction.set_rollback(True)
    return CallPlan(
        request=plan,
        dsrsp=order.organisation.name,
        energy_kwh=sum(order.power_kw) * STEP_H,
        price_gbp=order.price_gbp,
        price_gbp_per_mwh=order.price_gbp_per_mwh,
    )


def order_under_contract(*, organisation: Organisation, contract: str, call: Call, now: datetime) -> FlexOrder:
    """Order under a contract; two calls at once take turns, so that together they stay within the power agreed.

    Raises:
        UnknownTrade, TransitionRefused, TradeRefused: as for ``instruct_under_contract``.
    """
    check_reference(call.reference)
    with transaction.atomic():
        held = _lock(organisation, contract)
        with as_platform():
            check_act(held, "instruct under", organisation=organisation, now=now)
            order = _order(held, call, now)
            facts = {"contract": held.reference, "power_kw": order.power_kw, "price_gbp": order.price_gbp}
            record(order, "order", organisation=organisation, now=now, facts=facts)
    return order


def _order(contract: Contract, call: Call, now: datetime) -> FlexOrder:
    market = contract.market
    node = in_zone(market, call.node)
    starts_at, ends_at, n_period = check_window(market, starts_at=call.starts_at, ends_at=call.ends_at)
    power_kw = check_power(call.power_kw, n_period=n_period, min_kw=market.min_kw, field="power_kw")
    if starts_at <= now or not contract.starts_at <= starts_at < ends_at <= contract.ends_at:
        raise TradeRefused(
            f"the window starts at {starts_at.isoformat()}, expected after {now.isoformat()} and within contract "
            f"{contract.reference}, {contract.starts_at.isoformat()} to {contract.ends_at.isoformat()}",
            field="starts_at",
        )
    live = FlexOrder.objects.across_tenants().filter(
        contract=contract, state__in=LIVE_ORDERS, starts_at__lt=ends_at, ends_at__gt=starts_at
    )
    called_kw = add_orders(live, starts_at=starts_at, n_period=n_period)
    over = np.flatnonzero(called_kw + power_kw > contract.max_kw)
    if len(over):
        raise TradeRefused(
            f"half-hour {over[0] + 1} is called on for {power_kw[over[0]]:g} kW beside {called_kw[over[0]]:g} kW, "
            f"expected {contract.max_kw:g} kW at most under contract {contract.reference}",
            field="power_kw",
            value=float(power_kw[over[0]]),
        )
    refuse_taken(call.reference)
    energy_kwh = Decimal(repr(float(power_kw.sum()) * STEP_H))
    order = FlexOrder(
        reference=call.reference,
        market=market,
        organisation=contract.organisation,
        buyer=contract.buyer,
        contract=contract,
        node=node,
        starts_at=starts_at,
        ends_at=ends_at,
        power_kw=power_kw.tolist(),
        price_gbp=(contract.price_gbp_per_mwh * energy_kwh / KWH_PER_MWH).quantize(PRICE_PLACES),
        price_gbp_per_mwh=contract.price_gbp_per_mwh,
        state="ordered",
        ordered_at=now,
    )
    order.save()
    return order


def _check_terms(terms: ContractTerms, market: Market, now: datetime) -> None:
    if not isfinite(terms.max_kw) or terms.max_kw <= 0 or terms.max_kw < market.min_kw:
        raise TradeRefused(
            f"contract {terms.reference} is for {terms.max_kw} kW, expected more than 0 and no less than the market's "
            f"{market.min_kw:g} kW",
            field="max_kw",
        )
    price = terms.price_gbp_per_mwh
    is_price = price.is_finite() and 0 <= price <= HIGHEST_PRICE_GBP_PER_MWH
    if not is_price or price != price.quantize(PENNY):
        raise TradeRefused(
            f"{price} GBP/MWh is no price in whole pence of 0 to {HIGHEST_PRICE_GBP_PER_MWH}", field="price_gbp_per_mwh"
        )
    if not market.starts_at <= terms.starts_at < terms.ends_at <= market.ends_at or terms.ends_at <= now:
        raise TradeRefused(
            f"contract {terms.reference} runs from {terms.starts_at.isoformat()} to {terms.ends_at.isoformat()}, "
            f"expected within market {market.code}, {market.starts_at.isoformat()} to {market.ends_at.isoformat()}, "
            f"and an end after {now.isoformat()}",
            field="ends_at",
        )


def _lock(organisation: Organisation, reference: str) -> Contract:
    seen = contracts_seen_by(organisation).filter(reference=reference).values_list("pk", flat=True)
    keys = list(seen)
    if not keys:
        raise UnknownTrade(f"{organisation.code} has no contract {reference!r}", name=reference)
    take_turn("contract", reference)
    with as_platform():
        held = Contract.objects.across_tenants().select_for_update(of=("self",))
        return held.select_related("market__product", "organisation", "buyer").get(pk=keys[0])
