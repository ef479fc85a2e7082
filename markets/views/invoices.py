"""Invoices: the list, and one with its lines and versions."""

from django.http import Http404, HttpRequest, HttpResponse

from aggregator.core.permissions import Action
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.services.invoice_pages import found_invoices, invoice_line_up, invoice_page

ROWS_A_PAGE = 40


class Invoices(PageView):
    """``?page=``."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest) -> HttpResponse:
        page = page_of(request, found_invoices(organisation=self.viewer.organisation), n=ROWS_A_PAGE)
        rows = [invoice_line_up(invoice) for invoice in page.rows]
        context = {"page": page, "rows": rows, "may_issue": self.viewer.may(Action.ISSUE_INVOICES)}
        return self.page("markets/invoices.html", context)


class InvoicePage(PageView):
    """One invoice: what each line is worth and differs by, and its versions."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest, invoice: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = invoice_page(invoice_pk=invoice, organisation=self.viewer.organisation)
        if found is None:
            raise Http404("There is no such invoice, or it is not yours to read.")
        return self.page("markets/invoice.html", {"invoice": found})
