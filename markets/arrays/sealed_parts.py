"""Which rows a released settlement, or an issued invoice, rests on: the parts that are sealed."""

from datetime import datetime

from markets.arrays.control_groups import is_compared
from markets.arrays.nominations import nominations_known
from markets.arrays.settlement import order_of
from markets.models import (
    Contract,
    FlexOrder,
    Invoice,
    PrimacyRule,
    SettlementRun,
    SettlementSeal,
    StackingRule,
    Statement,
)

Kind = SettlementSeal.Kind
OF_RUN = "statement_id>markets_statement.settlement_run_id"


def sealed_parts(settlement: SettlementRun, *, act_pk: int, released_at: datetime) -> list[tuple[str, str]]:
    """Kind and part (``seals.seal_of``) of all rows beside the readings that a settlement stands on.

    Args:
        act_pk: the control act that releases it.
    """
    return [
        *_plan(settlement, released_at),
        *_asked(settlement),
        *_given(settlement),
        *_trade(order_of(settlement.event)),
        *_ledger(settlement),
        *_published(settlement),
        (Kind.RELEASE, act_part(act_pk)),
    ]


def act_part(act_pk: int) -> str:
    return f"aggregator_controlact id {act_pk}"


def invoice_parts(invoice: Invoice, *, contracts: list[Contract]) -> list[str]:
    """Parts that an invoice consists of, and of what it was made of those that no settlement seals."""
    return [
        f"markets_invoice id {invoice.pk}",
        f"markets_invoiceline invoice_id {invoice.pk}",
        f"markets_product id {invoice.product_id}",
        *(f"markets_statement id {pk}" for pk in invoice.statement_pks),
        *(f"markets_contract id {contract.pk}" for contract in contracts),
        *(f"markets_market id {pk}" for pk in sorted({contract.market_id for contract in contracts})),
    ]


def _plan(settlement: SettlementRun, released_at: datetime) -> list[tuple[str, str]]:
    run = settlement.dispatch_run
    tables = ["dispatch_runnode", "dispatch_runrequest", "dispatch_setpoint"]
    # While its day goes on, what a run issues is still written.
    if run.grid.ends_at <= released_at:
        tables.append("dispatch_issuedsetpoint")
    return [
        (Kind.PLAN, f"dispatch_dispatchrun id {run.pk}"),
        *((Kind.PLAN, f"{table} run_id {run.pk}") for table in tables),
    ]


def _asked(settlement: SettlementRun) -> list[tuple[str, str]]:
    event = settlement.event
    stops = f"markets_instructionstop instruction_id>markets_instruction.event_id {event.pk}"
    return [
        (Kind.INSTRUCTIONS, f"dispatch_targetsignal id {event.signal_id}"),
        (Kind.INSTRUCTIONS, f"markets_flexevent id {event.pk}"),
        (Kind.INSTRUCTIONS, f"markets_instruction event_id {event.pk}"),
        (Kind.INSTRUCTIONS, stops),
        (Kind.PRODUCT, f"markets_product id {event.product_id}"),
    ]


def _given(settlement: SettlementRun) -> list[tuple[str, str]]:
    owners = Statement.objects.across_tenants().filter(settlement_run=settlement)
    known = nominations_known(
        event=settlement.event,
        organisation_pks=owners.values_list("organisation_id", flat=True),
        as_of=settlement.as_of,
    )
    nominated = known.values_list("pk", flat=True)
    parts: list[tuple[str, str]] = [(Kind.BASELINE, f"markets_nomination id {pk}") for pk in nominated]
    if is_compared(settlement.event.product):
        parts.append((Kind.BASELINE, f"dispatch_sparedevse signal_id {settlement.event.signal_id}"))
    return parts


def _trade(order: FlexOrder | None) -> list[tuple[str, str]]:
    """The order that was dispatched, and what it was bought by; nothing where the request alone stated the power."""
    if order is None:
        return []
    keys = {
        "markets_flexoffer": order.offer_id,
        "markets_offeroption": order.option_id,
        "markets_flexrequest": order.offer.request_id if order.offer else None,
        "markets_contract": order.contract_id,
        "markets_market": order.market_id,
    }
    bought_by = [(Kind.TRADE, f"{table} id {pk}") for table, pk in keys.items() if pk is not None]
    return [(Kind.TRADE, f"markets_flexorder event_id {order.event_id}"), *bought_by]


def _ledger(settlement: SettlementRun) -> list[tuple[str, str]]:
    """Its claims, what stood in their way, and the rules there were: a rule changes by a new version."""
    displaced = f"markets_ledgerdisplacement claim_id>markets_ledgerclaim.settlement_id {settlement.pk}"
    last_primacy = PrimacyRule.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    last_stacking = StackingRule.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return [
        (Kind.LEDGER, f"markets_ledgerclaim settlement_id {settlement.pk}"),
        (Kind.LEDGER, displaced),
        (Kind.LEDGER, f"markets_primacyrule id<= {last_primacy}"),
        (Kind.LEDGER, f"markets_stackingrule id<= {last_stacking}"),
    ]


def _published(settlement: SettlementRun) -> list[tuple[str, str]]:
    of_statements = ["statementline", "statementreason", "shortfallcause", "reboundperiod"]
    return [
        (Kind.STATEMENTS, f"markets_settlementrun id {settlement.pk}"),
        (Kind.STATEMENTS, f"markets_settlementlink settlement_run_id {settlement.pk}"),
        (Kind.STATEMENTS, f"markets_statement settlement_run_id {settlement.pk}"),
        (Kind.STATEMENTS, f"markets_settledday settlement_run_id {settlement.pk}"),
        (Kind.STATEMENTS, f"aggregator_finding source settlement:{settlement.pk}"),
        *((Kind.STATEMENTS, f"markets_{table} {OF_RUN} {settlement.pk}") for table in of_statements),
    ]
