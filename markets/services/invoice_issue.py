"""Issue a month's invoices from a page: look first at what they come to, then issue just that."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.models import Organisation, as_platform
from markets.models import FlexEvent, Invoice, InvoiceLine
from markets.services.invoices import (
    InvoiceOrder,
    closed_product,
    issue_invoices,
    month_events,
    settlement_to_invoice,
    standing_invoices,
)

# A page waits for what it settles; so many events of a street take seconds, a whole month's of a country minutes.
MOST_TO_SETTLE = 50


class IssueRefused(FlexError):
    code = "invoice.issue_refused"


class TooManyToSettle(FlexError):
    code = "invoice.too_many_to_settle"


class InvoicesChanged(FlexError):
    code = "invoice.changed_since"


@dataclass(frozen=True, slots=True)
class PlannedInvoice:
    """One DSRSP's invoice as it is, or would be.

    Attributes:
        issued_at: when, of one that stands already and stays as it is: nothing more is to be paid of it. None of one
            that would be issued.
    """

    dsrsp: str
    version: int
    n_line: int
    amount_gbp: Decimal
    before_gbp: Decimal
    delta_gbp: Decimal
    issued_at: datetime | None


@dataclass(frozen=True, slots=True)
class InvoicePlan:
    """What issuing a month's invoices comes to.

    Attributes:
        n_event: events of the month that anybody was instructed for; ``n_to_settle`` of them are settled on the way.
        to_pay_gbp: sum of what the invoices that would be issued say to pay.
        seen: digest of the figures: what is issued must come to the same.
    """

    product: str
    buyer: str
    month: str
    closes_at: datetime
    is_restated: bool
    n_event: int
    n_to_settle: int
    invoices: tuple[PlannedInvoice, ...]
    to_pay_gbp: Decimal
    seen: str

    @property
    def n_new(self) -> int:
        return sum(one.issued_at is None for one in self.invoices)


def plan_invoices(*, organisation: Organisation, order: InvoiceOrder) -> InvoicePlan:
    """What issuing would come to, by doing it and taking it back: nothing of it is stored.

    Raises:
        IssueRefused: no market operator asks.
        TooManyToSettle: more events are to be settled on the way than a page waits for.
        FlexError: as for ``issue_invoices``.
    """
    with transaction.atomic():
        plan = _issue(organisation, order)
        transaction.set_rollback(True)
    return plan


def issue_as_seen(*, organisation: Organisation, order: InvoiceOrder, seen: str) -> InvoicePlan:
    """Issue the invoices that somebody has looked at.

    Raises:
        InvoicesChanged: they come to something else by now; nothing is issued.
        FlexError: as for ``plan_invoices``.
    """
    with transaction.atomic():
        plan = _issue(organisation, order)
        if plan.seen != seen:
            raise InvoicesChanged(
                f"the invoices of {plan.month} come to something else than was looked at: look at them again",
                field="seen",
            )
    return plan


def _issue(organisation: Organisation, order: InvoiceOrder) -> InvoicePlan:
    if organisation.kind != Organisation.Kind.MARKET_OPERATOR:
        raise IssueRefused(
            f"{organisation.code} is no market operator: only a market operator issues invoices", field="organisation"
        )
    with as_platform():  # every DSRSP's events are settled and invoiced
        product = closed_product(order)
        standing = standing_invoices(product_code=order.product_code, month=order.first_day)
        events = month_events(order.product_code, order.first_day)
        n_to_settle = _n_to_settle(order, events, is_issued=bool(standing))
        found = issue_invoices(order)
        kept = {invoice.pk for invoice in standing.values()}
        invoices = tuple(_planned(invoice, is_kept=invoice.pk in kept) for invoice in found)
    plan = InvoicePlan(
        product=product.code,
        buyer=product.buyer.name,
        month=f"{order.first_day:%B %Y}",
        closes_at=order.closes_at,
        is_restated=order.restate,
        n_event=len(events),
        n_to_settle=n_to_settle,
        invoices=invoices,
        to_pay_gbp=sum((one.delta_gbp for one in invoices), Decimal("0.00")),
        seen="",
    )
    return replace(plan, seen=_digest(plan))


def _n_to_settle(order: InvoiceOrder, events: Sequence[FlexEvent], *, is_issued: bool) -> int:
    """Events to be settled on the way.

    Raises:
        TooManyToSettle: as for ``plan_invoices``.
    """
    if is_issued and not order.restate:
        return 0
    waiting = [event for event in events if order.restate or settlement_to_invoice(event, order) is None]
    if len(waiting) > MOST_TO_SETTLE:
        command = "issue_invoices --restate" if order.restate else "settle_month --code MONTHLY"
        raise TooManyToSettle(
            f"{len(waiting)} events of {order.first_day:%Y-%m} are to be settled for it, and a page settles "
            f"{MOST_TO_SETTLE} at most: have the platform run {command} first",
            field="month",
            n_event=len(waiting),
        )
    return len(waiting)


def _planned(invoice: Invoice, *, is_kept: bool) -> PlannedInvoice:
    return PlannedInvoice(
        dsrsp=invoice.organisation.name,
        version=invoice.version,
        n_line=InvoiceLine.objects.across_tenants().filter(invoice=invoice).count(),
        amount_gbp=invoice.amount_gbp,
        before_gbp=invoice.amount_gbp if is_kept else invoice.before_gbp,
        delta_gbp=Decimal("0.00") if is_kept else invoice.delta_gbp,
        issued_at=invoice.issued_at if is_kept else None,
    )


def _digest(plan: InvoicePlan) -> str:
    """Of what each invoice comes to; not of when it was worked out."""
    cells = [plan.product, plan.month, str(plan.is_restated)]
    cells += [f"{one.dsrsp!r} {one.version} {one.amount_gbp} {one.delta_gbp}" for one in plan.invoices]
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()
