"""The ledger of a settlement as one organisation may read it: who was paid for what, what was displaced and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Prefetch

from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD, settlement_period_at
from aggregator.models import Organisation
from markets.models import LedgerClaim, LedgerDisplacement, PrimacyRule, Product, SettlementRun, StackingRule
from markets.queries import (
    flex_events_seen_by,
    ledger_claims_seen_by,
    primacy_rules_seen_by,
    settlement_runs_seen_by,
    stacking_rules_seen_by,
)


@dataclass(frozen=True, slots=True)
class DisplacedLine:
    """What another call stood in the way of; ``by_reference`` is empty where the reader may not see that call."""

    by_product: str
    by_reference: str
    reason: str
    reason_label: str
    rule: str
    settled_as: str
    settled_as_label: str
    displaced_kwh: Decimal


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """One DSRSP's half-hour."""

    dsrsp_code: str
    dsrsp: str
    starts_at: datetime
    ends_at: datetime
    settlement_date: str
    period: int
    local: str
    claimed_kwh: Decimal
    payable_kwh: Decimal
    compensated_kwh: Decimal
    void_kwh: Decimal
    penalised_kwh: Decimal
    co_delivery: tuple[str, ...]
    displaced: tuple[DisplacedLine, ...]

    @property
    def displaced_kwh(self) -> Decimal:
        return self.claimed_kwh - self.payable_kwh


@dataclass(frozen=True, slots=True)
class ClaimTotal:
    """One DSRSP over the window."""

    dsrsp: str
    claimed_kwh: Decimal
    payable_kwh: Decimal
    displaced_kwh: Decimal


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A settlement's ledger; ``in_force`` says whether its claims still keep others off."""

    settlement: int
    reference: str
    product: str
    version: int
    direction: str
    in_force: bool
    lines: tuple[ClaimLine, ...]
    totals: tuple[ClaimTotal, ...]
    n_displaced: int


def ledger_page(*, settlement_pk: int, organisation: Organisation) -> LedgerPage | None:
    """The ledger of a settlement; None where there is none, or the organisation may read no statement of it."""
    settlement = settlement_runs_seen_by(organisation).filter(pk=settlement_pk).first()
    if settlement is None:
        return None
    lines = claim_lines(settlement=settlement, organisation=organisation)
    return LedgerPage(
        settlement=settlement.pk,
        reference=settlement.event.signal.reference,
        product=str(settlement.event.product),
        version=settlement.version,
        direction=settlement.event.signal.get_direction_display(),
        in_force=not hasattr(settlement, "superseded_by"),
        lines=lines,
        totals=_totals(lines),
        n_displaced=sum(len(line.displaced) for line in lines),
    )


def claim_lines(*, settlement: SettlementRun, organisation: Organisation) -> tuple[ClaimLine, ...]:
    """Claims of a settlement, by DSRSP and time."""
    displacements = LedgerDisplacement.objects.select_related("by_product", "rule").order_by("pk")
    claims = list(
        ledger_claims_seen_by(organisation)
        .filter(settlement=settlement)
        .select_related("organisation")
        .prefetch_related(Prefetch("displacements", queryset=displacements))
        .order_by("organisation__name", "organisation", "starts_at")
    )
    events = {one.by_event_id for claim in claims for one in claim.displacements.all()}
    seen = flex_events_seen_by(organisation).filter(pk__in=events).values_list("pk", "signal__reference")
    rules = _rule_names(claims, organisation)
    return tuple(_line(claim, dict(seen), rules) for claim in claims)


def _rule_names(claims: Sequence[LedgerClaim], organisation: Organisation) -> dict[int, str]:
    used = {pk for claim in claims for pk in claim.stacking_rules}
    return {rule.pk: str(rule) for rule in stacking_rules_seen_by(organisation).filter(pk__in=used)}


