"""Markets and flex requests: what is wanted where, what is offered, and accepting it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.models import FlexRequest, Market
from markets.queries import contracts_seen_by, flex_offers_seen_by, flex_requests_seen_by, markets_seen_by
from markets.services.order_pages import flex_request_page, market_lines, market_page
from markets.services.orders_accept import accept_offer
from markets.services.orders_contracts import move_contract
from markets.services.orders_markets import move_market
from markets.services.orders_offers import make_offer, reject_offer, revoke_offer
from markets.services.orders_requests import publish_flex_request, withdraw_flex_request
from markets.views.offer_form import OfferForm
from markets.views.trading_forms import AcceptForm, WindowForm, first_window


class Markets(PageView):
    """Every market, with its buyer's own first to act on."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest) -> HttpResponse:
        page = page_of(request, markets_seen_by(self.viewer.organisation))
        rows = market_lines(markets=page.rows, organisation=self.viewer.organisation, now=timezone.now())
        context = {"page": page, "rows": rows, "may_make": self.viewer.may(Action.BUY_FLEX)}
        return self.page("markets/markets.html", context)


class MarketPageView(PageView):
    """One market: its terms, requests, contracts and orders. A POST acts on the market or one of its contracts."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest, market: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._show(market)

    def post(self, request: HttpRequest, market: str) -> HttpResponse:
        found = find_market(self, market)
        organisation, now = self.viewer.organisation, timezone.now()
        act, reason, contract = (request.POST.get(name, "") for name in ("act", "reason", "contract"))
        if not self.viewer.may(Action.BUY_FLEX) and not self.viewer.may(Action.OFFER_FLEX):
            raise Http404("You may not do this.")
        try:
            if contract:
                move_contract(organisation=organisation, reference=contract, act=act, reason=reason, now=now)
            else:
                move_market(organisation=organisation, code=found.code, act=act, reason=reason, now=now)
        except FlexError as error:
            return self._show(market, error=error.message, status=409)
        messages.info(request, "Done, and noted in the log.")
        return redirect("markets:market", market=market)

    def _show(self, code: str, *, error: str = "", status: int = 200) -> HttpResponse:
        market = find_market(self, code)
        organisation = self.viewer.organisation
        is_own = market.buyer_id == organisation.pk
        in_force = contracts_seen_by(organisation).filter(market=market, state="in_force").exists()
        context = {
            "market": market_page(market=market, organisation=organisation, now=timezone.now()),
            "error": error,
            "may_request": is_own and self.viewer.may(Action.BUY_FLEX),
            "is_over": market.ends_at <= timezone.now(),
            "may_call": is_own and in_force and self.viewer.may(Action.REQUEST_DISPATCH),
            "may_trade": self.viewer.may(Action.BUY_FLEX) or self.viewer.may(Action.OFFER_FLEX),
        }
        return self.page("markets/market.html", context, status=status)


class NewFlexRequest(PageView):
    """The form that publishes a flex request under one's own market."""

    action = Action.BUY_FLEX

    def get(self, request: HttpRequest, market: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = own_market(self, market)
        first = first_window(organisation_code=self.viewer.organisation.code, market=found, now=timezone.now())
        return self._form(found, WindowForm(initial=first))

    def post(self, request: HttpRequest, market: str) -> HttpResponse:
        found = own_market(self, market)
        form = WindowForm(request.POST)
        if not form.is_valid():
            return self._form(found, form, status=400)
        try:
            made = publish_flex_request(
                organisation=self.viewer.organisation, terms=form.request_terms(found.code), now=timezone.now()
            )
        except FlexError as error:
            form.refuse(error)
            return self._form(found, form, status=409)
        messages.info(request, f"{made.reference} is published.")
        return redirect("markets:flex_request", flexrequest=made.pk)

    def _form(self, market: Market, form: WindowForm, status: int = 200) -> HttpResponse:
        lines = market_lines(markets=[market], organisation=self.viewer.organisation, now=timezone.now())
        context = {"line": lines[0], "form": form, "nodes": market.node_codes}
        return self.page("markets/flex_request_new.html", context, status=status)


class FlexRequestPageView(PageView):
    """One flex request: what is asked, what is offered, and one's own offer to it."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest, flexrequest: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return show_request(self, find_request(self, flexrequest))

    def post(self, request: HttpRequest, flexrequest: int) -> HttpResponse:
        """Revoke or reject an offer, or withdraw the request."""
        found = find_request(self, flexrequest)
        organisation, now = self.viewer.organisation, timezone.now()
        act, reason, offer = (request.POST.get(name, "") for name in ("act", "reason", "offer"))
        if not self.viewer.may(Action.BUY_FLEX) and not self.viewer.may(Action.OFFER_FLEX):
            raise Http404("You may not do this.")
        try:
            if offer.isdigit() and act in ("revoke", "reject"):
                do = {"revoke": revoke_offer, "reject": reject_offer}[act]
                do(organisation=organisation, offer_pk=int(offer[:15]), reason=reason, now=now)
            else:
                withdraw_flex_request(organisation=organisation, reference=found.reference, reason=reason, now=now)
        except FlexError as error:
            return show_request(self, found, error=error.message, status=409)
        messages.info(request, "Done, and noted in the log.")
        return redirect("markets:flex_request", flexrequest=flexrequest)


class NewOffer(PageView):
    """The form that offers on a request."""

    action = Action.OFFER_FLEX

    def get(self, request: HttpRequest, flexrequest: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = find_request(self, flexrequest)
        reference = f"{self.viewer.organisation.code}-{timezone.now():%Y%m%d-%H%M%S}"
        return self._form(found, OfferForm(flex_request=found, initial={"reference": reference}))

    def post(self, request: HttpRequest, flexrequest: int) -> HttpResponse:
        found = find_request(self, flexrequest)
        form = OfferForm(request.POST, flex_request=found)
        if not form.is_valid():
            return self._form(found, form, status=400)
        try:
            made = make_offer(organisation=self.viewer.organisation, terms=form.terms(), now=timezone.now())
        except FlexError as error:
            form.refuse(error)
            return self._form(found, form, status=409)
        messages.info(request, f"{made.reference} is offered; you can revoke it until it is accepted.")
        return redirect("markets:flex_request", flexrequest=found.pk)

    def _form(self, found: FlexRequest, form: OfferForm, status: int = 200) -> HttpResponse:
        shown = flex_request_page(request=found, organisation=self.viewer.organisation, now=timezone.now())
        return self.page("markets/offer_new.html", {"shown": shown, "form": form}, status=status)


class AcceptOffer(ConfirmedMixin):
    """What accepting an offer buys; with a POST it is ordered. Asks for a fresh proof first: it is money."""

    action = Action.BUY_FLEX

    def get(self, request: HttpRequest, flexoffer: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._show(flexoffer)

    def post(self, request: HttpRequest, flexoffer: int) -> HttpResponse:
        form = AcceptForm(request.POST)
        if not form.is_valid():
            return self._show(flexoffer, form=form, status=400)
        try:
            order = accept_offer(
                organisation=self.viewer.organisation,
                offer_pk=flexoffer,
                option=form.cleaned_data["option"],
                activation_factor=form.cleaned_data["factor"],
                reference=form.cleaned_data["reference"],
                now=timezone.now(),
            )
        except FlexError as error:
            form.refuse(error)
            return self._show(flexoffer, form=form, status=409)
        messages.info(request, f"{order.reference} is ordered. It is not dispatched yet.")
        return redirect("markets:flex_order", flexorder=order.pk)

    def _show(self, flexoffer: int, *, form: AcceptForm | None = None, status: int = 200) -> HttpResponse:
        organisation, now = self.viewer.organisation, timezone.now()
        offer = flex_offers_seen_by(organisation).filter(pk=flexoffer).first()
        if offer is None:
            raise Http404("There is no such offer, or it is not yours to see.")
        request = flex_requests_seen_by(organisation).get(pk=offer.request_id)
        shown = flex_request_page(request=request, organisation=organisation, now=now)
        line = next(one for one in shown.offers if one.pk == flexoffer)
        proposed = {"option": line.options[0].reference, "reference": f"{organisation.code}-{now:%Y%m%d-%H%M%S}"}
        context: dict[str, Any] = {"shown": shown, "offer": line, "form": form or AcceptForm(initial=proposed)}
        return self.page("markets/offer_accept.html", context, status=status)


def find_market(view: PageView, code: str) -> Market:
    """The market of this code; they are published.

    Raises:
        Http404: there is none.
    """
    found = markets_seen_by(view.viewer.organisation).filter(code=code).first()
    if found is None:
        raise Http404("There is no such market.")
    return found


def own_market(view: PageView, code: str) -> Market:
    """The same, if the viewer's organisation buys in it.

    Raises:
        Http404: it does not.
    """
    found = find_market(view, code)
    if found.buyer_id != view.viewer.organisation.pk:
        raise Http404("It is not your market.")
    return found


def find_request(view: PageView, pk: int) -> FlexRequest:
    """A flex request the viewer sees.

    Raises:
        Http404: there is none.
    """
    found = flex_requests_seen_by(view.viewer.organisation).filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such request, or it is not yours to see.")
    return found


def show_request(view: PageView, request: FlexRequest, *, error: str = "", status: int = 200) -> HttpResponse:
    """A flex request's page."""
    context = {
        "shown": flex_request_page(request=request, organisation=view.viewer.organisation, now=timezone.now()),
        "error": error,
        "may_buy": view.viewer.may(Action.BUY_FLEX) and request.buyer_id == view.viewer.organisation.pk,
        "may_offer": view.viewer.may(Action.OFFER_FLEX),
    }
    return view.page("markets/flex_request.html", context, status=status)
