"""Why a settlement's half-hours fell short, and what came back after its event: worked out with it, kept beside it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.core.findings import FindingNote
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray
from dispatch.models import DispatchRun
from markets.arrays.causes import (
    load_evse_facts,
    load_rebound,
    load_unplugged,
    store_causes,
    store_rebound,
)
from markets.arrays.settlement import Portfolios
from markets.core.baseline import BaselineRule
from markets.core.causes import ShortfallCauses, shortfall_causes, unplugged_notes
from markets.core.rebound import Rebound
from markets.core.settle import SettlementResult
from markets.models import FlexEvent, ReboundPeriod, SettlementRun, ShortfallCause
from markets.services.rules import baseline_method

REBOUND_PERIODS = 4  # two hours: what a turn-down of an evening takes to come back


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a settlement is explained by.

    Attributes:
        after: the window of the rebound; with ``back`` None where the product's baseline has no history to make one of.
        findings: cars unplugged inside the notice.
    """

    causes: ShortfallCauses
    findings: tuple[FindingNote, ...]
    after: TimeGrid | None = None
    back: Rebound | None = None
    baseline_kwh: FloatArray | None = None
    metered_kwh: FloatArray | None = None


def explain_settlement(
    *,
    event: FlexEvent,
    run: DispatchRun,
    portfolios: Portfolios,
    result: SettlementResult,
    as_of: datetime,
    rebound_periods: int = REBOUND_PERIODS,
) -> Explanation:
    """Work out why each portfolio fell short and what it drew in the half-hours after, from what was known then."""
    facts = load_evse_facts(event=event, run=run, portfolios=portfolios, as_of=as_of)
    causes = shortfall_causes(facts, result.ordered_kwh, result.volume.delivered_kwh, result.direction)
    is_unplugged = load_unplugged(event=event, portfolios=portfolios, as_of=as_of)
    notes = unplugged_notes(portfolios.unit_ids, portfolios.unit, is_unplugged)
    if not isinstance(baseline_method(event.product), BaselineRule) or rebound_periods < 1:
        return Explanation(causes, notes)
    after, back, baseline_kwh, metered_kwh = load_rebound(
        event=event,
        portfolios=portfolios,
        rule=result.baseline_rule,
        of_event=result.baseline,
        direction=result.direction,
        n_period=rebound_periods,
        as_of=as_of,
    )
    return Explanation(causes, notes, after, back, baseline_kwh, metered_kwh)


def store_explanation(*, settlement: SettlementRun, portfolios: Portfolios, explanation: Explanation) -> None:
    """Keep it beside the settlement's statements; call it in the settlement's transaction."""
    store_causes(settlement=settlement, portfolios=portfolios, causes=explanation.causes)
    if explanation.after is None or explanation.back is None:
        return
    if explanation.baseline_kwh is not None and explanation.metered_kwh is not None:
        store_rebound(
            settlement=settlement,
            portfolios=portfolios,
            grid=explanation.after,
            back=explanation.back,
            baseline_kwh=explanation.baseline_kwh,
            metered_kwh=explanation.metered_kwh,
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """A statement's causes, by half-hour and then size, and its rebound."""

    causes: list[ShortfallCause]
    rebounds: list[ReboundPeriod]


def explained(statement_pk: int) -> Explained:
    """What is kept of why a statement fell short; whoever may read the statement may read it."""
    causes = ShortfallCause.objects.across_tenants().filter(statement=statement_pk)
    rebounds = ReboundPeriod.objects.across_tenants().filter(statement=statement_pk)
    return Explained(list(causes.order_by("starts_at", "-energy_kwh", "cause")), list(rebounds.order_by("starts_at")))


@dataclass(frozen=True, slots=True)
class CauseLine:
    """A cause over the whole event."""

    said: str
    energy_kwh: Decimal
    n_period: int
    most_evses: int


@dataclass(frozen=True, slots=True)
class ReboundLine:
    """A half-hour after the event."""

    starts_at: datetime
    baseline_kwh: Decimal
    metered_kwh: Decimal
    rebound_kwh: Decimal


@dataclass(frozen=True, slots=True)
class ExplainedPage:
    """What the page of a statement says of its shortfall; causes with the largest first."""

    causes: list[CauseLine]
    rebounds: list[ReboundLine]
    rebound_kwh: Decimal


def explained_page(statement_pk: int) -> ExplainedPage:
    """A statement's causes added up, and its rebound."""
    found = explained(statement_pk)
    by_cause: dict[str, list[ShortfallCause]] = {}
    for row in found.causes:
        by_cause.setdefault(row.get_cause_display(), []).append(row)
    lines = [
        CauseLine(said, sum((row.energy_kwh for row in rows), Decimal(0)), len(rows), max(row.n_evse for row in rows))
        for said, rows in by_cause.items()
    ]
    rebounds = [
        ReboundLine(row.starts_at, row.baseline_kwh, row.metered_kwh, row.rebound_kwh) for row in found.rebounds
    ]
    return ExplainedPage(
        sorted(lines, key=lambda line: (-line.energy_kwh, line.said)),
        rebounds,
        sum((row.rebound_kwh for row in rebounds), Decimal(0)),
    )
