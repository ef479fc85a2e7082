"""What an invoice says above and in its lines, spelled for its digest and for the version after it."""

from decimal import Decimal
from fractions import Fraction

from markets.models import Invoice, InvoiceLine


def head_cells(invoice: Invoice) -> list[str]:
    """What an invoice says above its lines, for its digest."""
    return [
        invoice.month.isoformat(),
        invoice.product_code,
        invoice.buyer.code,
        invoice.organisation.code,
        str(invoice.product.version),
        str(invoice.version),
        ",".join(map(str, invoice.statement_pks)),
        invoice.as_of.isoformat(),
        invoice.performance,
        invoice.previous_performance,
    ]


def before_amounts(invoice: Invoice | None) -> dict[tuple[str, str], Decimal]:
    """What each line of a version came to, by kind and reference."""
    if invoice is None:
        return {}
    lines = InvoiceLine.objects.across_tenants().filter(invoice=invoice)
    return {(line.kind, line.reference): line.amount_gbp for line in lines}


def fraction_text(value: Fraction | None) -> str:
    """An exact share as text; empty where there is none."""
    return "" if value is None else f"{value.numerator}/{value.denominator}"
