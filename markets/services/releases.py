"""Release a settlement's statements: from then on they are final for those they are addressed to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from aggregator.core.control import ActFigures
from aggregator.core.errors import FlexError
from aggregator.models import ControlAct, Organisation, as_platform
from aggregator.services.control_acts import ask_control_act
from aggregator.services.event_log import record_event
from markets.arrays.statements import load_totals, newest_settlement
from markets.models import SettlementRun, Statement, StatementRelease
from markets.services.explain_later import explain_settlements
from markets.services.verify_seals import seal_settlement

KIND = "release_statements"


class ReleaseRefused(FlexError):
    code = "settlement.release_refused"


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What a release would make final; nothing of it is stored."""

    settlement: SettlementRun
    figures: ActFigures
    payment_gbp: str


def plan_release(*, organisation: Organisation, settlement_pk: int) -> ReleasePlan:
    """Check a release and say what it would make final, without doing it.

    Raises:
        ReleaseRefused: no market operator asks, or there is no such settlement, or it was released or superseded.
    """
    if organisation.kind != Organisation.Kind.MARKET_OPERATOR:
        raise ReleaseRefused(
            f"{organisation.code} is no market operator: only a market operator releases", field="organisation"
        )
    with as_platform():  # statements of every DSRSP are counted
        settlement = _releasable(settlement_pk)
        n_statement = Statement.objects.across_tenants().filter(settlement_run=settlement).count()
        payment_gbp = str(load_totals(settlements=[settlement]).payment_gbp)
    return ReleasePlan(settlement, ActFigures(n_statements=n_statement), payment_gbp)


def ask_release_statements(
    *, organisation: Organisation, settlement_pk: int, reason: str, asked_by_pk: int | None, now: datetime
) -> ControlAct:
    """Ask to release a settlement's statements; kept until a second person agrees, unless the thresholds say otherwise.

    Raises:
        ReleaseRefused: as for ``plan_release``.
        ControlActRefused: no reason, or too long a one.
    """
    plan = plan_release(organisation=organisation, settlement_pk=settlement_pk)
    reference = plan.settlement.event.signal.reference
    return ask_control_act(
        kind=KIND,
        organisation=organisation,
        subject=f"{reference} v{plan.settlement.version}",
        payload={"settlement": settlement_pk, "payment_gbp": plan.payment_gbp},
        figures=plan.figures,
        reason=reason,
        asked_by_pk=asked_by_pk,
        now=now,
    )


def release_figures(*, payload: Mapping[str, int], organisation: Organisation, now: datetime) -> ActFigures:
    """What a release that waits makes final, looked at again."""
    del now
    return plan_release(organisation=organisation, settlement_pk=payload["settlement"]).figures


def do_release_statements(*, act: ControlAct, now: datetime) -> dict[str, object]:
    """Release the settlement, once, while it is the newest of its event.

    Raises:
        ReleaseRefused: as for ``plan_release``; it may have been released or superseded since.
    """
    settlement_pk = act.payload["settlement"]
    with transaction.atomic():
        _hold(settlement_pk)
        plan = plan_release(organisation=act.organisation, settlement_pk=settlement_pk)
        settlement = plan.settlement
        with as_platform():  # it is explained and sealed over everybody's readings
            explain_settlements(settlements=[settlement])
            seal_settlement(settlement=settlement, act_pk=act.pk, released_at=now)
        # Last: the release's link covers the seals.
        release = StatementRelease.objects.create(settlement_run=settlement, act=act, released_at=now)
        after = {"settlement": settlement.pk, "version": settlement.version, "payment_gbp": plan.payment_gbp}
        record_event(
            action="statements.released",
            subject=f"settlement of {settlement.event.signal.reference} v{settlement.version}",
            organisation=act.organisation,
            reason=act.reason,
            before={"released": False},
            after={**after, "released": True, "n_statement": plan.figures.n_statements},
            at=now,
        )
    return {"release": release.pk, "n_statement": plan.figures.n_statements, **after}


def _hold(settlement_pk: int) -> None:
    """Let no other version of the event be published, and no other release be made, to the transaction's end."""
    settlement = SettlementRun.objects.filter(pk=settlement_pk).select_related("event").first()
    if settlement:
        newest_settlement(event=settlement.event, lock=True)


def _releasable(settlement_pk: int) -> SettlementRun:
    found = SettlementRun.objects.filter(pk=settlement_pk).select_related("event__signal").first()
    if found is None:
        raise ReleaseRefused(f"there is no settlement {settlement_pk}", field="settlement", id=settlement_pk)
    newest = newest_settlement(event=found.event)
    if newest is not None and newest.pk != found.pk:
        raise ReleaseRefused(
            f"{found} is superseded by v{newest.version}: only the newest version is released",
            field="settlement",
            id=settlement_pk,
        )
    if StatementRelease.objects.filter(settlement_run=found).exists():
        raise ReleaseRefused(f"{found} was released already", field="settlement", id=settlement_pk)
    return found
