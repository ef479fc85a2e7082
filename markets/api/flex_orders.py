"""Flex orders: what was bought, its dispatch, stop and cancellation. Power is positive in the market's direction."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Number, OffsetDateTime, PublicId, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.spans import PartQuery
from aggregator.rest.views import ApiView, DetailView, ListView
from markets.api.acts import AskedActRow, AsksForAct
from markets.api.shapes import EVENT, FLEX_ORDER, Gbp
from markets.api.trading_shapes import LARGEST_KW, POWER, OfViewer, Reason, TradedRow
from markets.models import FlexOrder
from markets.queries import flex_orders_seen_by
from markets.services.orders_dispatch import ask_dispatch_order
from markets.services.orders_stop import cancel_order, stop_order

TARGET = "EV power to ask of the node, import positive; left out, it is what is expected less what is ordered"


class FlexOrderRow(TradedRow):
    """What was bought of one DSRSP: an option of an offer, or a call under a contract."""

    example = {
        "id": "flexorder_1",
        "reference": "MILL/2026-11-30/1",
        "market": "mill-lane-evenings",
        "product": "su-night",
        "buyer": "dno",
        "dsrsp": "flexco",
        "offer": "FLEXCO/17",
        "contract": None,
        "node": "S1",
        "direction": "turn_down",
        "starts_at": "2026-11-30T17:00:00Z",
        "ends_at": "2026-11-30T18:00:00Z",
        "activation_factor": "0.75",
        "power_kw": [30.0, 30.0],
        "price_gbp": "9.0000",
        "price_gbp_per_mwh": "300.00",
        "ordered_at": "2026-11-26T11:00:00Z",
        "flex_event": None,
        "stopped_at": None,
        "state": "ordered",
        "acts": ["dispatch", "cancel"],
    }

    id = PublicId(FLEX_ORDER, source="pk")
    reference = serializers.CharField()
    market = serializers.CharField(source="market.code")
    product = serializers.CharField(source="market.product.code")
    buyer = serializers.CharField(source="buyer.code")
    dsrsp = serializers.CharField(source="organisation.code")
    offer = serializers.SerializerMethodField(help_text="reference of the offer; null under a contract")
    contract = serializers.SerializerMethodField(help_text="reference of the contract; null for an offer")
    node = serializers.CharField(source="node.code")
    direction = serializers.CharField(source="market.activity")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    activation_factor = serializers.DecimalField(max_digits=3, decimal_places=2, read_only=True)
    power_kw = serializers.ListField(child=serializers.FloatField(), help_text=POWER)
    price_gbp = serializers.DecimalField(
        max_digits=16, decimal_places=4, read_only=True, help_text="for all of it, delivered in full"
    )
    price_gbp_per_mwh = Gbp(help_text="what settlement pays for each MWh")
    ordered_at = OffsetDateTime()
    flex_event = PublicId(EVENT, source="event_id", allow_null=True, help_text="null until it is dispatched")
    stopped_at = OffsetDateTime(allow_null=True, help_text="nothing is ordered from then on")

    def get_offer(self, order: FlexOrder) -> str | None:
        return order.offer.reference if order.offer else None

    def get_contract(self, order: FlexOrder) -> str | None:
        return order.contract.reference if order.contract else None


class NewDispatch(Reason):
    """The dispatch of an order."""

    example = {**Reason.example, "target_kw": 120.0}

    target_kw = Number(min_value=0.0, max_value=LARGEST_KW, required=False, help_text=TARGET)


class OrderAct(Reason):
    """What ends an order."""

    example = {**Reason.example, "act": "stop"}

    act = Choice(choices=["stop", "cancel"], help_text="stop: in its window; cancel: before it")


class FlexOrderQuery(PartQuery):
    market = Code(max_length=50, required=False)
    node = Code(required=False)


class FlexOrders(OfViewer, ListView):
    """Flex orders: a DSRSP's own, or a buyer's own. ``from`` and ``to`` keep windows in that span."""

    actions = {"GET": Action.SEE_MARKETS}
    row, filters = FlexOrderRow, FlexOrderQuery
    orders = {"newest": ("-starts_at", "-pk"), "oldest": ("starts_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[FlexOrder]":
        fields = {"market": "market__code", "node": "node__code", "from": "ends_at__gt", "to": "starts_at__lt"}
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return flex_orders_seen_by(self.viewer.organisation).filter(**found)


class FlexOrderDetail(OfViewer, DetailView):
    """One flex order."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = FlexOrderRow, FLEX_ORDER

    def find(self, *, to_change: bool = False) -> FlexOrder:
        return get_object_or_404(flex_orders_seen_by(self.viewer.organisation), pk=self.pk())


class FlexOrderDispatch(AsksForAct):
    """The dispatch of an order."""

    done: ClassVar[int] = 200
    id_prefix = FLEX_ORDER
    actions = {"POST": Action.REQUEST_DISPATCH}
    bodies = {"POST": NewDispatch}
    answers = {"POST": (202, AskedActRow)}
    confirmed = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Dispatch an order: its DSRSP is instructed what was ordered, and the area dispatched anew.

        As the thresholds stand a second person must agree.
        """
        organisation = self.viewer.organisation
        order = get_object_or_404(flex_orders_seen_by(organisation), pk=self.pk())
        act = ask_dispatch_order(
            organisation=organisation,
            reference=order.reference,
            asked_by_pk=self.viewer.user_pk,
            now=timezone.now(),
            **self.body(),
        )
        return self.answer_act(act, made=reverse("api:flex_order", kwargs={"id": make_id(FLEX_ORDER, order.pk)}))


class FlexOrderActs(OfViewer, ApiView):
    """Ending an order."""

    actions = {"POST": Action.REQUEST_DISPATCH}
    row, id_prefix = FlexOrderRow, FLEX_ORDER
    bodies = {"POST": OrderAct}
    answers = {"POST": (200, FlexOrderRow)}

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Stop an order under delivery, or cancel one before it; what came before the stop is settled."""
        asked, organisation = self.body(), self.viewer.organisation
        order = get_object_or_404(flex_orders_seen_by(organisation), pk=self.pk())
        do = {"stop": stop_order, "cancel": cancel_order}[asked["act"]]
        made = do(organisation=organisation, reference=order.reference, reason=asked["reason"], now=timezone.now())
        return Response(self.show(made))
