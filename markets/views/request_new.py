"""Requesting a dispatch: state it, check what it would move, then ask; above the thresholds a second person decides."""

from dataclasses import asdict
from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.timegrid import LONDON
from aggregator.models import ControlAct
from aggregator.queries import nodes_seen_by
from aggregator.services.control_act_pages import figure_lines
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON, ControlActRefused
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.filters import text_filter
from aggregator.site.views import PageView
from markets.queries import products_seen_by
from markets.services.request_check import ask_once, planned_now
from markets.services.requests import RequestPlan, plan_request
from markets.views.request_form import RequestForm, first_values

SUGGESTED_NODES = 2_000
SHOWN_FIGURES = 3  # power, its speed and EVSEs; a dispatch moves neither limits nor statements


class StateRequest(PageView):
    """The form, with what the address states already: ``?node=``, or a whole request to change."""

    action = Action.REQUEST_DISPATCH

    def get(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        proposed = first_values(
            organisation_code=self.viewer.organisation.code,
            now=now,
            tomorrow=now.astimezone(LONDON).date() + timedelta(days=1),
        )
        stated = {name: text_filter(request, name) for name in RequestForm.base_fields if name in request.GET}
        return form_page(self, RequestForm(initial={**proposed, **stated}, products=own_products(self)))


class CheckRequest(ConfirmedMixin):
    """What the request stated in the address would do; with a POST and a reason it is asked for."""

    action = Action.REQUEST_DISPATCH

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        form = self._form()
        plan = self._plan(form)
        return form_page(self, form, status=400) if plan is None else self._check(plan)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self._form()
        plan = self._plan(form)
        if plan is None:
            return form_page(self, form, status=400)
        reason = request.POST.get("reason", "")
        try:
            act = ask_once(
                organisation=self.viewer.organisation,
                request=plan.request,
                reason=reason,
                asked_by_pk=self.viewer.user_pk,
                now=timezone.now(),
            )
        except ControlActRefused as error:
            return self._check(plan, reason=reason, error=error.message, status=400)
        except FlexError as error:
            form.refuse(error)
            return form_page(self, form, status=409)
        return _result(request, act, plan)

    def _form(self) -> RequestForm:
        return RequestForm(self.request.GET, products=own_products(self))

    def _plan(self, form: RequestForm) -> RequestPlan | None:
        """What the stated request would do; None where the form says why not."""
        if not form.is_valid() or form.request is None:
            return None
        try:
            return plan_request(organisation=self.viewer.organisation, request=form.request, now=timezone.now())
        except FlexError as error:
            form.refuse(error)
            return None

    def _check(self, plan: RequestPlan, *, reason: str = "", error: str = "", status: int = 200) -> HttpResponse:
        context = {
            "plan": plan,
            "asked": plan.request,
            "is_turn_down": plan.request.direction == "turn_down",
            "figures": figure_lines(asdict(plan.figures), exceeded=plan.exceeded)[:SHOWN_FIGURES],
            "planned": planned_now(plan=plan, organisation=self.viewer.organisation),
            "reason": reason,
            "error": error,
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
            "query": self.request.GET.urlencode(),
        }
        return self.page("markets/request_check.html", context, status=status)


def _result(request: HttpRequest, act: ControlAct, plan: RequestPlan) -> HttpResponse:
    if act.state == ControlAct.State.DONE:
        messages.info(
            request, f"{plan.request.reference} was received. A new run of {plan.area} follows in a minute or so."
        )
        return redirect("markets:request", reference=plan.request.reference)
    messages.info(request, "It waits for a second person; nothing is dispatched before.")
    return redirect("aggregator:control_act", control_act=act.pk)


def form_page(view: PageView, form: RequestForm, status: int = 200) -> HttpResponse:
    """The form, with the codes of nodes to choose from."""
    nodes = nodes_seen_by(view.viewer.organisation).order_by("code")
    context = {"form": form, "nodes": list(nodes.values_list("code", "name")[:SUGGESTED_NODES])}
    return view.page("markets/request_new.html", context, status=status)


def own_products(view: PageView) -> list[tuple[str, str]]:
    """Code and name of each product the viewer's organisation buys, its newest version's name."""
    own = products_seen_by(view.viewer.organisation).filter(buyer=view.viewer.organisation)
    return sorted({one.code: f"{one.name} ({one.code})" for one in own}.items())
