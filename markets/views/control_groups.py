"""Control groups: the list, one with whose turn it is, and drawing one."""

import secrets
from datetime import date
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.timegrid import LONDON
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.models import ControlGroup
from markets.queries import control_group_members_seen_by, control_groups_seen_by
from markets.services.control_groups import (
    MOST_EVSES,
    MOST_TURNS,
    SEEDS,
    draw_control_group,
    least_evses,
    products_compared,
    turn_of,
)
from markets.views.trading_forms import TradeForm, local_day

ROWS_A_PAGE, MOST_SHOWN = 40, 200


class ControlGroupForm(TradeForm):
    """A draw; the seed is made up."""

    product = forms.CharField(
        label="Product",
        max_length=50,
        widget=forms.Select(),
        help_text="only those whose baseline is a control group's",
    )
    node = forms.CharField(label="Zone", max_length=80, help_text="code of a network node: of events there and below")
    valid_from = local_day("From", "tomorrow or later")
    valid_until = local_day("To", "included; empty: until another group stands instead")
    n_evse = forms.IntegerField(
        label="EVSEs", min_value=1, max_value=MOST_EVSES, help_text="kept out at a time, drawn at random"
    )
    rotates = forms.ChoiceField(label="Rotates", choices=ControlGroup.Rotates.choices)
    n_turn = forms.IntegerField(
        label="Sets",
        min_value=1,
        max_value=MOST_TURNS,
        initial=1,
        help_text="that take turns; 1 where none rotates",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["valid_until"].required = False
        self.fields["product"].widget.choices = [
            (one.code, f"{one.name} ({one.code}), {least_evses(one)} EVSEs or more") for one in products_compared()
        ]


class ControlGroups(PageView):
    """``?page=``."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest) -> HttpResponse:
        page = page_of(request, control_groups_seen_by(self.viewer.organisation).order_by("-pk"), n=ROWS_A_PAGE)
        may_draw = self.viewer.may(Action.OFFER_FLEX)
        return self.page("markets/control_groups.html", {"page": page, "rows": page.rows, "may_draw": may_draw})


class ControlGroupPage(PageView):
    """One group, and today's EVSEs of it where the viewer may know them."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest, controlgroup: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        row = control_groups_seen_by(self.viewer.organisation).filter(pk=controlgroup).first()
        if row is None:
            raise Http404("There is no such control group, or it is not yours to see.")
        today = _today()
        turn = turn_of(row, max(today, row.valid_from))
        members = control_group_members_seen_by(self.viewer.organisation).filter(group=row, turn=turn)
        evses = list(members.order_by("evse__pseudonym").values_list("evse__pseudonym", flat=True)[:MOST_SHOWN])
        context = {"row": row, "turn": turn + 1, "evses": evses, "is_ahead": today < row.valid_from}
        return self.page("markets/control_group.html", context)


class NewControlGroup(PageView):
    """Draw a control group."""

    action = Action.OFFER_FLEX

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._form(ControlGroupForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ControlGroupForm(request.POST)
        if not form.is_valid():
            return self._form(form, status=400)
        try:
            group = draw_control_group(
                organisation=self.viewer.organisation,
                now=timezone.now(),
                seed=secrets.randbelow(SEEDS),
                **form.cleaned_data,
            )
        except FlexError as error:
            form.refuse(error)
            return self._form(form, status=409)
        messages.info(request, f"{group.n_evse} EVSEs are kept out from {group.valid_from}, drawn with {group.seed}.")
        return redirect("markets:control_group", controlgroup=group.pk)

    def _form(self, form: ControlGroupForm, status: int = 200) -> HttpResponse:
        context = {"form": form, "has_products": bool(products_compared())}
        return self.page("markets/control_group_new.html", context, status=status)


def _today() -> date:
    return timezone.now().astimezone(LONDON).date()
