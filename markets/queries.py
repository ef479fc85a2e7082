"""Read-only querysets for pages and the API, each limited to what one organisation may see."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Collate

from aggregator.models import Organisation
from dispatch.models import Setpoint
from markets.models import CycleNode, CycleRun, FlexEvent, Instruction, Product, SettlementRun, Statement

SEES_EVERY_STATEMENT = (Organisation.Kind.MARKET_OPERATOR, Organisation.Kind.PLATFORM)


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A published statement without its content."""

    pk: int
    reference: str
    dsrsp_code: str
    dsrsp_name: str
    version: int
    run_type: str
    as_of: datetime
    is_superseded: bool
    instructed_kwh: Decimal
    delivered_kwh: Decimal
    performance_factor: float
    payment_gbp: Decimal
    sha256: str


def cycles_seen_by(organisation: Organisation) -> QuerySet[CycleRun]:
    """Cycles an organisation may look at, newest first: a DNO its own areas', a DSRSP those that planned its EVSEs."""
    cycles = CycleRun.objects.select_related("area__organisation", "run").order_by("-started_at", "-pk")
    if organisation.kind == Organisation.Kind.DNO:
        return cycles.filter(area__organisation=organisation)
    if organisation.kind == Organisation.Kind.DSRSP:
        return cycles.filter(Exists(Setpoint.objects.for_tenant(organisation).filter(run=OuterRef("run"))))
    return cycles if organisation.kind in SEES_EVERY_STATEMENT else cycles.none()


def last_cycle() -> CycleRun | None:
    """Newest cycle of all, for the state of the whole."""
    return CycleRun.objects.order_by("-started_at", "-pk").first()


def statements_seen_by(organisation: Organisation) -> QuerySet[Statement]:
    """Statements an organisation may read: a DSRSP its own, a DNO those of products it buys."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return Statement.objects.for_tenant(organisation)
    statements = Statement.objects.across_tenants()
    if organisation.kind == Organisation.Kind.DNO:
        return statements.filter(settlement_run__event__product__buyer=organisation)
    return statements if organisation.kind in SEES_EVERY_STATEMENT else statements.none()


def statement_rows(cycle: CycleRun, organisation: Organisation) -> list[StatementRow]:
    """Every version of every statement on the events a cycle settled, newest version first."""
    events = list(cycle.settlement_runs.values_list("event", flat=True))
    found = (
        statements_seen_by(organisation)
        .filter(settlement_run__event__in=events)
        .select_related("settlement_run__event__signal", "settlement_run__superseded_by", "organisation")
        .defer("content")
        .alias(
            by_reference=Collate("settlement_run__event__signal__reference", "C"),
            by_dsrsp=Collate("organisation__code", "C"),
        )
        .order_by("by_reference", "by_dsrsp", "-settlement_run__version")
    )
    return [_statement_row(statement) for statement in found]


def _statement_row(statement: Statement) -> StatementRow:
    run = statement.settlement_run
    return StatementRow(
        pk=statement.pk,
        reference=run.event.signal.reference,
        dsrsp_code=statement.organisation.code,
        dsrsp_name=statement.organisation.name,
        version=run.version,
        run_type=run.get_run_type_display(),
        as_of=run.as_of,
        is_superseded=hasattr(run, "superseded_by"),
        instructed_kwh=statement.instructed_kwh,
        delivered_kwh=statement.delivered_kwh,
        performance_factor=statement.performance_factor,
        payment_gbp=statement.payment_gbp,
        sha256=statement.sha256,
    )


def nodes_in_cycle(cycle: CycleRun) -> QuerySet[CycleNode]:
    """EV power at each node, by node code."""
    return CycleNode.objects.filter(cycle=cycle).select_related("node").order_by("node__code")


def settlement_runs_seen_by(organisation: Organisation) -> QuerySet[SettlementRun]:
    """Settlements that hold a statement the organisation may read."""
    readable = statements_seen_by(organisation).filter(settlement_run=OuterRef("pk"))
    runs = SettlementRun.objects.select_related("event__signal__node", "event__product", "release", "superseded_by")
    return runs.filter(Exists(readable)).order_by("-created_at", "-pk")


def products_seen_by(_organisation: Organisation) -> QuerySet[Product]:
    """Products are published: everybody sees every version."""
    return Product.objects.select_related("buyer").order_by("code", "version")


def instructions_seen_by(organisation: Organisation) -> QuerySet[Instruction]:
    """What a DSRSP was instructed; a DNO sees instructions under products it buys, the rest of the market all."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return Instruction.objects.for_tenant(organisation)
    instructions = Instruction.objects.across_tenants()
    if organisation.kind == Organisation.Kind.DNO:
        return instructions.filter(event__product__buyer=organisation)
    return instructions if organisation.kind in SEES_EVERY_STATEMENT else instructions.none()


def flex_events_seen_by(organisation: Organisation) -> QuerySet[FlexEvent]:
    """Calls on products: a DSRSP those it was instructed or settled under, a DNO those of products it buys."""
    events = FlexEvent.objects.select_related("product", "signal__node")
    if organisation.kind == Organisation.Kind.DSRSP:
        told = Instruction.objects.for_tenant(organisation).filter(event=OuterRef("pk"))
        settled = Statement.objects.for_tenant(organisation).filter(settlement_run__event=OuterRef("pk"))
        return events.filter(Q(Exists(told)) | Q(Exists(settled)))
    if organisation.kind == Organisation.Kind.DNO:
        return events.filter(product__buyer=organisation)
    return events if organisation.kind in SEES_EVERY_STATEMENT else events.none()
