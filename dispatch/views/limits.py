"""Changing what a node may carry: state it, look at what it would do, confirm; a second person agrees."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.display import number, stamp
from aggregator.core.errors import FlexError
from aggregator.core.limit_change import LIMITS, LimitChange
from aggregator.core.permissions import Action
from aggregator.core.wall_time import instant_of
from aggregator.models import ControlAct, NetworkNode
from aggregator.queries import ratings_seen_by
from aggregator.services.control_acts import LONGEST_REASON, thresholds
from aggregator.services.limits import LimitPlan, ask_change_limits, plan_limits
from aggregator.site.confirm import ConfirmedMixin
from dispatch.services.network_pages import rating_in_kw
from dispatch.views.network import node_or_404

LABELS = {
    "rating_kva": ("Rating", "kVA"),
    "power_factor": ("Power factor", ""),
    "cyclic_factor": ("Cyclic factor", ""),
    "diversity": ("Diversity", ""),
    "ramp_kw": ("Largest step of EV power between half-hours", "kW"),
}
WAITS = "It waits for another person of {organisation} who may approve limits."


class LimitForm(forms.Form):
    """Figures within any bounds that make sense are for ``plan_limits`` to check; here they are only numbers."""

    rating_kva = forms.FloatField()
    power_factor = forms.FloatField()
    cyclic_factor = forms.FloatField()
    diversity = forms.FloatField()
    ramp_kw = forms.FloatField(required=False)
    from_day = forms.DateField(
        required=False, input_formats=["%Y-%m-%d"], error_messages={"invalid": "Write the day as 2026-01-14."}
    )
    from_time = forms.TimeField(
        required=False, input_formats=["%H:%M"], error_messages={"invalid": "Write the time as 17:30."}
    )
    reason = forms.CharField(min_length=3, max_length=LONGEST_REASON)

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        day, at = given.get("from_day"), given.get("from_time")
        given["valid_from"] = None
        if (day is None) != (at is None):
            self.add_error("from_time", "State both a day and a time, or neither.")
        elif day is not None and at is not None:
            try:
                given["valid_from"] = instant_of(day, at)
            except FlexError as error:
                self.add_error("from_time", f"{error.message}.")
        return given

    def change_of(self, node: NetworkNode) -> LimitChange:
        figures = {name: self.cleaned_data[name] for name in LIMITS}
        return LimitChange(node=node.code, valid_from=self.cleaned_data["valid_from"], **figures)


class ChangeLimit(ConfirmedMixin):
    """``GET`` the present figures; ``POST`` to see what would change; ``POST`` with ``confirmed`` to ask for it."""

    action = Action.CHANGE_LIMITS

    def get(self, request: HttpRequest, code: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        node = node_or_404(self, code)
        return self._form(node, LimitForm(initial=self._present(node)))

    def post(self, request: HttpRequest, code: str) -> HttpResponse:
        node = node_or_404(self, code)
        form = LimitForm(request.POST)
        if not form.is_valid() or "change" in request.POST:
            return self._form(node, form)
        now = timezone.now()
        organisation, changes = self.viewer.organisation, [form.change_of(node)]
        try:
            if "confirmed" not in request.POST:
                plan = plan_limits(organisation=organisation, changes=changes, now=now)
                return self.page("dispatch/limit_check.html", {"node": node, "form": form, **_check(plan, now)})
            act = ask_change_limits(
                organisation=organisation,
                changes=changes,
                reason=form.cleaned_data["reason"],
                asked_by_pk=self.viewer.user_pk,
                now=now,
            )
        except FlexError as error:
            form.add_error(_field_of(error), f"{error.message[0].upper()}{error.message[1:]}.")
            return self._form(node, form)
        is_done = act.state == ControlAct.State.DONE
        messages.info(request, "The limit is changed." if is_done else WAITS.format(organisation=organisation.name))
        return redirect("aggregator:control_act", control_act=act.pk)

    def _present(self, node: NetworkNode) -> dict[str, float | None]:
        """Figures in force now, as a start."""
        now = timezone.now()
        ratings = ratings_seen_by(self.viewer.organisation).filter(node=node, valid_from__lte=now)
        rating = ratings.exclude(valid_to__lte=now).first()
        if rating is None:
            return {"power_factor": 0.98, "cyclic_factor": 1.0, "diversity": 1.0}
        return {name: getattr(rating, name) for name in LIMITS}

    def _form(self, node: NetworkNode, form: LimitForm) -> HttpResponse:
        status = 400 if form.is_bound and form.errors else 200
        return self.page("dispatch/limit.html", {"node": node, "form": form}, status=status)


def _field_of(error: FlexError) -> str | None:
    """The form's field an error is about; None for the form as a whole."""
    field = error.details.get("field")
    if field == "valid_from":
        return "from_time"
    return str(field) if field in LimitForm.base_fields else None


def _check(plan: LimitPlan, now: datetime) -> dict[str, Any]:
    """Each figure before and after, the rating in kW, from when, and who has to agree."""
    (limit,) = plan.limits
    before = limit.before or {}
    rows = [
        (label, unit, number(before.get(name), 2), number(limit.after[name], 2), before.get(name) != limit.after[name])
        for name, (label, unit) in LABELS.items()
    ]
    kw_before, kw_after = (number(rating_in_kw(figures)) for figures in (before, limit.after))
    rows.insert(0, ("Limit", "kW", kw_before, kw_after, kw_before != kw_after))
    starts = limit.change.valid_from
    return {
        "rows": rows,
        "starts_at": None if starts is None else stamp(starts),
        "needs_another": plan.figures.n_limits > thresholds().n_limits,
        "now": stamp(now),
    }
