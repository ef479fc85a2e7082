"""Dispatch an order: ask its zone for the power that was bought, as a control act like any other dispatch."""

from datetime import datetime
from math import isfinite

from aggregator.core.timegrid import SETTLEMENT_PERIOD
from aggregator.models import ControlAct, Organisation, as_platform
from dispatch.models import TargetSignal
from markets.arrays.settlement import load_portfolios
from markets.arrays.trading import add_orders, load_live_orders
from markets.core.trading_offers import target_of_orders
from markets.models import FlexEvent, FlexOrder
from markets.services.events import least_shortfall_gbp_per_kwh
from markets.services.orders_events import order_to_dispatch
from markets.services.orders_shared import TradeRefused, check_act
from markets.services.request_check import ask_once
from markets.services.requests import DispatchRequest, RequestPlan, plan_request
from markets.services.settlement import expected_held_out_kw, expected_power_kw
from markets.services.settlement_load import direction_of

LEAST_SHORTFALL_GBP_PER_KWH = 1.0


def dispatch_of(
    *, organisation: Organisation, reference: str, now: datetime, target_kw: float | None = None
) -> DispatchRequest:
    """The request for dispatch that an order comes to.

    Args:
        target_kw: EV power to ask of the zone; left out, it is what is expected less what is ordered.

    Raises:
        UnknownTrade, TransitionRefused: there is no such order, or it can't be dispatched now.
        TradeRefused: nothing is known of what to expect, so that the target must be stated.
    """
    with as_platform():  # the zone's other EVSEs are expected to go on as they do
        order = order_to_dispatch(organisation=organisation, reference=reference)
        check_act(order, "dispatch", organisation=organisation, now=now)
        target = expected_target_kw(order=order, now=now) if target_kw is None else target_kw
    if not isfinite(target):
        raise TradeRefused(
            f"no baseline is known of the EVSEs at and below {order.node.code}: state the target of order {reference}",
            field="target_kw",
        )
    product, price = order.market.product, order.price_gbp_per_mwh
    return DispatchRequest(
        reference=reference,
        node=order.node.code,
        starts_at=order.starts_at,
        ends_at=order.ends_at,
        direction=order.market.activity,
        target_kw=round(target, 1),
        shortfall_gbp_per_kwh=max(least_shortfall_gbp_per_kwh(product, price), LEAST_SHORTFALL_GBP_PER_KWH),
        product=product.code,
        price_gbp_per_mwh=price,
        order=reference,
    )


def plan_dispatch_order(
    *, organisation: Organisation, reference: str, now: datetime, target_kw: float | None = None
) -> RequestPlan:
    """What dispatching an order would do, without doing it.

    Raises:
        FlexError: as for ``dispatch_of`` and ``plan_request``.
    """
    request = dispatch_of(organisation=organisation, reference=reference, now=now, target_kw=target_kw)
    return plan_request(organisation=organisation, request=request, now=now)


def ask_dispatch_order(
    *,
    organisation: Organisation,
    reference: str,
    reason: str,
    asked_by_pk: int | None,
    now: datetime,
    target_kw: float | None = None,
) -> ControlAct:
    """Ask for an order's dispatch; above the thresholds a second person must agree.

    Raises:
        FlexError: as for ``plan_dispatch_order`` and ``ask_control_act``.
    """
    request = dispatch_of(organisation=organisation, reference=reference, now=now, target_kw=target_kw)
    return ask_once(organisation=organisation, request=request, reason=reason, asked_by_pk=asked_by_pk, now=now)


def expected_target_kw(*, order: FlexOrder, now: datetime) -> float:
    """EV power at an order's node less (turn-up: more) what is ordered there; NaN where nothing is known.

    What other orders that were dispatched already take at and below the node counts with it, so that each of several
    requests is met only when all of them are.
    """
    n_period = (order.ends_at - order.starts_at) // SETTLEMENT_PERIOD
    signal = TargetSignal(
        node=order.node,
        starts_at=order.starts_at,
        ends_at=order.ends_at,
        direction=order.market.activity,
        target_kw=0.0,
    )
    event = FlexEvent(product=order.market.product, signal=signal, price_gbp_per_mwh=order.price_gbp_per_mwh)
    portfolios = load_portfolios(event=event)
    if portfolios.n_unit == 0:
        return float("nan")
    others = load_live_orders(
        node=order.node,
        starts_at=order.starts_at,
        ends_at=order.ends_at,
        direction=order.market.activity,
        states=("dispatched",),
    )
    all_orders = [order, *(other for other in others if other.pk != order.pk)]
    expected_kw = expected_power_kw(event=event, portfolios=portfolios, as_of=now)
    return target_of_orders(
        expected_kw + expected_held_out_kw(expected_kw, portfolios),
        add_orders(all_orders, starts_at=order.starts_at, n_period=n_period),
        direction=direction_of(event),
    )
