"""Calls on products."""

from decimal import Decimal

from django.db import transaction

from aggregator.core.errors import FlexError
from dispatch.models import TargetSignal
from markets.models import FlexEvent, Product


class UnknownProduct(FlexError):
    code = "markets.unknown_product"


class EventConflict(FlexError):
    code = "markets.event_conflict"


def open_event(*, signal: TargetSignal, product_code: str, price_gbp_per_mwh: Decimal) -> FlexEvent:
    """Put a request under the product's newest version that was valid when it was received.

    Raises:
        UnknownProduct: no version of the product was valid then.
        EventConflict: the request is under another product or price already, or its price is above what the
            request pays for shortfall (a plan would then rather fail than deliver).
    """
    product = (
        Product.objects.filter(code=product_code, valid_from__lte=signal.received_at).order_by("-version").first()
    )
    if product is None:
        raise UnknownProduct(
            f"no version of product {product_code!r} was valid at {signal.received_at.isoformat()}",
            product=product_code,
        )
    with transaction.atomic():
        event, _ = FlexEvent.objects.get_or_create(
            signal=signal, defaults={"product": product, "price_gbp_per_mwh": price_gbp_per_mwh}
        )
    if (event.product_id, event.price_gbp_per_mwh) != (product.pk, price_gbp_per_mwh):
        raise EventConflict(
            f"request {signal.reference} is already under {event.product} at {event.price_gbp_per_mwh} GBP/MWh",
            reference=signal.reference,
        )
    return event
