"""Invoice a month: what each DSRSP's events under a product come to, and how that differs from the version before."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from fractions import Fraction

from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import utc
from aggregator.models import Organisation
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from markets.arrays.held_ready import load_held_ready
from markets.arrays.settlement import ReadEvent
from markets.core.invoice import (
    DeltaLine,
    against,
    cutoff_at,
    first_of_month,
    invoice_sha256,
    next_month,
    totals_of,
)
from markets.core.run_codes import MONTHLY_CODE
from markets.models import (
    FlexEvent,
    Instruction,
    Invoice,
    InvoiceLine,
    Product,
    SettlementRun,
    Statement,
    StatementReason,
)
from markets.services.invoice_check import seal_invoice
from markets.services.invoice_pricing import PricedMonth, price_month
from markets.services.invoice_texts import before_amounts, fraction_text, head_cells
from markets.services.month_read import read_events
from markets.services.settlement import newest_instructed_run, settle_event

logger = logging.getLogger(__name__)

LONGEST_REASON = 500


class MonthStillOpen(FlexError):
    code = "invoice.month_still_open"


class UnknownProduct(FlexError):
    code = "invoice.unknown_product"


@dataclass(frozen=True, slots=True)
class InvoiceOrder:
    """Which month is invoiced, and how.

    Attributes:
        month: any day of it, local.
        now: when it is asked; the month must be closed by then.
        cutoff_day: of the next month: what is received from then on changes no invoice, unless it is asked.
        restate: asked: state the month again from what is known now, where it differs, as a new version.
        reason: why, as the log keeps it.
    """

    product_code: str
    month: date
    now: datetime
    cutoff_day: int
    restate: bool = False
    reason: str = ""

    @property
    def first_day(self) -> date:
        return first_of_month(self.month)

    @property
    def closes_at(self) -> datetime:
        return cutoff_at(self.first_day, cutoff_day=self.cutoff_day)

    @property
    def as_of(self) -> datetime:
        """What was known then counts."""
        return self.now if self.restate else self.closes_at


def issue_invoices(order: InvoiceOrder) -> list[Invoice]:
    """Issue a month's invoices of a product, one a DSRSP; asked again, those that were issued are given back.

    The first time every event of the month is settled with what was known at the cut-off, as the run ``MONTHLY``. Later
    readings change no invoice unless it is restated: then events are settled with what is known now, and an invoice
    that comes to something else gets a new version, whose delta is what is to be paid or paid back.

    Raises:
        MonthStillOpen: the month's cut-off has not passed.
        UnknownProduct: no product has the code.
    """
    product = closed_product(order)
    reads = _read_beforehand(order)
    with transaction.atomic():
        take_turn("invoices", product.buyer_id)
        standing = standing_invoices(product_code=order.product_code, month=order.first_day)
        if standing and not order.restate:
            return list(standing.values())
        events = month_events(order.product_code, order.first_day)
        settlements = [_settled(event, order, reads.get(event.pk)) for event in events]
        return [
            _issued(product, order, order.as_of, organisation, month, standing.get(organisation.pk))
            for organisation, month in _priced(product, order.first_day, settlements, order.as_of)
        ]


def closed_product(order: InvoiceOrder) -> Product:
    """The version in force at the month's end, or the first where none was yet.

    Raises:
        MonthStillOpen, UnknownProduct: as for ``issue_invoices``.
    """
    versions = Product.objects.filter(code=order.product_code).select_related("buyer").order_by("-version")
    in_force = versions.filter(valid_from__lt=utc(next_month(order.first_day), time(0))).first()
    product = in_force or versions.last()
    if product is None:
        raise UnknownProduct(f"no product has the code {order.product_code}", field="product", value=order.product_code)
    if order.now < order.closes_at:
        raise MonthStillOpen(
            f"{order.first_day:%Y-%m} closes {order.closes_at.isoformat()}, asked {order.now.isoformat()}",
            field="month",
            value=f"{order.first_day:%Y-%m}",
        )
    return product


def standing_invoices(*, product_code: str, month: date) -> dict[int, Invoice]:
    """The newest version of each DSRSP's invoice, by the DSRSP's key, in the order of their codes."""
    found = Invoice.objects.across_tenants().filter(product_code=product_code, month=month, superseded_by=None)
    return {invoice.organisation_id: invoice for invoice in found.order_by("organisation__code")}


def month_events(product_code: str, month: date) -> list[FlexEvent]:
    """Events under a product that start in a local month and that anybody was instructed for."""
    starts_at, ends_at = utc(month, time(0)), utc(next_month(month), time(0))
    told = Instruction.objects.across_tenants().values("event")
    found = FlexEvent.objects.filter(
        product__code=product_code, signal__starts_at__gte=starts_at, signal__starts_at__lt=ends_at, pk__in=told
    )
    return list(found.select_related("product", "signal__node").order_by("signal__starts_at", "signal__reference"))


def _priced(
    product: Product, month: date, settlements: Sequence[SettlementRun], as_of: datetime
) -> list[tuple[Organisation, PricedMonth]]:
    """What a month comes to for each DSRSP that was settled or held power ready, by code."""
    held = load_held_ready(product=product, month=month, as_of=as_of)
    statements = Statement.objects.across_tenants().filter(settlement_run__in=settlements)
    of_whom: dict[int, list[Statement]] = {}
    for statement in statements.select_related("settlement_run__event__signal", "settlement_run__event__product"):
        of_whom.setdefault(statement.organisation_id, []).append(statement)
    organisations = Organisation.objects.filter(pk__in={*of_whom, *held}).order_by("code")
    return [
        (
            organisation,
            price_month(
                product=product,
                statements=of_whom.get(organisation.pk, []),
                held_ready=held.get(organisation.pk, []),
                previous=_previous(product.code, month, organisation),
            ),
        )
        for organisation in organisations
    ]


def _read_beforehand(order: InvoiceOrder) -> dict[int, ReadEvent]:
    """What the month's events still to be settled are settled from, by their keys; read before anything is locked."""
    if not order.restate and standing_invoices(product_code=order.product_code, month=order.first_day):
        return {}
    events = [
        event
        for event in month_events(order.product_code, order.first_day)
        if event.signal.ends_at <= order.as_of and (order.restate or settlement_to_invoice(event, order) is None)
    ]
    reads = read_events(events=events, as_of=order.as_of)
    return {event.pk: read for event, read in zip(events, reads, strict=True)}


