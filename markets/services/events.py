"""Calls on products."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.models import Organisation
from dispatch.models import TargetSignal
from markets.core.payment import steepest_slope
from markets.models import FlexEvent, Product
from markets.services.control_groups import spare_control_groups
from markets.services.rules import performance_rule

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


class TooLittleNotice(FlexError):
    code = "markets.too_little_notice"


class TooShort(FlexError):
    code = "markets.too_short"


def open_event(
    *, signal: TargetSignal, product_code: str, price_gbp_per_mwh: Decimal, dsrsp: Organisation | None = None
) -> FlexEvent:
    """Put a request under the product's newest version that was valid when it was received.

    Args:
        dsrsp: who is called alone; None for everybody in the zone.

    Whom control groups keep out of it is fixed with it (``control_groups.spare_control_groups``).

    Raises:
        InvalidPrice, UnknownProduct, TooLittleNotice, TooShort, ShortfallTooCheap: as for ``product_for``.
        EventConflict: the request is under another product or price already.
    """
    product = product_for(signal=signal, product_code=product_code, price_gbp_per_mwh=price_gbp_per_mwh)
    with transaction.atomic():
        event, is_new = FlexEvent.objects.get_or_create(
            signal=signal, defaults={"product": product, "price_gbp_per_mwh": price_gbp_per_mwh, "dsrsp": dsrsp}
        )
        if is_new:
            spare_control_groups(event=event)
    if (event.product_id, event.price_gbp_per_mwh) != (product.pk, price_gbp_per_mwh):
        raise EventConflict(
            f"request {signal.reference} is already under {event.product} at {event.price_gbp_per_mwh} GBP/MWh",
            reference=signal.reference,
        )
    return event


def product_for(*, signal: TargetSignal, product_code: str, price_gbp_per_mwh: Decimal) -> Product:
    """The version of a product that a request at this price would be under; the request need not be stored.

    Raises:
        InvalidPrice: not a price in whole pence of 0 to 99,999,999.99 GBP/MWh, or not the one the product fixes.
        UnknownProduct: no version of the product was valid when the request was received.
        TooLittleNotice, TooShort: the request starts too soon after it was received, or is shorter than the product's
            minimum run.
        ShortfallTooCheap: a kWh missed costs the plan less than the product takes off the payment for it.
    """
    _refuse_bad_price(signal, price_gbp_per_mwh)
    product = Product.objects.filter(code=product_code, valid_from__lte=signal.received_at).order_by("-version").first()
    if product is None:
        raise UnknownProduct(
            f"no version of product {product_code!r} was valid at {signal.received_at.isoformat()}",
            product=product_code,
        )
    if product.utilisation_gbp_per_mwh not in (None, price_gbp_per_mwh):
        raise InvalidPrice(
            f"request {signal.reference} is priced at {price_gbp_per_mwh} GBP/MWh; {product} fixes "
            f"{product.utilisation_gbp_per_mwh}",
            reference=signal.reference,
            field="price_gbp_per_mwh",
        )
    _refuse_bad_timing(signal, product)
    _refuse_cheap_shortfall(signal, product, price_gbp_per_mwh)
    return product


def least_shortfall_gbp_per_kwh(product: Product, price_gbp_per_mwh: Decimal) -> float:
    """Each kWh under-delivered takes its price by the rule's steepest part, and a penalty, off the payment."""
    steepest = steepest_slope(performance_rule(product))
    return float(Fraction(price_gbp_per_mwh) * steepest + Fraction(product.penalty_gbp_per_mwh)) / 1000


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


def _refuse_bad_timing(signal: TargetSignal, product: Product) -> None:
    notice, run = signal.starts_at - signal.received_at, signal.ends_at - signal.starts_at
    if notice < product.notice:
        raise TooLittleNotice(
            f"request {signal.reference} starts {_minutes(notice)} after it was received; {product} needs "
            f"{_minutes(product.notice)} of notice",
            reference=signal.reference,
            field="starts_at",
        )
    if run < product.min_run:
        raise TooShort(
            f"request {signal.reference} runs {_minutes(run)}; {product} runs {_minutes(product.min_run)} at least",
            reference=signal.reference,
            field="ends_at",
        )


def _minutes(length: timedelta) -> str:
    return f"{length / timedelta(minutes=1):g} minutes"


def _refuse_cheap_shortfall(signal: TargetSignal, product: Product, price_gbp_per_mwh: Decimal) -> None:
    penalty_gbp_per_kwh = least_shortfall_gbp_per_kwh(product, price_gbp_per_mwh)
    if signal.shortfall_gbp_per_kwh < penalty_gbp_per_kwh:
        raise ShortfallTooCheap(
            f"request {signal.reference} prices shortfall at {signal.shortfall_gbp_per_kwh} GBP/kWh; {product} takes "
            f"{penalty_gbp_per_kwh:.4f} GBP off for each kWh missed at {price_gbp_per_mwh} GBP/MWh",
            reference=signal.reference,
            shortfall_gbp_per_kwh=signal.shortfall_gbp_per_kwh,
        )
