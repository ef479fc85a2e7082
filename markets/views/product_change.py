"""Stating a product's next version: change its terms, look at what would be otherwise, confirm with a reason."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON
from aggregator.site.confirm import ConfirmedMixin
from markets.models import Product
from markets.queries import products_seen_by
from markets.services.product_pages import change_lines
from markets.services.products import planned_version, revise_product
from markets.views.product_form import VersionForm


class ChangeProduct(ConfirmedMixin):
    """The form; a POST shows what would change, and with a reason states the version. Asks for a fresh proof first."""

    action = Action.CHANGE_PRODUCTS

    def get(self, request: HttpRequest, product: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        last = self._own(product)
        return self._form(last, VersionForm(last=last))

    def post(self, request: HttpRequest, product: int) -> HttpResponse:
        last = self._own(product)
        form = VersionForm(request.POST, last=last)
        if not form.is_valid():
            return self._form(last, form, status=400)
        reason = request.POST.get("reason")
        if reason is not None and SHORTEST_REASON <= len(reason.strip()) <= LONGEST_REASON:
            return self._state(last, form, reason.strip())
        said = "" if reason is None else f"a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters is needed"
        return self._check(last, form, reason=reason or "", error=said)

    def _state(self, last: Product, form: VersionForm, reason: str) -> HttpResponse:
        try:
            made = revise_product(**self._asked(last, form), reason=reason)
        except FlexError as error:
            form.refuse(error)
            return self._form(last, form, status=409)
        messages.info(self.request, f"{made} is stated.")
        return redirect("markets:product", product=made.pk)

    def _check(self, last: Product, form: VersionForm, *, reason: str, error: str) -> HttpResponse:
        try:
            planned = planned_version(**self._asked(last, form))
        except FlexError as refused:
            form.refuse(refused)
            return self._form(last, form, status=400)
        context = {
            "product": last,
            "version": planned.version,
            "valid_from": planned.valid_from,
            "changes": change_lines(last, planned),
            "hidden": [field.as_hidden() for field in form],
            "reason": reason,
            "error": error,
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
        }
        return self.page("markets/product_check.html", context, status=400 if error else 200)

    def _form(self, last: Product, form: VersionForm, status: int = 200) -> HttpResponse:
        return self.page("markets/product_change.html", {"product": last, "form": form}, status=status)

    def _asked(self, last: Product, form: VersionForm) -> dict[str, Any]:
        return {
            "organisation": self.viewer.organisation,
            "code": last.code,
            "of_version": last.version,
            "changes": form.changes,
            "valid_from": form.valid_from,
            "now": timezone.now(),
        }

    def _own(self, pk: int) -> Product:
        organisation = self.viewer.organisation
        product = products_seen_by(organisation).filter(pk=pk, buyer=organisation).first()
        if product is None:
            raise Http404("There is no such product, or somebody else buys it.")
        return product
