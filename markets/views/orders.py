"""Flex orders: dispatch, stop and cancel."""

from dataclasses import asdict

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import ControlAct
from aggregator.services.control_act_pages import figure_lines
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.models import FlexOrder
from markets.queries import flex_orders_seen_by
from markets.services.order_pages import order_lines, order_page
from markets.services.orders_dispatch import ask_dispatch_order, plan_dispatch_order
from markets.services.orders_stop import cancel_order, stop_order
from markets.services.requests import RequestPlan
from markets.views.trading_forms import TargetForm

SHOWN_FIGURES = 3  # power, its speed and EVSEs


class FlexOrders(PageView):
    """Every order of the viewer's, the latest window first."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest) -> HttpResponse:
        organisation = self.viewer.organisation
        page = page_of(request, flex_orders_seen_by(organisation).order_by("-starts_at", "-pk"))
        rows = order_lines(orders=page.rows, organisation=organisation, now=timezone.now())
        return self.page("markets/flex_orders.html", {"page": page, "rows": rows})


class FlexOrderPageView(PageView):
    """One order. A POST stops or cancels it: at once, on one person's word."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest, flexorder: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._show(find_order(self, flexorder))

    def post(self, request: HttpRequest, flexorder: int) -> HttpResponse:
        order = find_order(self, flexorder)
        if not self.viewer.may(Action.REQUEST_DISPATCH):
            raise Http404("You may not do this.")
        do = {"stop": stop_order, "cancel": cancel_order}.get(request.POST.get("act", ""))
        reason = request.POST.get("reason", "").replace("\x00", " ").strip()
        if do is None or not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
            said = f"a stop or a cancellation needs a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters"
            return self._show(order, error=said, status=400)
        try:
            do(organisation=self.viewer.organisation, reference=order.reference, reason=reason, now=timezone.now())
        except FlexError as error:
            return self._show(order, error=error.message, status=409)
        messages.info(request, "Done, and noted in the log.")
        return redirect("markets:flex_order", flexorder=flexorder)

    def _show(self, order: FlexOrder, *, error: str = "", status: int = 200) -> HttpResponse:
        context = {
            "shown": order_page(order=order, organisation=self.viewer.organisation, now=timezone.now()),
            "error": error,
            "may_dispatch": self.viewer.may(Action.REQUEST_DISPATCH),
            "may_see_requests": self.viewer.may(Action.SEE_REQUESTS),
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
        }
        return self.page("markets/flex_order.html", context, status=status)


class DispatchOrder(ConfirmedMixin):
    """What dispatching an order would move, at ``?target_kw=`` if given; with a POST and a reason it is asked for.

    ``?state=`` shows the field for a target, and nothing to confirm: what is confirmed is what was looked at.
    """

    action = Action.REQUEST_DISPATCH

    def get(self, request: HttpRequest, flexorder: int) -> HttpResponse:
        return self._check(find_order(self, flexorder), TargetForm(request.GET))

    def post(self, request: HttpRequest, flexorder: int) -> HttpResponse:
        order, form = find_order(self, flexorder), TargetForm(request.POST)
        reason = request.POST.get("reason", "")
        if not form.is_valid():
            return self._check(order, form, reason=reason, status=400)
        try:
            act = ask_dispatch_order(
                organisation=self.viewer.organisation,
                reference=order.reference,
                reason=reason,
                asked_by_pk=self.viewer.user_pk,
                now=timezone.now(),
                target_kw=form.cleaned_data["target_kw"],
            )
        except FlexError as error:
            return self._check(order, form, reason=reason, error=error.message, status=409)
        return after_act(request, act, order.pk)

    def _check(
        self, order: FlexOrder, form: TargetForm, *, reason: str = "", error: str = "", status: int = 200
    ) -> HttpResponse:
        """The page; where it can't be dispatched, looking at it is no error: the page says why."""
        plan: RequestPlan | None = None
        try:
            if form.is_valid():
                plan = plan_dispatch_order(
                    organisation=self.viewer.organisation,
                    reference=order.reference,
                    now=timezone.now(),
                    target_kw=form.cleaned_data["target_kw"],
                )
        except FlexError as refusal:
            form.refuse(refusal)
            error = error if error != refusal.message else ""  # said beside the field
        figures = figure_lines(asdict(plan.figures), exceeded=plan.exceeded)[:SHOWN_FIGURES] if plan else ()
        context = {
            "shown": order_page(order=order, organisation=self.viewer.organisation, now=timezone.now()),
            "form": form,
            "states": "state" in self.request.GET or bool(form.errors.get("target_kw")),
            "is_stated": form.is_valid() and form.cleaned_data["target_kw"] is not None,
            "plan": plan,
            "figures": figures,
            "reason": reason,
            "error": error,
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
        }
        return self.page("markets/order_dispatch.html", context, status=status)


def find_order(view: PageView, pk: int) -> FlexOrder:
    """An order the viewer sees.

    Raises:
        Http404: there is none.
    """
    found = flex_orders_seen_by(view.viewer.organisation).filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such order, or it is not yours to see.")
    return found


def after_act(request: HttpRequest, act: ControlAct, order: int) -> HttpResponse:
    """Lead on to the order that was dispatched, or to the act that waits."""
    if act.state == ControlAct.State.DONE:
        messages.info(request, "It is dispatched. A new run of its area follows in a minute or so.")
        return redirect("markets:flex_order", flexorder=order)
    messages.info(request, "It waits for a second person; nothing is dispatched before.")
    return redirect("aggregator:control_act", control_act=act.pk)
