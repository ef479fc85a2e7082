"""Explain settlements that were published without: a month is settled from one pass over the meters."""

from collections.abc import Iterable

from django.db import transaction

from aggregator.arrays.findings import store_findings
from aggregator.services.turns import take_turn
from markets.models import ReboundPeriod, SettlementRun, ShortfallCause, StatementRelease
from markets.services.causes import explain_settlement, store_explanation
from markets.services.settlement_load import load_event
from markets.services.settlement_pay import settle_again


def explain_settlements(*, settlements: Iterable[SettlementRun]) -> int:
    """Keep why these settlements' half-hours fell short, as known when they were settled; one explained stays so.

    A release explains what was not, so that nothing is added to what it sealed.

    Returns:
        How many were explained.
    """
    return sum(_explain(settlement) for settlement in settlements)


def _explain(settlement: SettlementRun) -> bool:
    event, run, as_of = settlement.event, settlement.dispatch_run, settlement.as_of
    if _is_explained(settlement):
        return False
    loaded = load_event(event=event, run=run, as_of=as_of)
    result = settle_again(settlement=settlement, loaded=loaded)
    why = explain_settlement(event=event, run=run, portfolios=loaded.portfolios, result=result, as_of=as_of)
    with transaction.atomic():
        take_turn("explain", settlement.pk)
        if _is_explained(settlement):
            return False
        store_explanation(settlement=settlement, portfolios=loaded.portfolios, explanation=why)
        for organisation in loaded.portfolios.organisations:
            own = [note for note in why.findings if note.subject == organisation.code]
            store_findings(notes=own, source=f"settlement:{settlement.pk}", noticed_at=as_of, organisation=organisation)
    return True


def _is_explained(settlement: SettlementRun) -> bool:
    if StatementRelease.objects.filter(settlement_run=settlement).exists():
        return True
    of_it = {"statement__settlement_run": settlement}
    return (
        ShortfallCause.objects.across_tenants().filter(**of_it).exists()
        or ReboundPeriod.objects.across_tenants().filter(**of_it).exists()
    )
