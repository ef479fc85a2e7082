"""What was odd about settlements: of one statement, and the gaming flag of the events of some days."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from aggregator.core.timegrid import settlement_day
from aggregator.models import Finding, Organisation, as_platform
from aggregator.queries import findings_seen_by, worst_first
from markets.core.gaming_findings import FLAG
from markets.models import SettlementRun, Statement
from markets.queries import flex_events_seen_by, statements_seen_by

MOST_FINDINGS = 100
PROVES_NOTHING = "look at it, it proves nothing"


@dataclass(frozen=True, slots=True)
class GamingFlag:
    """A DSRSP's fleet departed from its like days before an event, as a reader of its statement is told.

    Attributes:
        message: its energies are said to the DSRSP alone; whoever pays is told how unlike the days are.
    """

    settlement: int
    statement: int
    dsrsp: str
    payment_gbp: Decimal
    message: str


def gaming_flags(*, settlements: Iterable[int], organisation: Organisation) -> list[GamingFlag]:
    """The flags of settlements whose statements an organisation may read, by settlement and DSRSP."""
    read = statements_seen_by(organisation).filter(settlement_run__in=list(settlements)).select_related("organisation")
    statements = {(one.settlement_run_id, one.organisation_id): one for one in read.defer("content")}
    sources = {f"settlement:{pk}": pk for pk, _ in statements}
    with as_platform():  # a finding is its DSRSP's; whoever reads the statement is told that there is one
        rows = Finding.objects.across_tenants().filter(code=FLAG, source__in=list(sources))
        found = list(rows.order_by("source", "organisation__code", "pk"))
    return [
        GamingFlag(
            settlement=statement.settlement_run_id,
            statement=statement.pk,
            dsrsp=statement.organisation.name,
            payment_gbp=statement.payment_gbp,
            message=finding.message if statement.organisation_id == organisation.pk else _said(finding.details),
        )
        for finding in found
        if (statement := statements.get((sources[finding.source], finding.organisation_id or 0))) is not None
    ]


def _said(details: Mapping[str, float]) -> str:
    """How unlike its like days a window was, without the energy in it."""
    figures = [f"{name} = {details[name]:{form}}" for name, form in (("t", ".1f"), ("p", ".4f")) if name in details]
    days = f" {details['n_days']:.0f}" if "n_days" in details else ""
    said = f" ({', '.join(figures)})" if figures else ""
    return f"before the event its fleet drew unlike on its{days} like days{said}: {PROVES_NOTHING}"


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
    flags: dict[int, list[str]] = {}
    for flag in gaming_flags(settlements=newest.values(), organisation=organisation):
        is_own = organisation.kind == Organisation.Kind.DSRSP
        flags.setdefault(flag.settlement, []).append(flag.message if is_own else f"{flag.dsrsp}: {flag.message}")
    return [
        CalledEvent(
            reference=event.signal.reference,
            starts_at=event.signal.starts_at,
            ends_at=event.signal.ends_at,
            product=str(event.product),
            settlement=newest.get(event.pk),
            flags=tuple(flags.get(newest.get(event.pk, 0), ())),
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
