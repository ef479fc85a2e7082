"""Flex requests and offers, in UFTP's words. Power is positive in the market's direction."""

from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Number, OffsetDateTime, PublicId, Text, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.spans import PartQuery
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView
from markets.api.flex_orders import FlexOrderRow
from markets.api.shapes import FLEX_OFFER, FLEX_ORDER, FLEX_REQUEST, Gbp
from markets.api.trading_shapes import (
    FACTOR,
    LARGEST_KW,
    MOST_PERIODS,
    POWER,
    PRICE,
    REFERENCE,
    TRADES,
    OfViewer,
    Reason,
    TradedRow,
)
from markets.core.trading_offers import MOST_OPTIONS, OptionTerms
from markets.models import FlexOffer, FlexRequest
from markets.queries import flex_offers_seen_by, flex_requests_seen_by
from markets.services.orders_accept import accept_offer
from markets.services.orders_offers import OfferTerms, make_offer, reject_offer, revoke_offer
from markets.services.orders_requests import FlexRequestTerms, publish_flex_request, withdraw_flex_request

EXPIRY = "UFTP ExpirationDateTime"


def _powers(**kwargs: Any) -> serializers.ListField:
    child = Number(min_value=0.0, max_value=LARGEST_KW)
    return serializers.ListField(child=child, min_length=1, max_length=MOST_PERIODS, **kwargs)


class NewFlexRequest(StrictSerializer):
    """Flexibility asked of a market's zone."""

    example = {
        "reference": "MILL/2026-11-30",
        "market": "mill-lane-evenings",
        "node": "S1",
        "starts_at": "2026-11-30T17:00:00Z",
        "ends_at": "2026-11-30T18:00:00Z",
        "requested_kw": [60.0, 60.0],
        "expires_at": "2026-11-25T12:00:00Z",
    }

    reference = Text(max_length=80, pattern=REFERENCE, help_text="the buyer's own id of it, used once")
    market = Code(max_length=50)
    node = Code(help_text="of the market's zone, or below it")
    starts_at = OffsetDateTime(help_text="on a half-hour, in the market's service windows")
    ends_at = OffsetDateTime(help_text="left out of the window; at most 24 hours after the start")
    requested_kw = _powers(help_text=POWER)
    expires_at = OffsetDateTime(required=False, help_text=f"{EXPIRY}; left out it is the gate closure")


class FlexRequestRow(TradedRow):
    """Flexibility asked for."""

    example = {
        "id": "flexrequest_1",
        **NewFlexRequest.example,
        "product": "su-night",
        "buyer": "dno",
        "direction": "turn_down",
        "gate_closes_at": "2026-11-26T00:00:00Z",
        "published_at": "2026-11-20T10:00:00Z",
        "state": "published",
        "acts": ["offer on"],
    }

    id = PublicId(FLEX_REQUEST, source="pk")
    reference = serializers.CharField()
    market = serializers.CharField(source="market.code")
    product = serializers.CharField(source="market.product.code")
    buyer = serializers.CharField(source="buyer.code")
    node = serializers.CharField(source="node.code")
    direction = serializers.CharField(source="market.activity")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    requested_kw = serializers.ListField(child=serializers.FloatField(), help_text=POWER)
    gate_closes_at = OffsetDateTime(help_text="by the market's rule")
    expires_at = OffsetDateTime(help_text=EXPIRY)
    published_at = OffsetDateTime()


class NewOption(StrictSerializer):
    """One way to take an offer; of several options one at most is ordered."""

    example = {"reference": "1", "power_kw": [40.0, 40.0], "price_gbp": "12.00", "min_activation_factor": "0.50"}

    reference = Text(max_length=80)
    power_kw = _powers(help_text=POWER)
    price_gbp = Text(max_length=11, pattern=PRICE, help_text="for the whole option, as decimal text in whole pence")
    min_activation_factor = Text(
        max_length=4, pattern=FACTOR, default="1.00", help_text="UFTP MinActivationFactor, 0.01 to 1.00"
    )


