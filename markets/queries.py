"""Read-only querysets for pages and the API, each limited to what one organisation may see."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Collate, Now

from aggregator.models import Enrolment, NetworkNode, Organisation, TenantManager
from dispatch.models import Setpoint
from markets.models import (
    Contract,
    ControlGroup,
    ControlGroupMember,
    CycleNode,
    CycleRun,
    DeliveredVolumeFile,
    FlexEvent,
    FlexOffer,
    FlexOrder,
    FlexRequest,
    Instruction,
    Invoice,
    LedgerClaim,
    Market,
    Nomination,
    PrimacyRule,
    Product,
    SettledDay,
    SettlementRun,
    StackingRule,
    Statement,
)

T = TypeVar("T", FlexRequest, FlexOffer, Contract, FlexOrder)
U = TypeVar("U", Nomination, ControlGroup)
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
        run_type=run.code,
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


def delivered_files_seen_by(organisation: Organisation) -> QuerySet[DeliveredVolumeFile]:
    """Files of delivered volumes: a DSRSP its own, the platform all."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return DeliveredVolumeFile.objects.for_tenant(organisation)
    files = DeliveredVolumeFile.objects.across_tenants()
    return files if organisation.kind == Organisation.Kind.PLATFORM else files.none()


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


def invoices_seen_by(organisation: Organisation) -> QuerySet[Invoice]:
    """Invoices an organisation may read: a DSRSP its own, a DNO those of products it buys."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return Invoice.objects.for_tenant(organisation)
    invoices = Invoice.objects.across_tenants()
    if organisation.kind == Organisation.Kind.DNO:
        return invoices.filter(buyer=organisation)
    return invoices if organisation.kind in SEES_EVERY_STATEMENT else invoices.none()


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


def as_known_at(days: QuerySet[SettledDay], at: datetime) -> QuerySet[SettledDay]:
    """Of settled days those that stood at a time: of each event the newest run that looked no later than that."""
    of_event = SettlementRun.objects.filter(event=OuterRef("settlement_run__event"), as_of__lte=at)
    return days.filter(settlement_run=Subquery(of_event.order_by("-version").values("pk")[:1]))


def ledger_claims_seen_by(organisation: Organisation) -> QuerySet[LedgerClaim]:
    """What was claimed of delivered energy, without its bands: a DSRSP its own, a DNO those of products it buys."""
    if organisation.kind == Organisation.Kind.DSRSP:
        claims = LedgerClaim.objects.for_tenant(organisation)
    else:
        claims = LedgerClaim.objects.across_tenants()
        if organisation.kind == Organisation.Kind.DNO:
            claims = claims.filter(settlement__event__product__buyer=organisation)
        elif organisation.kind not in SEES_EVERY_STATEMENT:
            claims = claims.none()
    return claims.defer("evses", "band_from", "band_to", "unmet_evses", "unmet_quanta")


def primacy_rules_seen_by(_organisation: Organisation) -> QuerySet[PrimacyRule]:
    """Rules of primacy are published, every version."""
    return PrimacyRule.objects.order_by("code", "version")


def stacking_rules_seen_by(_organisation: Organisation) -> QuerySet[StackingRule]:
    """Rules of stacking are published, every version."""
    return StackingRule.objects.order_by("code", "version")


def markets_seen_by(_organisation: Organisation) -> QuerySet[Market]:
    """Markets are published: everybody sees every one."""
    return Market.objects.select_related("product", "buyer").order_by("code")


def flex_requests_seen_by(organisation: Organisation) -> QuerySet[FlexRequest]:
    """Flexibility asked for: a buyer's own, a DSRSP's in its zones and what it has answered."""
    requests = FlexRequest.objects.select_related("market__product", "node", "buyer")
    if organisation.kind == Organisation.Kind.DSRSP:
        answered = FlexOffer.objects.for_tenant(organisation).filter(request=OuterRef("pk"))
        return requests.filter(Q(node__in=_zone_nodes(organisation)) | Q(Exists(answered)))
    return _bought(requests, organisation)


def flex_offers_seen_by(organisation: Organisation) -> QuerySet[FlexOffer]:
    """Offers: a DSRSP's own, and for a buyer those made to it."""
    offers = _own(FlexOffer.objects, organisation)
    return offers.select_related("request__market__product", "request__node", "organisation")


def contracts_seen_by(organisation: Organisation) -> QuerySet[Contract]:
    """Contracts: a DSRSP's own, and a buyer's own."""
    return _own(Contract.objects, organisation).select_related("market__product", "organisation", "buyer")


def flex_orders_seen_by(organisation: Organisation) -> QuerySet[FlexOrder]:
    """Orders: a DSRSP's own, and a buyer's own."""
    orders = _own(FlexOrder.objects, organisation)
    return orders.select_related("market__product", "node", "organisation", "buyer", "contract", "offer")


def nominations_seen_by(organisation: Organisation) -> QuerySet[Nomination]:
    """Nominated baselines: a DSRSP its own, a DNO those for products it buys, the platform all."""
    return _under_products(Nomination.objects, organisation).select_related("organisation", "product", "node")


def control_groups_seen_by(organisation: Organisation) -> QuerySet[ControlGroup]:
    """Control groups, without their EVSEs: a DSRSP its own, a DNO those for products it buys, the platform all."""
    return _under_products(ControlGroup.objects, organisation).select_related("organisation", "product", "node")


def control_group_members_seen_by(organisation: Organisation) -> QuerySet[ControlGroupMember]:
    """EVSEs of control groups: a DSRSP its own, the platform all, nobody else any."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return ControlGroupMember.objects.for_tenant(organisation)
    rows = ControlGroupMember.objects.across_tenants()
    return rows if organisation.kind == Organisation.Kind.PLATFORM else rows.none()


def _under_products(rows: TenantManager[U], organisation: Organisation) -> QuerySet[U]:
    if organisation.kind == Organisation.Kind.DSRSP:
        return rows.for_tenant(organisation)
    found = rows.across_tenants()
    if organisation.kind == Organisation.Kind.DNO:
        return found.filter(product__buyer=organisation)
    return found if organisation.kind == Organisation.Kind.PLATFORM else found.none()


def _own(rows: TenantManager[T], organisation: Organisation) -> QuerySet[T]:
    if organisation.kind == Organisation.Kind.DSRSP:
        return rows.for_tenant(organisation)
    return _bought(rows.across_tenants(), organisation)


def _bought(rows: QuerySet[T], organisation: Organisation) -> QuerySet[T]:
    """What a DNO asked for or bought; the platform sees all, others nothing."""
    if organisation.kind == Organisation.Kind.DNO:
        return rows.filter(buyer=organisation)
    return rows if organisation.kind == Organisation.Kind.PLATFORM else rows.none()


def _zone_nodes(organisation: Organisation) -> set[int]:
    """Nodes at and above a DSRSP's EVSEs, enrolled now or from a later day."""
    open_ones = Enrolment.objects.for_tenant(organisation).filter(Q(ends_at__isnull=True) | Q(ends_at__gt=Now()))
    found: set[int] = set()
    level = set(open_ones.values_list("evse__node", flat=True))
    while level - found:
        found |= level
        above = NetworkNode.objects.filter(pk__in=level, parent__isnull=False)
        level = {pk for pk in above.values_list("parent", flat=True) if pk is not None}
    return found
