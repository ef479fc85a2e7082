"""What was odd about settlements: of one statement, and the gaming flag of the events of some days."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from aggregator.core.timegrid import settlement_day
from aggregator.models import Organisation
from aggregator.queries import findings_seen_by, worst_first
from markets.core.gaming_findings import FLAG
from markets.models import SettlementRun, Statement
from markets.queries import flex_events_seen_by

MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class CalledEvent:
    """An event the fleet was called for.

    Attributes:
        settlement: key of its newest settlement; None where it is not settled.
        flags: of that settlement, what departed from like days before the event.
    """

    reference: str
    starts_at: datetime
    ends_at: datetime
    product: str
    settlement: int | None
    flags: tuple[str, ...]


def called_events(*, organisation: Organisation, first: date, last: date) -> list[CalledEvent]:
    """Events on local days, both included, that an organisation may see, with the flags it may see; oldest first."""
    starts_at, ends_at = settlement_day(first).starts_at, settlement_day(last + timedelta(days=1)).starts_at
    events = list(
        flex_events_seen_by(organisation)
        .filter(signal__starts_at__lt=ends_at, signal__ends_at__gt=starts_at)
        .order_by("signal__starts_at", "pk")
    )
    newest = dict(
        SettlementRun.objects.filter(event__in=events, superseded_by__isnull=True).values_list("event_id", "pk")
    )
    sources = [f"settlement:{pk}" for pk in newest.values()]
    flags: dict[str, list[str]] = {}
    found = findings_seen_by(organisation).filter(code=FLAG, source__in=sources).order_by("pk")
    for source, message in found.values_list("source", "message"):
        flags.setdefault(source, []).append(message)
    return [
        CalledEvent(
            reference=event.signal.reference,
            starts_at=event.signal.starts_at,
            ends_at=event.signal.ends_at,
            product=str(event.product),
            settlement=newest.get(event.pk),
            flags=tuple(flags.get(f"settlement:{newest.get(event.pk)}", ())),
        )
        for event in events
    ]


@dataclass(frozen=True, slots=True)
class FindingLine:
    """A finding of a settlement, as its statement's page says it."""

    severity: str
    code: str
    message: str


def statement_findings(*, statement_pk: int, organisation: Organisation) -> list[FindingLine]:
    """What was odd when a statement was settled, if the organisation may see findings of its DSRSP; worst first."""
    statement = Statement.objects.across_tenants().filter(pk=statement_pk).defer("content").first()
    if statement is None:
        return []
    found = findings_seen_by(organisation).filter(
        source=f"settlement:{statement.settlement_run_id}", organisation=statement.organisation_id
    )
    return [FindingLine(*row) for row in worst_first(found).values_list("severity", "code", "message")[:MOST_FINDINGS]]