class NewFlexOffer(StrictSerializer):
    """What a DSRSP offers on a request."""

    example = {
        "reference": "FLEXCO/17",
        "flex_request": "MILL/2026-11-30",
        "options": [NewOption.example],
        "expires_at": "2026-11-27T12:00:00Z",
    }

    reference = Text(max_length=80, pattern=REFERENCE, help_text="the DSRSP's own id of it, used once")
    flex_request = Text(max_length=80, pattern=REFERENCE, help_text="reference of the request")
    options = serializers.ListField(child=NewOption(), min_length=1, max_length=MOST_OPTIONS)
    expires_at = OffsetDateTime(required=False, help_text=f"{EXPIRY}; left out it is when the window starts")


class OptionRow(Row):
    """One way to take an offer."""

    example = NewOption.example

    reference = serializers.CharField()
    power_kw = serializers.ListField(child=serializers.FloatField(), help_text=POWER)
    price_gbp = Gbp(help_text="for the whole option")
    min_activation_factor = serializers.DecimalField(max_digits=3, decimal_places=2, read_only=True)


class FlexOfferRow(TradedRow):
    """An offer on a request."""

    example = {
        "id": "flexoffer_1",
        "reference": "FLEXCO/17",
        "flex_request_id": "flexrequest_1",
        "flex_request": "MILL/2026-11-30",
        "dsrsp": "flexco",
        "options": [OptionRow.example],
        "expires_at": "2026-11-27T12:00:00Z",
        "offered_at": "2026-11-21T09:00:00Z",
        "state": "submitted",
        "acts": ["accept", "reject"],
    }

    id = PublicId(FLEX_OFFER, source="pk")
    reference = serializers.CharField()
    flex_request_id = PublicId(FLEX_REQUEST, source="request_id")
    flex_request = serializers.CharField(source="request.reference")
    dsrsp = serializers.CharField(source="organisation.code")
    options = OptionRow(many=True, source="options.all")
    expires_at = OffsetDateTime(help_text=EXPIRY)
    offered_at = OffsetDateTime()


class Acceptance(StrictSerializer):
    """What is ordered of an offer."""

    example = {"reference": "MILL/2026-11-30/1", "option": "1", "activation_factor": "0.75"}

    reference = Text(max_length=80, pattern=REFERENCE, help_text="the buyer's own id of the order, used once")
    option = Text(max_length=80, help_text="reference of the option")
    activation_factor = Text(
        max_length=4, pattern=FACTOR, default="1.00", help_text="no less than the option's smallest"
    )


class OfferAct(Reason):
    """What is done with an offer."""

    example = {**Reason.example, "act": "reject"}

    act = Choice(choices=["revoke", "reject"], help_text="revoke: its DSRSP; reject: its buyer")


class FlexRequestQuery(PartQuery):
    market = Code(max_length=50, required=False)
    node = Code(required=False)


