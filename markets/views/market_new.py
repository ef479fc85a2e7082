"""Making a market and proposing a contract under it: the forms, stated once and published at once."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.queries import nodes_seen_by, organisations_seen_by
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.views import PageView
from markets.models import Market
from markets.services.order_pages import market_lines
from markets.services.orders_contracts import propose_contract
from markets.services.orders_markets import make_market
from markets.views.market_forms import ContractForm, MarketForm, first_contract, first_market
from markets.views.request_new import SUGGESTED_NODES, own_products
from markets.views.trading import own_market


class NewMarket(PageView):
    """The form that publishes a market for one of the buyer's own products."""

    action = Action.BUY_FLEX

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        form = MarketForm(products=own_products(self), initial=first_market(now=timezone.now()))
        return self._form(form)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = MarketForm(request.POST, products=own_products(self))
        if not form.is_valid():
            return self._form(form, status=400)
        try:
            made = make_market(organisation=self.viewer.organisation, terms=form.terms(), now=timezone.now())
        except FlexError as error:
            form.refuse(error)
            return self._form(form, status=409)
        messages.info(request, f"{made.name} is published.")
        return redirect("markets:market", market=made.code)

    def _form(self, form: MarketForm, status: int = 200) -> HttpResponse:
        nodes = nodes_seen_by(self.viewer.organisation).order_by("code")
        context = {
            "form": form,
            "nodes": list(nodes.values_list("code", "name")[:SUGGESTED_NODES]),
            "has_product": bool(own_products(self)),
            "may_state_products": self.viewer.may(Action.CHANGE_PRODUCTS),
        }
        return self.page("markets/market_new.html", context, status=status)


class NewContract(ConfirmedMixin):
    """The form that proposes a contract to a DSRSP. Asks for a fresh proof first: once agreed to, it is money."""

    action = Action.BUY_FLEX

    def get(self, request: HttpRequest, market: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = own_market(self, market)
        first = first_contract(organisation_code=self.viewer.organisation.code, market=found, now=timezone.now())
        return self._form(found, ContractForm(dsrsps=self._dsrsps(), initial=first))

    def post(self, request: HttpRequest, market: str) -> HttpResponse:
        found = own_market(self, market)
        form = ContractForm(request.POST, dsrsps=self._dsrsps())
        if not form.is_valid():
            return self._form(found, form, status=400)
        try:
            made = propose_contract(organisation=self.viewer.organisation, terms=form.terms(found), now=timezone.now())
        except FlexError as error:
            form.refuse(error)
            return self._form(found, form, status=409)
        messages.info(request, f"{made.reference} is proposed; it is in force once {made.organisation.name} agrees.")
        return redirect("markets:market", market=found.code)

    def _dsrsps(self) -> list[tuple[str, str]]:
        everyone = organisations_seen_by(self.viewer.organisation).filter(kind=Organisation.Kind.DSRSP)
        return list(everyone.order_by("name", "code").values_list("code", "name"))

    def _form(self, market: Market, form: ContractForm, status: int = 200) -> HttpResponse:
        lines = market_lines(markets=[market], organisation=self.viewer.organisation, now=timezone.now())
        context: dict[str, Any] = {"line": lines[0], "form": form}
        return self.page("markets/contract_new.html", context, status=status)
