"""Contracts: standing agreements under which a buyer orders directly."""

from decimal import Decimal
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
from aggregator.rest.fields import Choice, Code, Number, OffsetDateTime, PublicId, Text, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import StrictSerializer
from aggregator.rest.views import ApiView, DetailView, ListView
from markets.api.acts import AskedActRow, AsksForAct
from markets.api.flex_orders import TARGET
from markets.api.shapes import CONTRACT, Gbp
from markets.api.trading_shapes import (
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
from markets.models import Contract
from markets.queries import contracts_seen_by
from markets.services.orders_contracts import (
    Call,
    ContractTerms,
    instruct_under_contract,
    move_contract,
    propose_contract,
)

ACTS = {"agree": "agree to", "decline": "decline", "withdraw": "withdraw", "end": "end"}


class NewContract(StrictSerializer):
    """A contract as a buyer proposes it."""

    example = {
        "reference": "MILL/FLEXCO",
        "market": "mill-lane-evenings",
        "dsrsp": "flexco",
        "starts_at": "2026-11-01T00:00:00Z",
        "ends_at": "2027-03-01T00:00:00Z",
        "max_kw": 100.0,
        "price_gbp_per_mwh": "250.00",
    }

    reference = Text(max_length=80, pattern=REFERENCE, help_text="the buyer's own id of it, used once")
    market = Code(max_length=50, help_text="its zone and service windows are the contract's")
    dsrsp = Code(max_length=50, help_text="code of the DSRSP")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    max_kw = Number(min_value=0.0, max_value=LARGEST_KW, help_text="ordered at most at once")
    price_gbp_per_mwh = Text(max_length=11, pattern=PRICE, help_text="decimal text in whole pence")


class ContractRow(TradedRow):
    """A standing agreement."""

    example = {
        "id": "contract_1",
        **NewContract.example,
        "buyer": "dno",
        "proposed_at": "2026-10-20T10:00:00Z",
        "state": "in_force",
        "acts": ["instruct under", "end"],
    }

    id = PublicId(CONTRACT, source="pk")
    reference = serializers.CharField()
    market = serializers.CharField(source="market.code")
    buyer = serializers.CharField(source="buyer.code")
    dsrsp = serializers.CharField(source="organisation.code")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    max_kw = serializers.FloatField()
    price_gbp_per_mwh = Gbp()
    proposed_at = OffsetDateTime()


class ContractAct(Reason):
    """What is done with a contract."""

    example = {**Reason.example, "act": "agree"}

    act = Choice(choices=list(ACTS), help_text="agree, decline: its DSRSP; withdraw: its buyer; end: either")


class NewCall(Reason):
    """A call under a contract, dispatched at once."""

    example = {
        **Reason.example,
        "reference": "MILL/FLEXCO/7",
        "node": "S1",
        "starts_at": "2026-11-30T17:00:00Z",
        "ends_at": "2026-11-30T18:00:00Z",
        "power_kw": [40.0, 40.0],
    }

    reference = Text(max_length=80, pattern=REFERENCE, help_text="the buyer's own id of the order, used once")
    node = Code(help_text="of the market's zone, or below it")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    power_kw = serializers.ListField(
        child=Number(min_value=0.0, max_value=LARGEST_KW), min_length=1, max_length=MOST_PERIODS, help_text=POWER
    )
    target_kw = Number(min_value=0.0, max_value=LARGEST_KW, required=False, help_text=TARGET)


class Contracts(OfViewer, ListView):
    """Contracts: a DSRSP's own, or a buyer's own."""

    actions = {"GET": Action.SEE_MARKETS, "POST": Action.BUY_FLEX}
    row = ContractRow
    bodies = {"POST": NewContract}
    answers = {"POST": (201, ContractRow)}
    orders = {"newest": ("-proposed_at", "-pk"), "oldest": ("proposed_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Contract]":
        return contracts_seen_by(self.viewer.organisation)

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Propose a contract to a DSRSP; it is in force once the DSRSP agrees."""
        asked = self.body()
        terms = ContractTerms(price_gbp_per_mwh=Decimal(asked.pop("price_gbp_per_mwh")), **asked)
        made = propose_contract(organisation=self.viewer.organisation, terms=terms, now=timezone.now())
        where = reverse("api:contract", kwargs={"id": make_id(CONTRACT, made.pk)})
        return Response(self.show(made), status=201, headers={"Location": where})


class ContractDetail(OfViewer, DetailView):
    """One contract."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = ContractRow, CONTRACT

    def find(self, *, to_change: bool = False) -> Contract:
        return get_object_or_404(contracts_seen_by(self.viewer.organisation), pk=self.pk())


class ContractActs(OfViewer, ApiView):
    """What is done with a contract."""

    actions = {"POST": TRADES}
    row, id_prefix = ContractRow, CONTRACT
    bodies = {"POST": ContractAct}
    answers = {"POST": (200, ContractRow)}

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Agree to a contract, decline it, withdraw or end it; orders under it stand."""
        asked, organisation = self.body(), self.viewer.organisation
        contract = get_object_or_404(contracts_seen_by(organisation), pk=self.pk())
        made = move_contract(
            organisation=organisation,
            reference=contract.reference,
            act=ACTS[asked["act"]],
            reason=asked["reason"],
            now=timezone.now(),
        )
        return Response(self.show(made))


class ContractCalls(AsksForAct):
    """Calls under a contract."""

    done: ClassVar[int] = 201
    id_prefix = CONTRACT
    actions = {"POST": Action.REQUEST_DISPATCH}
    bodies = {"POST": NewCall}
    answers = {"POST": (202, AskedActRow)}
    confirmed = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Order under a contract and dispatch the order at once.

        As the thresholds stand a second person must agree; the order waits with the act.
        """
        asked, organisation = self.body(), self.viewer.organisation
        contract = get_object_or_404(contracts_seen_by(organisation), pk=self.pk())
        reason, target_kw = asked.pop("reason"), asked.pop("target_kw", None)
        act = instruct_under_contract(
            organisation=organisation,
            contract=contract.reference,
            call=Call(power_kw=tuple(asked.pop("power_kw")), **asked),
            reason=reason,
            asked_by_pk=self.viewer.user_pk,
            now=timezone.now(),
            target_kw=target_kw,
        )
        return self.answer_act(act, made=reverse("api:flex_orders"))
