"""Seal issued invoices, work them out again from their statements, and find what is not as it was issued."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from django.core.exceptions import ObjectDoesNotExist
from django.db import InterfaceError, OperationalError

from aggregator.models import Organisation
from markets.arrays.held_ready import contracts_held, load_held_ready
from markets.arrays.sealed_parts import invoice_parts
from markets.arrays.seals import load_invoice_seals, rows_seal, sealed_again, store_invoice_seals
from markets.core.invoice import DeltaLine, against, invoice_sha256, totals_of
from markets.models import Contract, Invoice, InvoiceLine, InvoiceSeal, Statement
from markets.services.invoice_pricing import PricedMonth, price_month
from markets.services.invoice_texts import before_amounts, fraction_text, head_cells
from markets.services.verified import Difference
from markets.services.verify_seals import other_seal

LINE_FIGURES = ("kind", "reference", "amount_gbp", "before_gbp", "delta_gbp")
TOTALS = ("amount_gbp", "before_gbp", "delta_gbp")


def seal_invoice(*, invoice: Invoice) -> None:
    """Keep digests of what an invoice consists of and was made of; call it in the transaction that issues it."""
    parts = invoice_parts(invoice, contracts=_contracts(invoice))
    store_invoice_seals(invoice=invoice, seals=[rows_seal("", part) for part in parts])


def _contracts(invoice: Invoice) -> list[Contract]:
    """Under which its DSRSP held power ready in its month."""
    contracts = contracts_held(product=invoice.product, month=invoice.month, as_of=invoice.as_of)
    return [contract for contract in contracts if contract.organisation_id == invoice.organisation_id]


def verify_invoices(*, statement_pks: Iterable[int] | None = None) -> tuple[int, list[Difference]]:
    """How many invoices there are, every difference of each, and what is gone.

    Args:
        statement_pks: only invoices that add up one of these.
    """
    invoices = Invoice.objects.across_tenants()  # no joins: one whose product is gone has to be found, too
    if statement_pks is not None:
        invoices = invoices.filter(statement_pks__overlap=list(statement_pks))
    found = list(invoices.order_by("product_code", "month", "organisation_id", "version"))
    differences = [difference for invoice in found for check in (_invoice, _rows) for difference in check(invoice)]
    if statement_pks is None:
        differences.extend([*_gaps(found), *_gone(found)])
    return len(found), differences


def _rows(invoice: Invoice) -> Iterator[Difference]:
    """Rows that were sealed when it was issued and are others now."""
    sealed = load_invoice_seals(invoice_pk=invoice.pk)
    parts = {seal.part for seal in sealed}
    if not {part for part in parts if part.startswith("markets_invoice")}:
        yield Difference(_named(invoice), "seals", "rows", "nothing", "an issued invoice is sealed")
    yield from _other_parts(invoice, parts)
    for before, now in zip(sealed, sealed_again(sealed), strict=True):
        if other := other_seal(_named(invoice), before, now):
            yield other


def _other_parts(invoice: Invoice, parts: set[str]) -> Iterator[Difference]:
    """Seals that were taken away from an invoice, or added to it."""
    try:
        wanted = set(invoice_parts(invoice, contracts=_contracts(invoice)))
    except ObjectDoesNotExist as error:
        yield Difference(_named(invoice), "seals", "rows", "sealed", str(error))
        return
    for part in sorted(wanted - parts):
        yield Difference(_named(invoice), "seals", part, "nothing", "sealed")
    for part in sorted(parts - wanted):
        yield Difference(_named(invoice), "seals", part, "sealed", "nothing")


def _gone(found: list[Invoice]) -> Iterator[Difference]:
    """Invoices of which there are seals or lines and nothing else."""
    there = {invoice.pk for invoice in found}
    sealed = InvoiceSeal.objects.across_tenants().values_list("invoice_id", flat=True)
    lines = InvoiceLine.objects.across_tenants().values_list("invoice_id", flat=True)
    for pk in sorted({*sealed, *lines} - there):
        yield Difference(f"invoice {pk}", "whole", "invoice", "nothing", "it was issued")


def _named(invoice: Invoice) -> str:
    organisation = Organisation.objects.filter(pk=invoice.organisation_id).first()
    return f"invoice {invoice.pk} ({invoice} of {organisation.code if organisation else invoice.organisation_id})"


def _invoice(invoice: Invoice) -> Iterator[Difference]:
    """What an invoice says that its statements do not give."""
    try:
        yield from _priced_anew(invoice, _priced(invoice))
    except (OperationalError, InterfaceError):
        raise  # a database that is away says nothing of what is stored in it
    # Rows may have been changed into anything: what can then not be computed is a difference, never a crash.
    except Exception as error:  # noqa: BLE001
        yield Difference(_named(invoice), "whole", "invoice", "issued", f"cannot be priced: {error!r}")


def _priced_anew(invoice: Invoice, month: PricedMonth) -> Iterator[Difference]:
    name = _named(invoice)
    lines = against(month.lines, before_amounts(invoice.supersedes))
    if len(month.statements) != len(invoice.statement_pks):
        yield Difference(name, "whole", "statements", str(len(invoice.statement_pks)), str(len(month.statements)))
    if invoice.performance != fraction_text(month.performance):
        yield Difference(name, "whole", "performance", invoice.performance, fraction_text(month.performance))
    yield from _lines(invoice, lines)
    yield from _figures(name, "whole", TOTALS, invoice, totals_of(lines))
    sha256 = invoice_sha256(head_cells(invoice), lines)
    if sha256 != invoice.sha256:
        yield Difference(name, "whole", "sha256", invoice.sha256, sha256)


def _lines(invoice: Invoice, lines: Sequence[DeltaLine]) -> Iterator[Difference]:
    name = _named(invoice)
    rows = list(InvoiceLine.objects.across_tenants().filter(invoice=invoice).order_by("position"))
    if len(rows) != len(lines):
        yield Difference(name, "whole", "lines", str(len(rows)), str(len(lines)))
    for row, line in zip(rows, lines, strict=False):
        yield from _figures(name, f"line {row.position}", LINE_FIGURES, row, line)


def _figures(name: str, line: str, figures: tuple[str, ...], stored: object, again: object) -> Iterator[Difference]:
    for figure in figures:
        before, now = getattr(stored, figure), getattr(again, figure)
        if before != now:
            yield Difference(name, line, figure, str(before), str(now))


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
            yield Difference(_named(newest), f"v{version}", "invoice", "nothing", "issued")
