"""Markets: where a buyer wants a product, when, and until when it may be offered. They are published."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Number, OffsetDateTime, Text, Whole
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import StrictSerializer
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView
from dispatch.models import TargetSignal
from markets.api.trading_shapes import LARGEST_KW, OfViewer, Reason, TradedRow
from markets.models import Market
from markets.queries import markets_seen_by
from markets.services.orders_markets import MarketTerms, make_market, move_market

CLOCK = r"^([01][0-9]|2[0-3]):(00|30)$"
LONGEST_LEAD = 366 * 24 * 60
CODE = r"^[a-z0-9][a-z0-9-]*$"


class ServiceWindowShape(StrictSerializer):
    """Local hours on some weekdays; one that ends no later than it starts goes on into the next day."""

    example = {"weekdays": [1, 2, 3, 4, 5], "starts": "16:00", "ends": "20:00"}

    weekdays = serializers.ListField(
        child=Whole(min_value=1, max_value=7), min_length=1, max_length=7, help_text="1 is Monday"
    )
    starts = Text(max_length=5, pattern=CLOCK, help_text="local time, on a half-hour")
    ends = Text(max_length=5, pattern=CLOCK, help_text="local time, left out of the window")


class GateClosureShape(StrictSerializer):
    """``lead``: so many minutes before the window; ``weekly``: at a local time in the week before."""

    example = {"kind": "weekly", "weekday": 4, "at": "00:00"}

    kind = Choice(choices=["lead", "weekly"])
    lead_minutes = Whole(min_value=0, max_value=LONGEST_LEAD, required=False, help_text="of kind lead")
    weekday = Whole(min_value=1, max_value=7, required=False, help_text="of kind weekly; 1 is Monday")
    at = Text(max_length=5, pattern=CLOCK, required=False, help_text="of kind weekly")


class NewMarket(StrictSerializer):
    """A market as its buyer states it."""

    example = {
        "code": "mill-lane-evenings",
        "name": "Mill Lane, winter evenings",
        "product": "su-night",
        "nodes": ["S1"],
        "activity": "turn_down",
        "service_windows": [ServiceWindowShape.example],
        "gate_closure": GateClosureShape.example,
        "min_kw": 10.0,
        "starts_at": "2026-11-01T00:00:00Z",
        "ends_at": "2027-03-01T00:00:00Z",
    }

    code = Text(max_length=50, pattern=CODE)
    name = Text(max_length=200)
    product = Code(max_length=50, help_text="code of a product the DNO buys; its newest version counts")
    nodes = serializers.ListField(
        child=Code(), min_length=1, max_length=1000, help_text="the zone: these nodes and all below them"
    )
    activity = Choice(choices=TargetSignal.Direction.values)
    service_windows = serializers.ListField(child=ServiceWindowShape(), min_length=1, max_length=50)
    gate_closure = GateClosureShape()
    min_kw = Number(min_value=0.0, max_value=LARGEST_KW, help_text="less than this is not offered for a half-hour")
    starts_at = OffsetDateTime(help_text="of the contract period")
    ends_at = OffsetDateTime()


class MarketRow(TradedRow):
    """A market."""

    example = {
        **{name: value for name, value in NewMarket.example.items() if name != "nodes"},
        "nodes": ["S1"],
        "product_version": 1,
        "buyer": "dno",
        "state": "open",
        "acts": ["suspend", "close"],
    }

    code = serializers.CharField()
    name = serializers.CharField()
    product = serializers.CharField(source="product.code")
    product_version = serializers.IntegerField(source="product.version")
    buyer = serializers.CharField(source="buyer.code")
    nodes = serializers.ListField(source="node_codes", child=serializers.CharField())
    activity = serializers.ChoiceField(choices=TargetSignal.Direction.values)
    service_windows = serializers.ListField(child=ServiceWindowShape(), help_text="local times")
    gate_closure = GateClosureShape()
    min_kw = serializers.FloatField()
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()


class MarketAct(Reason):
    """What is done with a market."""

    example = {**Reason.example, "act": "suspend"}

    act = Choice(choices=["suspend", "resume", "close"])


class MarketQuery(ListQuery):
    buyer = Code(max_length=50, required=False, help_text="code of the DNO")
    product = Code(max_length=50, required=False)


class Markets(OfViewer, ListView):
    """Markets, published to everybody."""

    actions = {"GET": Action.SEE_MARKETS, "POST": Action.BUY_FLEX}
    row, filters = MarketRow, MarketQuery
    bodies = {"POST": NewMarket}
    answers = {"POST": (201, MarketRow)}
    orders = {"code": ("code",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Market]":
        fields = {"buyer": "buyer__code", "product": "product__code"}
        return markets_seen_by(self.viewer.organisation).filter(**{fields[name]: asked[name] for name in asked})

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Make a market and publish it."""
        asked = self.body()
        terms = MarketTerms(node_codes=tuple(asked.pop("nodes")), **asked)
        market = make_market(organisation=self.viewer.organisation, terms=terms, now=timezone.now())
        where = reverse("api:market", kwargs={"code": market.code})
        return Response(self.show(market), status=201, headers={"Location": where})


class MarketDetail(OfViewer, DetailView):
    """One market."""

    actions = {"GET": Action.SEE_MARKETS}
    row = MarketRow

    def find(self, *, to_change: bool = False) -> Market:
        return get_object_or_404(markets_seen_by(self.viewer.organisation), code=self.kwargs["code"])


class MarketActs(OfViewer, ApiView):
    """What its buyer does with a market."""

    actions = {"POST": Action.BUY_FLEX}
    row = MarketRow
    bodies = {"POST": MarketAct}
    answers = {"POST": (200, MarketRow)}

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Suspend, resume or close one's own market; requests and orders under it stand."""
        market = move_market(
            organisation=self.viewer.organisation, code=self.kwargs["code"], now=timezone.now(), **self.body()
        )
        return Response(self.show(market))