def _settled(event: FlexEvent, order: InvoiceOrder, read: ReadEvent | None) -> SettlementRun:
    """The settlement an invoice stands on: of the month's close, or of now where the month is stated again."""
    run = newest_instructed_run(event=event)
    if order.restate:
        return settle_event(event=event, run=run, as_of=order.as_of, read=read)
    standing = settlement_to_invoice(event, order)
    if standing is not None:
        return standing
    return settle_event(event=event, run=run, as_of=order.as_of, run_code=MONTHLY_CODE, read=read)


def settlement_to_invoice(event: FlexEvent, order: InvoiceOrder) -> SettlementRun | None:
    """The settlement that a month's first invoice stands on, if it is there already."""
    of_event = SettlementRun.objects.filter(event=event).order_by("-version")
    monthly = of_event.filter(code=MONTHLY_CODE).first()
    if monthly is not None:
        return monthly
    # Where a run as of a later time stands already, none is slipped in before it.
    later = of_event.filter(as_of__gt=order.closes_at).exists()
    return of_event.filter(as_of__lte=order.closes_at).first() if later else None


def _previous(product_code: str, month: date, organisation: Organisation) -> Fraction | None:
    """Performance of the month before, as its newest invoice states it; None where nothing was asked in it."""
    last = date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)
    invoice = standing_invoices(product_code=product_code, month=last).get(organisation.pk)
    return Fraction(invoice.performance) if invoice is not None and invoice.performance else None


def _issued(
    product: Product,
    order: InvoiceOrder,
    as_of: datetime,
    organisation: Organisation,
    month: PricedMonth,
    before: Invoice | None,
) -> Invoice:
    """Store one DSRSP's invoice, or give the one before back where it says the same."""
    said = before_amounts(before)
    lines = against(month.lines, said)
    if before is not None and all(line.delta_gbp == 0 for line in lines):
        return before
    totals = totals_of(lines)
    invoice = Invoice(
        month=order.first_day,
        product_code=product.code,
        product=product,
        buyer=product.buyer,
        organisation=organisation,
        version=before.version + 1 if before else 1,
        supersedes=before,
        as_of=as_of,
        issued_at=order.now,
        statement_pks=[statement.pk for statement in month.statements],
        performance=fraction_text(month.performance),
        previous_performance=fraction_text(month.previous),
        amount_gbp=totals.amount_gbp,
        before_gbp=totals.before_gbp,
        delta_gbp=totals.delta_gbp,
    )
    invoice.sha256 = invoice_sha256(head_cells(invoice), lines)
    invoice.save(force_insert=True)
    InvoiceLine.objects.across_tenants().bulk_create(
        _line(invoice, position, line, month, has_before=before is not None)
        for position, line in enumerate(lines, start=1)
    )
    seal_invoice(invoice=invoice)
    _record(invoice, before, reason=order.reason)
    return invoice


def _line(invoice: Invoice, position: int, line: DeltaLine, month: PricedMonth, *, has_before: bool) -> InvoiceLine:
    of_request = {one.settlement_run.event.signal.reference: one for one in month.statements}
    statement = of_request.get(line.reference)
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=line.kind,
        reference=line.reference,
        statement=statement,
        amount_gbp=line.amount_gbp,
        before_gbp=line.before_gbp,
        delta_gbp=line.delta_gbp,
        reason=_reason(statement) if has_before and line.delta_gbp else "",
    )


def _reason(statement: Statement | None) -> str:
    """Why an event's line differs: what its statement says of the version it supersedes."""
    if statement is None:
        return "the month's events come to something else"
    whole = StatementReason.objects.across_tenants().filter(statement=statement, starts_at=None).order_by("pk")
    said = "; ".join(
        f"{reason.message}, received until {reason.last_received_at.isoformat()}"
        if reason.last_received_at
        else reason.message
        for reason in whole
    )
    return (said or "settled anew")[:LONGEST_REASON]


def _record(invoice: Invoice, before: Invoice | None, *, reason: str) -> None:
    """Tell the log of its buyer what was issued in place of what."""
    record_event(
        action="invoice.issued",
        subject=str(invoice),
        organisation=invoice.buyer,
        reason=reason,
        before=None if before is None else {"invoice": before.pk, "amount_gbp": str(before.amount_gbp)},
        after={
            "invoice": invoice.pk,
            "dsrsp": invoice.organisation.code,
            "amount_gbp": str(invoice.amount_gbp),
            "delta_gbp": str(invoice.delta_gbp),
            "sha256": invoice.sha256,
        },
        at=invoice.issued_at,
    )
    logger.info(
        "issued %s to %s: %s GBP, %s GBP to pay",
        invoice,
        invoice.organisation.code,
        invoice.amount_gbp,
        invoice.delta_gbp,
    )