def _line(claim: LedgerClaim, references: dict[int, str], rules: dict[int, str]) -> ClaimLine:
    numbered = settlement_period_at(claim.starts_at)
    return ClaimLine(
        dsrsp_code=claim.organisation.code,
        dsrsp=claim.organisation.name,
        starts_at=claim.starts_at,
        ends_at=claim.starts_at + SETTLEMENT_PERIOD,
        settlement_date=numbered.settlement_date.isoformat(),
        period=numbered.number,
        local=claim.starts_at.astimezone(LONDON).strftime("%H:%M"),
        claimed_kwh=claim.claimed_kwh,
        payable_kwh=claim.payable_kwh,
        compensated_kwh=claim.compensated_kwh,
        void_kwh=claim.void_kwh,
        penalised_kwh=claim.penalised_kwh,
        co_delivery=tuple(rules[pk] for pk in claim.stacking_rules if pk in rules),
        displaced=tuple(_displaced(one, references) for one in claim.displacements.all()),
    )


def _displaced(one: LedgerDisplacement, references: dict[int, str]) -> DisplacedLine:
    return DisplacedLine(
        by_product=str(one.by_product),
        by_reference=references.get(one.by_event_id, ""),
        reason=one.reason,
        reason_label=one.get_reason_display(),
        rule=str(one.rule) if one.rule else "",
        settled_as=one.displaced_party_settlement,
        settled_as_label=one.get_displaced_party_settlement_display(),
        displaced_kwh=one.displaced_kwh,
    )


def _totals(lines: Sequence[ClaimLine]) -> tuple[ClaimTotal, ...]:
    by_dsrsp: dict[str, list[ClaimLine]] = {}
    for line in lines:
        by_dsrsp.setdefault(line.dsrsp, []).append(line)
    return tuple(
        ClaimTotal(
            dsrsp,
            sum((line.claimed_kwh for line in own), Decimal(0)),
            sum((line.payable_kwh for line in own), Decimal(0)),
            sum((line.displaced_kwh for line in own), Decimal(0)),
        )
        for dsrsp, own in by_dsrsp.items()
    )


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One version of a rule, for a list; ``state`` is in force, to come, or replaced."""

    name: str
    version: int
    state: str
    first: str
    second: str
    what: str
    condition: str
    displaced: str
    valid_from: datetime
    source: str
    uncertain: str


def primacy_lines(*, organisation: Organisation, now: datetime) -> tuple[RuleLine, ...]:
    """Every version of every primacy rule, the newest of each first."""
    rules = list(primacy_rules_seen_by(organisation).order_by("code", "-version"))
    return tuple(
        RuleLine(
            name=rule.code,
            version=rule.version,
            state=_state(rule, rules, now),
            first=_service(rule.product_hi),
            second=_service(rule.product_lo),
            what=rule.get_action_display(),
            condition=_condition(rule),
            displaced=rule.get_displaced_party_settlement_display(),
            valid_from=rule.valid_from,
            source=rule.source,
            uncertain=rule.uncertain,
        )
        for rule in rules
    )


def stacking_lines(*, organisation: Organisation, now: datetime) -> tuple[RuleLine, ...]:
    """Every version of every stacking rule, the newest of each first."""
    rules = list(stacking_rules_seen_by(organisation).order_by("code", "-version"))
    return tuple(
        RuleLine(
            name=rule.code,
            version=rule.version,
            state=_state(rule, rules, now),
            first=_service(rule.service_a),
            second=_service(rule.service_b),
            what=rule.get_kind_display(),
            condition="allowed" if rule.is_allowed else "refused",
            displaced="",
            valid_from=rule.valid_from,
            source=rule.source,
            uncertain=rule.uncertain,
        )
        for rule in rules
    )


def _service(name: str) -> str:
    """A family in its own words; any other service by its code."""
    return {**dict(Product.Family.choices), "any": "any product"}.get(name, name)


def _condition(rule: PrimacyRule) -> str:
    said = rule.get_direction_display()
    hours = rule.lead_time.total_seconds() / 3600
    return f"{said}, contracted {hours:g} h or more ahead" if hours else said


def _state(rule: PrimacyRule | StackingRule, rules: Sequence[PrimacyRule | StackingRule], now: datetime) -> str:
    if rule.valid_from > now:
        return "to come"
    newer = any(one.code == rule.code and one.version > rule.version and one.valid_from <= now for one in rules)
    return "replaced" if newer else "in force"
