"""Calls under a contract: stated, looked at, and then ordered and dispatched at once."""

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.services.control_act_pages import figure_lines
from aggregator.site.confirm import ConfirmedMixin
from markets.models import Market
from markets.queries import contracts_seen_by, flex_orders_seen_by
from markets.services.order_pages import market_lines
from markets.services.orders_contracts import instruct_under_contract, plan_call
from markets.views.orders import SHOWN_FIGURES, after_act
from markets.views.trading import own_market
from markets.views.trading_forms import CallForm, first_window


class NewCall(ConfirmedMixin):
    """Instruct directly under a contract in force: a POST shows what it would order and move, the next one does it."""

    action = Action.REQUEST_DISPATCH

    def get(self, request: HttpRequest, market: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = own_market(self, market)
        first = first_window(organisation_code=self.viewer.organisation.code, market=found, now=timezone.now())
        return self._form(found, CallForm(initial=first, contracts=self._contracts(found)))

    def post(self, request: HttpRequest, market: str) -> HttpResponse:
        found = own_market(self, market)
        form = CallForm(request.POST, contracts=self._contracts(found))
        if not form.is_valid() or "change" in request.POST:
            return self._form(found, form, status=400 if form.errors else 200)
        try:
            if "confirmed" not in request.POST:
                return self._check(found, form)
            act = instruct_under_contract(
                **self._asked(form), reason=form.cleaned_data["reason"], asked_by_pk=self.viewer.user_pk
            )
        except FlexError as error:
            form.refuse(error)
            return self._form(found, form, status=409)
        made = flex_orders_seen_by(self.viewer.organisation).get(reference=form.cleaned_data["reference"])
        return after_act(request, act, made.pk)

    def _asked(self, form: CallForm) -> dict[str, Any]:
        return {
            "organisation": self.viewer.organisation,
            "contract": form.cleaned_data["contract"],
            "call": form.call(),
            "now": timezone.now(),
            "target_kw": form.cleaned_data["target_kw"],
        }

    def _contracts(self, market: Market) -> list[tuple[str, str]]:
        own = contracts_seen_by(self.viewer.organisation).filter(market=market, state="in_force")
        return [
            (one.reference, f"{one.reference}: {one.organisation.name}, up to {one.max_kw:g} kW")
            for one in own.order_by("reference")
        ]

    def _check(self, market: Market, form: CallForm) -> HttpResponse:
        """What it would order and move.

        Raises:
            FlexError: it can't be instructed as stated.
        """
        planned = plan_call(**self._asked(form))
        context = {
            "line": self._line(market),
            "planned": planned,
            "plan": planned.request,
            "figures": figure_lines(asdict(planned.request.figures), exceeded=planned.request.exceeded)[:SHOWN_FIGURES],
            "is_stated": form.cleaned_data["target_kw"] is not None,
            "power_kw": form.cleaned_data["power_kw"],
            "contract": form.cleaned_data["contract"],
            "reason": form.cleaned_data["reason"],
            "hidden": [field.as_hidden() for field in form],
        }
        return self.page("markets/call_check.html", context)

    def _form(self, market: Market, form: CallForm, status: int = 200) -> HttpResponse:
        context = {"line": self._line(market), "form": form, "nodes": market.node_codes}
        return self.page("markets/call_new.html", context, status=status)

    def _line(self, market: Market) -> object:
        return market_lines(markets=[market], organisation=self.viewer.organisation, now=timezone.now())[0]
