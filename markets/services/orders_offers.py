"""Flex offers: what a DSRSP offers on a request, and taking it back or turning it down."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db import transaction

from aggregator.core.types import FloatArray
from aggregator.models import NetworkNode, Organisation, as_platform
from aggregator.services.turns import take_turn
from markets.arrays.trading import load_promised_kw, load_registered_kw
from markets.core.trading_offers import OptionTerms, check_options, refuse_undeliverable
from markets.models import FlexOffer, FlexRequest, OfferOption
from markets.queries import flex_offers_seen_by, flex_requests_seen_by
from markets.services.orders_requests import check_reference
from markets.services.orders_shared import TradeRefused, UnknownTrade, check_act, move, reason_of, record, standing


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """What is offered; ``expires_at`` left out is when the request's window starts."""

    reference: str
    request: str
    options: tuple[OptionTerms, ...]
    expires_at: datetime | None = None


def make_offer(*, organisation: Organisation, terms: OfferTerms, now: datetime) -> FlexOffer:
    """Offer flexibility on a request.

    Raises:
        UnknownTrade: the DSRSP sees no such request.
        TransitionRefused: the request's gate is closed, or it was withdrawn.
        TradeRefused, OfferRefused: what is offered is refused; also where it could not be delivered together with
            the DSRSP's other live offers and orders.
    """
    check_reference(terms.reference)
    request = flex_requests_seen_by(organisation).filter(reference=terms.request).first()
    if request is None:
        raise UnknownTrade(f"{organisation.code} sees no flex request {terms.request!r}", name=terms.request)
    check_act(request, "offer on", organisation=organisation, now=now)
    requested_kw = np.array(request.requested_kw)
    check_options(terms.options, requested_kw=requested_kw, min_kw=request.market.min_kw)
    expires_at = _expiry(request, terms, now)
    with transaction.atomic(), as_platform():
        take_turn("offers", organisation.pk)  # two at once could each be deliverable, and both not
        own = FlexOffer.objects.across_tenants().filter(organisation=organisation, reference=terms.reference)
        if own.exists():
            raise TradeRefused(f"the reference {terms.reference} is taken", field="reference")
        request = FlexRequest.objects.select_for_update(of=("self",)).get(pk=request.pk)
        check_act(request, "offer on", organisation=organisation, now=now)
        offered_kw = np.max([option.power_kw for option in terms.options], axis=0)
        _refuse_undeliverable(request, organisation, offered_kw, now)
        offer = FlexOffer(
            reference=terms.reference,
            request=request,
            organisation=organisation,
            buyer=request.buyer,
            expires_at=expires_at,
            state="submitted",
            offered_at=now,
        )
        offer.save()
        OfferOption.objects.bulk_create(_options(offer, terms))
        stated = {"request": request.reference, "expires_at": expires_at, "options": len(terms.options)}
        record(offer, "submit", organisation=organisation, now=now, facts=stated)
    return offer


def revoke_offer(*, organisation: Organisation, offer_pk: int, reason: str, now: datetime) -> FlexOffer:
    """Take one's own offer back before it is accepted (UFTP FlexOfferRevocation).

    Raises:
        UnknownTrade: the DSRSP has no such offer.
        TransitionRefused: it was accepted, rejected or revoked already, or has expired.
    """
    return _move(organisation, offer_pk, "revoke", reason, now)


def reject_offer(*, organisation: Organisation, offer_pk: int, reason: str, now: datetime) -> FlexOffer:
    """Turn an offer down.

    Raises:
        UnknownTrade, TransitionRefused: as for ``revoke_offer``.
    """
    return _move(organisation, offer_pk, "reject", reason, now)


def lock_offer(organisation: Organisation, offer_pk: int) -> FlexOffer:
    """An offer that an organisation made or was made, held to the end of the transaction.

    Raises:
        UnknownTrade: there is none.
    """
    seen = flex_offers_seen_by(organisation).filter(pk=offer_pk).values_list("pk", flat=True)
    if not list(seen):
        raise UnknownTrade(f"{organisation.code} has no flex offer {offer_pk}", id=offer_pk)
    take_turn("flex offer", offer_pk)
    with as_platform():
        held = FlexOffer.objects.across_tenants().select_for_update(of=("self",))
        return held.select_related("request__market__product", "organisation", "buyer").get(pk=offer_pk)


def _move(organisation: Organisation, offer_pk: int, event: str, reason: str, now: datetime) -> FlexOffer:
    said = reason_of(reason)
    with transaction.atomic():
        offer = lock_offer(organisation, offer_pk)
        before = standing(offer, now=now)
        with as_platform():
            move(offer, event, organisation=organisation, now=now)
            record(offer, event, organisation=organisation, now=now, reason=said, before=before)
    return offer


def _expiry(request: FlexRequest, terms: OfferTerms, now: datetime) -> datetime:
    expires_at = terms.expires_at or request.starts_at
    if expires_at.tzinfo is None or not now < expires_at <= request.starts_at:
        raise TradeRefused(
            f"offer {terms.reference} would expire at {expires_at.isoformat()}, expected after {now.isoformat()} and "
            f"no later than the window's start, {request.starts_at.isoformat()}",
            field="expires_at",
            value=expires_at.isoformat(),
        )
    return expires_at


def _options(offer: FlexOffer, terms: OfferTerms) -> list[OfferOption]:
    return [
        OfferOption(
            offer=offer,
            reference=option.reference,
            power_kw=option.power_kw.tolist(),
            price_gbp=option.price_gbp,
            min_activation_factor=option.min_activation_factor,
        )
        for option in terms.options
    ]


def _refuse_undeliverable(
    request: FlexRequest, organisation: Organisation, offered_kw: FloatArray, now: datetime
) -> None:
    """At the request's node and at each above it: an EVSE promised at a feeder is promised at its substation too."""
    node: NetworkNode | None = request.node
    while node is not None:
        promised_kw = load_promised_kw(
            node=node,
            organisation=organisation,
            starts_at=request.starts_at,
            n_period=len(offered_kw),
            direction=request.market.activity,
            now=now,
        )
        firm_kw = load_registered_kw(node=node, organisation=organisation, at=request.starts_at)
        refuse_undeliverable(offered_kw, promised_kw, firm_kw=firm_kw, node=node.code)
        node = node.parent
