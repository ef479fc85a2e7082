"""Issuing a month's invoices: choose product and month, look at what they come to, confirm with a reason."""

from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.timegrid import LONDON
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON
from aggregator.site.confirm import ConfirmedMixin
from markets.queries import products_seen_by
from markets.services.invoice_issue import InvoicePlan, issue_as_seen, plan_invoices
from markets.services.invoices import InvoiceOrder
from markets.views.trading_forms import TradeForm, to_choose


class IssueForm(TradeForm):
    """Which month of which product, and whether it is stated again."""

    product = forms.ChoiceField(label="Product")
    month = forms.RegexField(
        r"^20[0-9]{2}-(0[1-9]|1[0-2])$",
        label="Month",
        widget=forms.TextInput({"placeholder": "2026-01", "autocomplete": "off"}),
        help_text="local, as 2026-01",
        error_messages={"invalid": "Write the month as 2026-01."},
    )
    restate = forms.BooleanField(
        label="State it again",
        required=False,
        help_text="from what is known now, where it differs from what was issued",
    )

    def __init__(self, *args: Any, products: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["product"].choices = to_choose(products)  # type: ignore[attr-defined]

    def order(self, *, now: datetime, reason: str = "") -> InvoiceOrder:
        """What it asks for."""
        stated = self.cleaned_data
        return InvoiceOrder(
            product_code=stated["product"],
            month=date.fromisoformat(f"{stated['month']}-01"),
            now=now,
            cutoff_day=settings.INVOICE_CUTOFF_DAY,
            restate=stated["restate"],
            reason=reason,
        )


class IssueInvoices(ConfirmedMixin):
    """The form; with ``?product=&month=`` what would be issued; a POST with a reason issues just that.

    Asks for a fresh proof first: it is money.
    """

    action = Action.ISSUE_INVOICES

    def get(self, request: HttpRequest) -> HttpResponse:
        if "month" not in request.GET:
            return self._show(IssueForm(products=self._products(), initial={"month": last_closed(timezone.now())}))
        return self._plan(IssueForm(request.GET, products=self._products()))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = IssueForm(request.POST, products=self._products())
        reason = request.POST.get("reason", "").replace("\x00", " ").strip()
        if not form.is_valid():
            return self._show(form, status=400)
        if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
            said = f"a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters is needed"
            return self._plan(form, reason=reason, error=said, status=400)
        try:
            done = issue_as_seen(
                organisation=self.viewer.organisation,
                order=form.order(now=timezone.now(), reason=reason),
                seen=request.POST.get("seen", ""),
            )
        except FlexError as refused:
            return self._plan(form, reason=reason, error=refused.message, status=409)
        messages.info(request, f"{done.n_new} of {done.month} issued: {done.to_pay_gbp} GBP to pay.")
        return redirect("markets:invoices")

    def _plan(self, form: IssueForm, *, reason: str = "", error: str = "", status: int = 200) -> HttpResponse:
        plan: InvoicePlan | None = None
        if form.is_valid():
            try:
                plan = plan_invoices(
                    organisation=self.viewer.organisation, order=form.order(now=timezone.now(), reason=reason)
                )
            except FlexError as refused:
                form.refuse(refused)
                error = error if error != refused.message else ""
        return self._show(form, plan=plan, reason=reason, error=error, status=status if plan else max(status, 400))

    def _show(
        self,
        form: IssueForm,
        *,
        plan: InvoicePlan | None = None,
        reason: str = "",
        error: str = "",
        status: int = 200,
    ) -> HttpResponse:
        context = {
            "form": form,
            "plan": plan,
            "hidden": [field.as_hidden() for field in form] if plan else (),
            "reason": reason,
            "error": error,
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
            "has_product": bool(self._products()),
            "cutoff_day": settings.INVOICE_CUTOFF_DAY,
        }
        return self.page("markets/invoices_issue.html", context, status=status)

    def _products(self) -> list[tuple[str, str]]:
        """Code and name of every product, by its buyer's name."""
        every = products_seen_by(self.viewer.organisation).select_related("buyer").order_by("buyer__name", "code", "pk")
        return list({one.code: f"{one.buyer.name}: {one.name} ({one.code})" for one in every}.items())


def last_closed(now: datetime) -> str:
    """The newest month whose cut-off has passed, as ``2026-01``."""
    today = now.astimezone(LONDON).date()
    month = today.replace(day=1) - timedelta(days=1)
    if today.day < settings.INVOICE_CUTOFF_DAY:
        month = month.replace(day=1) - timedelta(days=1)
    return f"{month:%Y-%m}"
