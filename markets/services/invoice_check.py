"""Work issued invoices out again from the statements they stand on, and find whatever is not as it was issued."""

from collections.abc import Iterator
from fractions import Fraction

from markets.arrays.held_ready import load_held_ready
from markets.core.invoice import against, invoice_sha256, totals_of
from markets.models import Invoice, InvoiceLine, Statement
from markets.services.invoice_pricing import PricedMonth, price_month
from markets.services.invoices import before_amounts, fraction_text, head_cells
from markets.services.verified import Difference

LINE_FIGURES = ("kind", "reference", "amount_gbp", "before_gbp", "delta_gbp")
TOTALS = ("amount_gbp", "before_gbp", "delta_gbp")


def verify_invoices() -> tuple[int, list[Difference]]:
    """How many invoices there are, every difference of each, and versions that are gone."""
    invoices = Invoice.objects.across_tenants().select_related("organisation", "buyer", "supersedes", "product")
    found = list(invoices.order_by("product_code", "month", "organisation", "version"))
    return len(found), [*(difference for invoice in found for difference in _invoice(invoice)), *_gaps(found)]


def _invoice(invoice: Invoice) -> Iterator[Difference]:
    name = f"invoice {invoice.pk} ({invoice} of {invoice.organisation.code})"
    rows = list(InvoiceLine.objects.across_tenants().filter(invoice=invoice).order_by("position"))
    month = _priced(invoice)
    lines = against(month.lines, before_amounts(invoice.supersedes))
    if len(month.statements) != len(invoice.statement_pks):
        yield Difference(name, "whole", "statements", str(len(invoice.statement_pks)), str(len(month.statements)))
    if invoice.performance != fraction_text(month.performance):
        yield Difference(name, "whole", "performance", invoice.performance, fraction_text(month.performance))
    if len(rows) != len(lines):
        yield Difference(name, "whole", "lines", str(len(rows)), str(len(lines)))
    for row, line in zip(rows, lines, strict=False):
        for figure in LINE_FIGURES:
            stored, again = getattr(row, figure), getattr(line, figure)
            if stored != again:
                yield Difference(name, f"line {row.position}", figure, str(stored), str(again))
    totals = totals_of(lines)
    for figure in TOTALS:
        stored, again = getattr(invoice, figure), getattr(totals, figure)
        if stored != again:
            yield Difference(name, "whole", figure, str(stored), str(again))
    sha256 = invoice_sha256(head_cells(invoice), lines)
    if sha256 != invoice.sha256:
        yield Difference(name, "whole", "sha256", invoice.sha256, sha256)


def _priced(invoice: Invoice) -> PricedMonth:
    """The month worked out again from the statements that the invoice names."""
    statements = Statement.objects.across_tenants().filter(pk__in=invoice.statement_pks)
    held = load_held_ready(product=invoice.product, month=invoice.month, as_of=invoice.as_of)
    return price_month(
        product=invoice.product,
        statements=statements.select_related("settlement_run__event__signal", "settlement_run__event__product"),
        held_ready=held.get(invoice.organisation_id, []),
        previous=Fraction(invoice.previous_performance) if invoice.previous_performance else None,
    )


def _gaps(invoices: list[Invoice]) -> Iterator[Difference]:
    versions: dict[tuple[str, object, int], list[Invoice]] = {}
    for invoice in invoices:
        versions.setdefault((invoice.product_code, invoice.month, invoice.organisation_id), []).append(invoice)
    for found in versions.values():
        missing = set(range(1, found[-1].version + 1)) - {invoice.version for invoice in found}
        for version in sorted(missing):
            newest = found[-1]
            yield Difference(f"{newest} of {newest.organisation.code}", f"v{version}", "invoice", "nothing", "issued")
