"""Stating a product for the first time: begin with one of the catalogue, change it, look at it whole, confirm."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.timegrid import LONDON
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON
from aggregator.site.confirm import ConfirmedMixin
from markets.core.catalogue import CATALOGUE
from markets.models import Product
from markets.services.product_pages import change_lines, term_groups
from markets.services.products import planned_product, state_product
from markets.views.product_form import VersionForm

TEMPLATES = {entry.code: entry for entry in CATALOGUE}


class FirstVersionForm(VersionForm):
    """A product's code, and every term of its first version."""

    code = forms.SlugField(label="Code", max_length=50, help_text="names it for good: letters, figures, - and _")


class NewProduct(ConfirmedMixin):
    """The form, filled in as ``?like=`` an entry of the catalogue; a POST shows it whole, and with a reason states it.

    Asks for a fresh proof first.
    """

    action = Action.CHANGE_PRODUCTS

    def get(self, request: HttpRequest) -> HttpResponse:
        like = request.GET.get("like", "")
        form = FirstVersionForm(last=self._template(like))
        form.initial["day"] = timezone.now().astimezone(LONDON).date() + timedelta(days=1)
        return self._form(like, form)

    def post(self, request: HttpRequest) -> HttpResponse:
        like = request.POST.get("like", "")
        form = FirstVersionForm(request.POST, last=self._template(like))
        if not form.is_valid():
            return self._form(like, form, status=400)
        reason = request.POST.get("reason")
        if reason is not None and SHORTEST_REASON <= len(reason.strip()) <= LONGEST_REASON:
            return self._state(like, form, reason.replace("\x00", " ").strip())
        said = "" if reason is None else f"a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters is needed"
        return self._check(like, form, reason=reason or "", error=said)

    def _state(self, like: str, form: FirstVersionForm, reason: str) -> HttpResponse:
        try:
            made = state_product(**self._asked(form), reason=reason, now=timezone.now())
        except FlexError as error:
            form.refuse(error)
            return self._form(like, form, status=409)
        messages.info(self.request, f"{made} is stated.")
        return redirect("markets:product", product=made.pk)

    def _check(self, like: str, form: FirstVersionForm, *, reason: str, error: str) -> HttpResponse:
        try:
            planned = planned_product(**self._asked(form))
            if Product.objects.filter(code=planned.code).exists():
                form.add_error("code", "There is a product with this code already: choose another.")
        except FlexError as refused:
            form.refuse(refused)
        if form.errors:
            return self._form(like, form, status=400)
        context = {
            "product": planned,
            "groups": term_groups(planned),
            "changes": change_lines(self._template(like), planned) if like in TEMPLATES else (),
            "template": TEMPLATES[like].name if like in TEMPLATES else "",
            "like": like,
            "hidden": [field.as_hidden() for field in form],
            "reason": reason,
            "error": error,
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
        }
        return self.page("markets/product_new_check.html", context, status=400 if error else 200)

    def _form(self, like: str, form: FirstVersionForm, status: int = 200) -> HttpResponse:
        context = {
            "form": form,
            "like": like if like in TEMPLATES else "",
            "templates": [(entry.code, f"{entry.operator_name}: {entry.name}") for entry in CATALOGUE],
        }
        return self.page("markets/product_new.html", context, status=status)

    def _template(self, like: str) -> Product:
        """An unstored product to begin with: as the catalogue's entry states it, or by the standard rules."""
        terms: dict[str, Any] = TEMPLATES[like].stated() if like in TEMPLATES else {"name": "to be named"}
        planned = planned_product(buyer=self.viewer.organisation, code="new", terms=terms, valid_from=timezone.now())
        if like not in TEMPLATES:
            planned.name = ""
        return planned

    def _asked(self, form: FirstVersionForm) -> dict[str, Any]:
        valid_from: datetime = form.valid_from
        return {
            "buyer": self.viewer.organisation,
            "code": form.cleaned_data["code"],
            "terms": form.changes,
            "valid_from": valid_from,
        }