class FlexRequests(OfViewer, ListView):
    """Flex requests: a buyer's own, or those in a DSRSP's zones. ``from`` and ``to`` keep windows in that span."""

    actions = {"GET": Action.SEE_MARKETS, "POST": Action.BUY_FLEX}
    row, filters = FlexRequestRow, FlexRequestQuery
    bodies = {"POST": NewFlexRequest}
    answers = {"POST": (201, FlexRequestRow)}
    orders = {"newest": ("-starts_at", "-pk"), "oldest": ("starts_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[FlexRequest]":
        fields = {"market": "market__code", "node": "node__code", "from": "ends_at__gt", "to": "starts_at__lt"}
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return flex_requests_seen_by(self.viewer.organisation).filter(**found)

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Publish a request to the DSRSPs with EVSEs at or below its node."""
        asked = self.body()
        terms = FlexRequestTerms(requested_kw=tuple(asked.pop("requested_kw")), **asked)
        made = publish_flex_request(organisation=self.viewer.organisation, terms=terms, now=timezone.now())
        where = reverse("api:flex_request", kwargs={"id": make_id(FLEX_REQUEST, made.pk)})
        return Response(self.show(made), status=201, headers={"Location": where})


class FlexRequestDetail(OfViewer, DetailView):
    """One flex request."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = FlexRequestRow, FLEX_REQUEST

    def find(self, *, to_change: bool = False) -> FlexRequest:
        return get_object_or_404(flex_requests_seen_by(self.viewer.organisation), pk=self.pk())


class FlexRequestWithdrawal(OfViewer, ApiView):
    """Taking a request back."""

    actions = {"POST": Action.BUY_FLEX}
    row, id_prefix = FlexRequestRow, FLEX_REQUEST
    bodies = {"POST": Reason}
    answers = {"POST": (200, FlexRequestRow)}

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Withdraw a request: offers that wait are rejected, orders stand."""
        organisation = self.viewer.organisation
        found = get_object_or_404(flex_requests_seen_by(organisation), pk=self.pk())
        made = withdraw_flex_request(
            organisation=organisation, reference=found.reference, now=timezone.now(), **self.body()
        )
        return Response(self.show(made))


class FlexOfferQuery(ListQuery):
    request = PublicId(FLEX_REQUEST, required=False, help_text="id of the flex request")


class FlexOffers(OfViewer, ListView):
    """Flex offers: a DSRSP's own, or those made to a buyer."""

    actions = {"GET": Action.SEE_MARKETS, "POST": Action.OFFER_FLEX}
    row, filters = FlexOfferRow, FlexOfferQuery
    bodies = {"POST": NewFlexOffer}
    answers = {"POST": (201, FlexOfferRow)}
    orders = {"newest": ("-offered_at", "-pk"), "oldest": ("offered_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[FlexOffer]":
        offers = flex_offers_seen_by(self.viewer.organisation).prefetch_related("options")
        return offers.filter(request=asked["request"]) if "request" in asked else offers

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Offer flexibility on a request.

        Refused after the gate closure, beyond what is requested, and beyond what can be delivered together with the
        DSRSP's other live offers and orders.
        """
        asked = self.body()
        options = tuple(_terms(option) for option in asked.pop("options"))
        terms = OfferTerms(request=asked.pop("flex_request"), options=options, **asked)
        made = make_offer(organisation=self.viewer.organisation, terms=terms, now=timezone.now())
        where = reverse("api:flex_offer", kwargs={"id": make_id(FLEX_OFFER, made.pk)})
        return Response(self.show(made), status=201, headers={"Location": where})


class FlexOfferDetail(OfViewer, DetailView):
    """One flex offer with its options."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = FlexOfferRow, FLEX_OFFER

    def find(self, *, to_change: bool = False) -> FlexOffer:
        return get_object_or_404(flex_offers_seen_by(self.viewer.organisation), pk=self.pk())


class FlexOfferActs(OfViewer, ApiView):
    """Taking an offer back, or turning it down."""

    actions = {"POST": TRADES}
    row, id_prefix = FlexOfferRow, FLEX_OFFER
    bodies = {"POST": OfferAct}
    answers = {"POST": (200, FlexOfferRow)}

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Revoke one's own offer (UFTP FlexOfferRevocation), or reject one that was made."""
        asked = self.body()
        do = {"revoke": revoke_offer, "reject": reject_offer}[asked["act"]]
        offer = do(
            organisation=self.viewer.organisation, offer_pk=self.pk(), reason=asked["reason"], now=timezone.now()
        )
        return Response(self.show(offer))


class FlexOfferAcceptance(ApiView):
    """Accepting an offer."""

    id_prefix: ClassVar[str] = FLEX_OFFER
    actions = {"POST": Action.BUY_FLEX}
    bodies = {"POST": Acceptance}
    answers = {"POST": (201, FlexOrderRow)}
    confirmed = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Order an option of an offer, whole or by a share of it. Two who accept at once accept once."""
        asked, organisation = self.body(), self.viewer.organisation
        if not self.pk():
            raise Http404
        order = accept_offer(
            organisation=organisation,
            offer_pk=self.pk(),
            option=asked["option"],
            reference=asked["reference"],
            activation_factor=Decimal(asked["activation_factor"]),
            now=timezone.now(),
        )
        where = reverse("api:flex_order", kwargs={"id": make_id(FLEX_ORDER, order.pk)})
        return Response(FlexOrderRow.show(order, reader=organisation), status=201, headers={"Location": where})


def _terms(option: dict[str, Any]) -> OptionTerms:
    return OptionTerms(
        reference=option["reference"],
        power_kw=np.array(option["power_kw"], dtype=np.float64),
        price_gbp=Decimal(option["price_gbp"]),
        min_activation_factor=Decimal(option["min_activation_factor"]),
    )
