"""Invoices as one organisation may read them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from aggregator.models import Organisation
from markets.models import Invoice
from markets.queries import invoices_seen_by


@dataclass(frozen=True, slots=True)
class InvoiceLineUp:
    """One version's head."""

    pk: int
    month: str
    product: str
    dsrsp: str
    buyer: str
    version: int
    is_superseded: bool
    as_of: datetime
    issued_at: datetime
    amount_gbp: Decimal
    before_gbp: Decimal
    delta_gbp: Decimal
    sha256: str


@dataclass(frozen=True, slots=True)
class InvoiceLinePart:
    """One line; ``statement`` is the key of the statement behind it, None where it is of no one event."""

    kind: str
    reference: str
    statement: int | None
    amount_gbp: Decimal
    before_gbp: Decimal
    delta_gbp: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """An invoice whole, and the other versions of it."""

    head: InvoiceLineUp
    lines: tuple[InvoiceLinePart, ...]
    versions: tuple[InvoiceLineUp, ...]


def found_invoices(*, organisation: Organisation) -> QuerySet[Invoice]:
    """Invoices the organisation may read, the newest month first."""
    return (
        invoices_seen_by(organisation)
        .select_related("organisation", "buyer", "superseded_by")
        .order_by("-month", "product_code", "organisation__code", "-version")
    )


def invoice_line_up(invoice: Invoice) -> InvoiceLineUp:
    """An invoice's head, of a row of ``found_invoices``."""
    return InvoiceLineUp(
        pk=invoice.pk,
        month=f"{invoice.month:%B %Y}",
        product=invoice.product_code,
        dsrsp=invoice.organisation.name,
        buyer=invoice.buyer.name,
        version=invoice.version,
        is_superseded=hasattr(invoice, "superseded_by"),
        as_of=invoice.as_of,
        issued_at=invoice.issued_at,
        amount_gbp=invoice.amount_gbp,
        before_gbp=invoice.before_gbp,
        delta_gbp=invoice.delta_gbp,
        sha256=invoice.sha256,
    )


def invoice_page(*, invoice_pk: int, organisation: Organisation) -> InvoicePage | None:
    """One invoice with its lines and versions; None for another's."""
    seen = found_invoices(organisation=organisation)
    invoice = seen.filter(pk=invoice_pk).first()
    if invoice is None:
        return None
    versions = seen.filter(
        month=invoice.month, product_code=invoice.product_code, organisation=invoice.organisation_id
    ).order_by("-version")
    return InvoicePage(
        head=invoice_line_up(invoice),
        lines=tuple(
            InvoiceLinePart(
                line.get_kind_display(),
                line.reference or "the month",
                line.statement_id,
                line.amount_gbp,
                line.before_gbp,
                line.delta_gbp,
                line.reason,
            )
            for line in invoice.lines.across_tenants().order_by("position")
        ),
        versions=tuple(invoice_line_up(version) for version in versions),
    )
