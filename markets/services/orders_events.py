"""A dispatch of an order: its request comes under the order's product at the order's price."""

from datetime import datetime

from aggregator.models import Organisation, as_platform
from aggregator.services.turns import take_turn
from dispatch.models import TargetSignal
from markets.models import FlexEvent, FlexOrder
from markets.services.control_groups import spare_control_groups
from markets.services.orders_shared import UnknownTrade, move, record, standing


def order_to_dispatch(*, organisation: Organisation, reference: str) -> FlexOrder:
    """The order of this reference that an organisation bought.

    Raises:
        UnknownTrade: there is none.
    """
    bought = FlexOrder.objects.across_tenants().filter(buyer=organisation, reference=reference)
    order = bought.select_related("market__product", "node", "organisation").first()
    if order is None:
        raise UnknownTrade(f"{organisation.code} has no flex order {reference!r}", name=reference)
    return order


def lock_order(*, organisation: Organisation, reference: str) -> FlexOrder:
    """The same, held to the end of the transaction.

    Raises:
        UnknownTrade: there is none.
    """
    take_turn("flex order", reference)
    with as_platform():
        held = FlexOrder.objects.across_tenants().select_for_update(of=("self",))
        order = held.select_related("market__product", "node", "event__signal", "organisation", "buyer")
        found = order.filter(buyer=organisation, reference=reference).first()
    if found is None:
        raise UnknownTrade(f"{organisation.code} has no flex order {reference!r}", name=reference)
    return found


def dispatch_under_order(
    *, organisation: Organisation, reference: str, signal: TargetSignal, now: datetime
) -> FlexEvent:
    """Put a received request under an order, which is dispatched by it; call it in a transaction as the platform.

    Raises:
        UnknownTrade, TransitionRefused: there is no such order, or it was dispatched, cancelled or lapsed already.
    """
    order = lock_order(organisation=organisation, reference=reference)
    before = standing(order, now=now)
    move(order, "dispatch", organisation=organisation, now=now)
    event = FlexEvent.objects.create(
        product=order.market.product, signal=signal, price_gbp_per_mwh=order.price_gbp_per_mwh
    )
    spare_control_groups(event=event)
    order.event = event
    order.save(update_fields=["event"])
    facts = {"request": signal.reference, "target_kw": signal.target_kw}
    record(order, "dispatch", organisation=organisation, now=now, before=before, facts=facts)
    return event
