"""Asking for a dispatch over the API, and looking first at what it would do."""

from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Day, Number, OffsetDateTime, Text
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.views import ApiView
from dispatch.models import TargetSignal
from markets.api.acts import APPROVERS, ActFiguresRow, AskedActRow, AsksForAct, approvers
from markets.api.requests import RequestList
from markets.services.requests import KIND, DispatchRequest, ask_request_dispatch, plan_request

LARGEST_KW = 1_000_000.0
LARGEST_GBP_PER_KWH = 100_000.0
# So that it can stand in an address.
REFERENCE = r"^[A-Za-z0-9]([A-Za-z0-9_.:/ -]*[A-Za-z0-9])?$"
PRICE = r"^[0-9]{1,8}(\.[0-9]{1,2})?$"


class PlannedRequest(StrictSerializer):
    """A request for dispatch as it would be stated."""

    example = {
        "reference": "EVENING/1",
        "node": "S1",
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T19:00:00Z",
        "direction": "turn_down",
        "kind": "routine",
        "target_kw": 20.0,
        "shortfall_gbp_per_kwh": 1.0,
        "product": "su-night",
        "price_gbp_per_mwh": "300.00",
    }

    reference = Text(max_length=80, pattern=REFERENCE, help_text="the control room's own id of it, used once")
    node = Code(help_text="code of a node of the DNO's own network")
    starts_at = OffsetDateTime(help_text="on a half-hour, and not past")
    ends_at = OffsetDateTime(help_text="left out of the window; on a half-hour, at most 24 hours after the start")
    direction = Choice(
        choices=TargetSignal.Direction.values, help_text="turn_down: EV power at most target_kw; turn_up: at least"
    )
    kind = Choice(choices=TargetSignal.Kind.values)
    target_kw = Number(min_value=0.0, max_value=LARGEST_KW, help_text="EV power at and below the node, import positive")
    shortfall_gbp_per_kwh = Number(
        min_value=0.0,
        max_value=LARGEST_GBP_PER_KWH,
        help_text="what a plan reckons each kWh missed to cost; no less than the product takes off for it",
    )
    product = Code(max_length=50, required=False, help_text="code of a product the DNO buys; goes with a price")
    price_gbp_per_mwh = Text(
        max_length=11, pattern=PRICE, required=False, help_text="decimal text in whole pence; goes with a product"
    )


class NewRequest(PlannedRequest):
    """A request for dispatch, and why it is made."""

    example = {**PlannedRequest.example, "reason": "transformer at Mill Lane out for repair"}

    reason = Text(min_length=3, max_length=500, help_text="kept in the event log")


class RequestCheckRow(Row):
    """What a request would do if it were asked for now. EVSEs and power are told in groups of five and 50 kW."""

    example = {
        "reference": "EVENING/1",
        "node": "S1",
        "area": "S1",
        "charging_days": ["2026-01-14"],
        "tariff": "night",
        "product": "su-night v1",
        "n_evse": 60,
        "rated_kw": 450.0,
        "figures": ActFiguresRow.example,
        "exceeded": ["total_mw"],
        "approvers": ["control_room_supervisor"],
    }

    reference = serializers.CharField(source="request.reference")
    node = serializers.CharField(source="request.node")
    area = serializers.CharField(help_text="code of the top node of the area that is dispatched anew")
    charging_days = serializers.ListField(source="days", child=Day(), help_text="for which it is dispatched anew")
    tariff = serializers.CharField(help_text="at whose prices")
    product = serializers.SerializerMethodField(help_text="product and version it is a call on; null: it is unpaid")
    n_evse = serializers.IntegerField(source="size.n_evse", help_text="enrolled at and below the node")
    rated_kw = serializers.FloatField(source="size.rated_kw", help_text="sum of their ratings")
    figures = ActFiguresRow(help_text="what it may move at most")
    exceeded = serializers.ListField(
        child=serializers.CharField(),
        help_text="figures above what one person may move, with what was asked in the ten minutes before",
    )
    approvers = serializers.SerializerMethodField(help_text=f"{APPROVERS}; empty: nobody else is needed")

    def get_product(self, plan: Any) -> str | None:
        return plan.product or None

    def get_approvers(self, plan: Any) -> list[str]:
        return approvers(KIND, self.context["organisation"]) if plan.exceeded else []


def _request(asked: dict[str, Any]) -> DispatchRequest:
    price = asked.get("price_gbp_per_mwh")
    stated = {name: value for name, value in asked.items() if name not in ("reason", "price_gbp_per_mwh")}
    return DispatchRequest(**stated, price_gbp_per_mwh=None if price is None else Decimal(price))


class Requests(AsksForAct, RequestList):
    """Requests for dispatch: a DNO's own.

    ``from`` and ``to`` keep those whose window overlaps that span.
    """

    actions = {**RequestList.actions, "POST": Action.REQUEST_DISPATCH}
    bodies = {"POST": NewRequest}
    answers = {"POST": (202, AskedActRow)}
    confirmed = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Request a dispatch.

        Below the thresholds the request is received at once and its area dispatched anew; above any of them the act
        waits for a second person. ``/requests:check/`` says beforehand which it would be.
        """
        asked = self.body()
        act = ask_request_dispatch(
            organisation=self.viewer.organisation,
            request=_request(asked),
            reason=asked["reason"],
            asked_by_pk=self.viewer.user_pk,
            now=timezone.now(),
        )
        return self.answer_act(act, made=reverse("api:request", kwargs={"reference": asked["reference"]}))


class RequestCheck(ApiView):
    """What a request would do."""

    actions = {"POST": Action.REQUEST_DISPATCH}
    bodies = {"POST": PlannedRequest}
    answers = {"POST": (200, RequestCheckRow)}

    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check a request and say what it would do and who would have to agree; nothing is stored."""
        organisation = self.viewer.organisation
        plan = plan_request(organisation=organisation, request=_request(self.body()), now=timezone.now())
        return Response(RequestCheckRow.show(plan, organisation=organisation))
