"""Flex orders: accept an offer, whole or a share of it, once."""

from datetime import datetime
from decimal import Decimal

import numpy as np
from django.db import transaction

from aggregator.core.timegrid import SETTLEMENT_PERIOD
from aggregator.models import Organisation, as_platform
from aggregator.services.turns import take_turn
from markets.core.trading_offers import WHOLE, OptionTerms, activate
from markets.models import FlexOffer, FlexOrder, OfferOption
from markets.services.orders_offers import lock_offer
from markets.services.orders_requests import check_reference
from markets.services.orders_shared import TradeRefused, UnknownTrade, move, record, standing

ONE_HOUR_S = 3600
STEP_H = SETTLEMENT_PERIOD.total_seconds() / ONE_HOUR_S


def accept_offer(
    *,
    organisation: Organisation,
    offer_pk: int,
    option: str,
    reference: str,
    now: datetime,
    activation_factor: Decimal = WHOLE,
) -> FlexOrder:
    """Order one option of an offer; two who accept at once accept once, and the second is told.

    Raises:
        UnknownTrade: nothing like it was offered to the organisation.
        TransitionRefused: the offer is not there to be accepted any more; or its request was withdrawn.
        ActivationRefused: a factor below the option's smallest, or none.
        TradeRefused: the reference is taken.
    """
    check_reference(reference)
    with transaction.atomic():
        offer = lock_offer(organisation, offer_pk)
        before = standing(offer, now=now)
        with as_platform():
            move(offer, "accept", organisation=organisation, now=now)
            order = _order(offer, _option(offer, option), activation_factor, reference, now)
            facts = {
                "offer": offer.reference,
                "dsrsp": offer.organisation.code,
                "option": option,
                "activation_factor": activation_factor,
                "power_kw": order.power_kw,
                "price_gbp": order.price_gbp,
            }
            record(offer, "accept", organisation=organisation, now=now, before=before)
            record(order, "order", organisation=organisation, now=now, facts=facts)
    return order


def _option(offer: FlexOffer, reference: str) -> OfferOption:
    found = OfferOption.objects.filter(offer=offer, reference=reference).first()
    if found is None:
        raise UnknownTrade(f"offer {offer.reference} has no option {reference!r}", field="option", name=reference)
    return found


def _order(offer: FlexOffer, option: OfferOption, factor: Decimal, reference: str, now: datetime) -> FlexOrder:
    terms = OptionTerms(option.reference, np.array(option.power_kw), option.price_gbp, option.min_activation_factor)
    bought = activate(terms, factor, step_h=STEP_H)
    refuse_taken(reference)
    request = offer.request
    order = FlexOrder(
        reference=reference,
        market=request.market,
        organisation=offer.organisation,
        buyer=offer.buyer,
        offer=offer,
        option=option,
        node=request.node,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        activation_factor=factor,
        power_kw=bought.power_kw.tolist(),
        price_gbp=bought.price_gbp,
        price_gbp_per_mwh=bought.price_gbp_per_mwh,
        state="ordered",
        ordered_at=now,
    )
    order.save()
    return order


def refuse_taken(reference: str) -> None:
    """Refuse the reference of another order; nobody else can take it until the transaction ends.

    Raises:
        TradeRefused: so.
    """
    take_turn("flex order", reference)
    if FlexOrder.objects.across_tenants().filter(reference=reference).exists():
        raise TradeRefused(f"the reference {reference} is taken", field="reference")
