"""What an evidence pack states of the ledger, of nominations and of invoices; ask as the platform."""

from typing import Any

from markets.arrays.nominations import nominations_known
from markets.core.statement_cells import time_cell
from markets.models import Invoice, InvoiceLine, LedgerClaim, LedgerDisplacement, Product, Statement
from markets.services.invoice_texts import head_cells

OF_CLAIM = ("claimed_kwh", "payable_kwh", "compensated_kwh", "void_kwh", "penalised_kwh")
OF_LINE = ("amount_gbp", "before_gbp", "delta_gbp")


def nomination_facts(statement: Statement) -> list[dict[str, Any]]:
    """What the DSRSP had nominated for the event and was known; empty where the baseline is not nominated."""
    run = statement.settlement_run
    if run.event.product.baseline_method != "nomination":
        return []
    known = nominations_known(event=run.event, organisation_pks=[statement.organisation_id], as_of=run.as_of)
    return [
        {
            "nomination": row.pk,
            "settlement_date": row.settlement_date.isoformat(),
            "submitted_at": time_cell(row.submitted_at),
            "recorded_at": time_cell(row.recorded_at),
            "power_kw": row.power_kw,
        }
        for row in known
    ]


def ledger_facts(statement: Statement) -> dict[str, Any]:
    """What the statement's settlement claimed of its DSRSP's energy, and what stood in the way, by half-hour."""
    claims = LedgerClaim.objects.across_tenants().filter(
        settlement=statement.settlement_run_id, organisation=statement.organisation_id
    )
    displaced = LedgerDisplacement.objects.filter(claim__in=claims).select_related(
        "claim", "by_product", "by_event__signal", "rule"
    )
    return {
        "claims": [
            {"starts_at": time_cell(claim.starts_at), **{name: f"{getattr(claim, name):.4f}" for name in OF_CLAIM}}
            for claim in claims.order_by("starts_at")
        ],
        "displaced": [
            {
                "starts_at": time_cell(one.claim.starts_at),
                "by_product": str(one.by_product),
                "by_request": one.by_event.signal.reference,
                "rule": "" if one.rule is None else str(one.rule),
                "reason": one.reason,
                "settled_as": one.displaced_party_settlement,
                "displaced_kwh": f"{one.displaced_kwh:.4f}",
            }
            for one in displaced.order_by("claim__starts_at", "pk")
        ],
    }


def invoice_facts(statement: Statement) -> dict[str, Any]:
    """Every version of the invoice that adds the statement up, whole, and whether an event is a line of its own."""
    product = statement.settlement_run.event.product
    by_event = (Product.Aggregation.EVENT, Product.Rounding.EVENT)
    invoices = Invoice.objects.across_tenants().filter(statement_pks__contains=[statement.pk])
    found = invoices.select_related("buyer", "organisation", "product").order_by("month", "version")
    return {
        "reference": statement.settlement_run.event.signal.reference,
        "is_line_of_its_own": (product.aggregation, product.rounding) == by_event,
        "invoices": [_invoice(invoice) for invoice in found],
    }


def _invoice(invoice: Invoice) -> dict[str, Any]:
    lines = InvoiceLine.objects.across_tenants().filter(invoice=invoice).order_by("position")
    return {
        "head": head_cells(invoice),
        "sha256": invoice.sha256,
        **{name: f"{getattr(invoice, name):.2f}" for name in OF_LINE},
        "lines": [
            {
                "position": line.position,
                "kind": line.kind,
                "reference": line.reference,
                "statement": line.statement_id,
                "reason": line.reason,
                **{name: f"{getattr(line, name):.2f}" for name in OF_LINE},
            }
            for line in lines
        ],
    }
