"""Calls on products."""

from decimal import Decimal

from django.db import transaction

from aggregator.core.errors import FlexError
from dispatch.models import TargetSignal
from markets.models import FlexEvent, Product

PENNY = Decimal("0.01")
HIGHEST_PRICE_GBP_PER_MWH = Decimal("99999999.99")


class UnknownProduct(FlexError):
    code = "markets.unknown_product"


class UnknownEvent(FlexError):
    code = "markets.unknown_event"


class EventConflict(FlexError):
    code = "markets.event_conflict"


class InvalidPrice(FlexError):
    code = "markets.invalid_price"


class ShortfallTooCheap(FlexError):
    code = "markets.shortfall_too_cheap"


def open_event(*, signal: TargetSignal, product_code: str, price_gbp_per_mwh: Decimal) -> FlexEvent:
    """Put a request under the product's newest version that was valid when it was received.

    Raises:
        InvalidPrice, UnknownProduct, ShortfallTooCheap: as for ``product_for``.
        EventConflict: the request is under another product or price already.
    """
    product = product_for(signal=signal, product_code=product_code, price_gbp_per_mwh=price_gbp_per_mwh)
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


def product_for(*, signal: TargetSignal, product_code: str, price_gbp_per_mwh: Decimal) -> Product:
    """The version of a product that a request at this price would be under; the request need not be stored.

    Raises:
        InvalidPrice: not a price in whole pence of 0 to 99,999,999.99 GBP/MWh.
        UnknownProduct: no version of the product was valid when the request was received.
        ShortfallTooCheap: a kWh missed costs the plan less than the product takes off the payment for it.
    """
    _refuse_bad_price(signal, price_gbp_per_mwh)
    product = Product.objects.filter(code=product_code, valid_from__lte=signal.received_at).order_by("-version").first()
    if product is None:
        raise UnknownProduct(
            f"no version of product {product_code!r} was valid at {signal.received_at.isoformat()}",
            product=product_code,
        )
    _refuse_cheap_shortfall(signal, product, price_gbp_per_mwh)
    return product


def find_event(*, reference: str) -> FlexEvent:
    """The event of the request with this reference.

    Raises:
        UnknownEvent: there is none.
    """
    event = FlexEvent.objects.select_related("signal__node", "product").filter(signal__reference=reference).first()
    if event is None:
        raise UnknownEvent(f"no event has the request {reference!r}", reference=reference)
    return event


def _refuse_bad_price(signal: TargetSignal, price_gbp_per_mwh: Decimal) -> None:
    """Refuse what the database would round: the price agreed and the price paid must be one."""
    is_price = price_gbp_per_mwh.is_finite() and 0 <= price_gbp_per_mwh <= HIGHEST_PRICE_GBP_PER_MWH
    if not is_price or price_gbp_per_mwh != price_gbp_per_mwh.quantize(PENNY):
        raise InvalidPrice(
            f"request {signal.reference}: {price_gbp_per_mwh} GBP/MWh is no price in whole pence of 0 to "
            f"{HIGHEST_PRICE_GBP_PER_MWH}",
            reference=signal.reference,
        )


def _refuse_cheap_shortfall(signal: TargetSignal, product: Product, price_gbp_per_mwh: Decimal) -> None:
    """Each kWh under-delivered takes ``slope`` times its price off the payment, so a plan must value it so."""
    penalty_gbp_per_kwh = float(price_gbp_per_mwh) * product.slope / 1000
    if signal.shortfall_gbp_per_kwh < penalty_gbp_per_kwh:
        raise ShortfallTooCheap(
            f"request {signal.reference} prices shortfall at {signal.shortfall_gbp_per_kwh} GBP/kWh; {product} takes "
            f"{penalty_gbp_per_kwh:.4f} GBP off for each kWh missed at {price_gbp_per_mwh} GBP/MWh",
            reference=signal.reference,
            shortfall_gbp_per_kwh=signal.shortfall_gbp_per_kwh,
        )
