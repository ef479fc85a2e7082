"""What a DSRSP's month comes to, from the statements of its events: used to issue an invoice and to check one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from markets.core.invoice import PricedLine
from markets.core.payment_month import HeldReady, SettledEvent, month_payment
from markets.core.statement_file import parse_statement
from markets.models import Product, Statement
from markets.services.rules import month_terms, performance_rule


@dataclass(frozen=True, slots=True)
class PricedMonth:
    """A month's lines, the statements behind them in the order of their events, and its performance."""

    lines: tuple[PricedLine, ...]
    statements: tuple[Statement, ...]
    performance: Fraction | None
    previous: Fraction | None


def price_month(
    *,
    product: Product,
    statements: Iterable[Statement],
    held_ready: Sequence[HeldReady],
    previous: Fraction | None,
) -> PricedMonth:
    """Price one DSRSP's month, each event by the product version it was called under.

    A line of the whole month under an earlier version is told by that version, ``v1``.

    Args:
        product: the version in force at the month's end; availability is paid by it.
        statements: with their settlement's event, request and product.
        previous: performance of the month before.
    """
    ordered = sorted(statements, key=_place)
    versions = {statement.settlement_run.event.product for statement in ordered} | {product}
    lines: list[PricedLine] = []
    performance = None
    for one in sorted(versions, key=lambda version: version.version):
        of_version = [statement for statement in ordered if statement.settlement_run.event.product_id == one.pk]
        payment = month_payment(
            events=[_settled_event(statement) for statement in of_version],
            held_ready=held_ready if one == product else (),
            rule=performance_rule(one),
            terms=month_terms(one),
            previous_performance=previous,
        )
        whole = "" if one == product else f"v{one.version}"
        lines.extend(PricedLine(line.kind, line.reference or whole, line.amount_gbp) for line in payment.lines)
        performance = payment.performance if payment.performance is not None else performance
    return PricedMonth(tuple(lines), tuple(ordered), performance, previous)


def _place(statement: Statement) -> tuple[object, str]:
    signal = statement.settlement_run.event.signal
    return signal.starts_at, signal.reference


def _settled_event(statement: Statement) -> SettledEvent:
    """An event's energies that count, as its statement publishes them."""
    (line,) = parse_statement(bytes(statement.content)).lines
    return SettledEvent(
        reference=line.order_reference,
        ordered_kwh=line.counted_ordered_kwh,
        delivered_kwh=line.counted_delivered_kwh,
        price_gbp_per_mwh=line.price_gbp_per_mwh,
    )
