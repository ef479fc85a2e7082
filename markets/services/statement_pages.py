"""Published statements as one organisation may read them, line by line, with what changed since the version before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Q, QuerySet

from aggregator.core.timegrid import LONDON, settlement_period_at
from aggregator.models import Organisation
from markets.core.baseline_methods import METHODS
from markets.models import Statement, StatementLine
from markets.queries import settlement_runs_seen_by, statements_seen_by
from markets.services.statements import StatementDiff, compare_statement, standing


@dataclass(frozen=True, slots=True)
class StatementFilter:
    """What is looked for; empty and None look for everything.

    Attributes:
        text: part of the request's reference.
        starts_at, ends_at: events whose window starts in this half-open interval.
        state: ``released``, ``preliminary`` or ``superseded``; empty for all.
    """

    text: str = ""
    dsrsp: str = ""
    state: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatementLineUp:
    """One statement's header in a list."""

    pk: int
    settlement: int
    reference: str
    window_starts_at: datetime
    window_ends_at: datetime
    product: str
    dsrsp_code: str
    dsrsp: str
    version: int
    run_type: str
    as_of: datetime
    state: str
    released_at: datetime | None
    instructed_kwh: Decimal
    delivered_kwh: Decimal
    performance_factor: float
    payment_gbp: Decimal
    sha256: str
    has_earlier: bool


@dataclass(frozen=True, slots=True)
class PeriodLine:
    """One half-hour of a statement; energies in kWh, None where not known."""

    settlement_date: str
    period: int
    local: str
    starts_at: datetime
    instructed_kwh: Decimal
    baseline_kwh: Decimal | None
    metered_kwh: Decimal | None
    delivered_kwh: Decimal
    n_meters_missing: int


@dataclass(frozen=True, slots=True)
class Change:
    """One figure that differs from the version before; ``where`` is a half-hour or the whole statement."""

    where: str
    what: str
    unit: str
    before: Decimal | int | float | None
    after: Decimal | int | float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a version differs from the one before; ``where`` as in ``Change``."""

    where: str
    what: str
    last_received_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunOfEvent:
    """One version among those of an event, with what those statements came to that the reader sees."""

    pk: int
    version: int
    run_type: str
    as_of: datetime
    state: str
    payment_gbp: Decimal
    delta_gbp: Decimal


@dataclass(frozen=True, slots=True)
class StatementPage:
    """A statement whole.

    Attributes:
        changes: empty for a first version, and where only later readings were looked at.
        method: what the baseline's rule is called in the statement; ``baseline`` is its method in words, where known.
    """

    head: StatementLineUp
    lines: tuple[PeriodLine, ...]
    earlier: StatementLineUp | None
    changes: tuple[Change, ...]
    reasons: tuple[Reason, ...]
    n_baseline_days: int
    method: str
    baseline: str


@dataclass(frozen=True, slots=True)
class SettlementPage:
    """A settlement with the statements of it that the reader sees; a release is of all of them."""

    pk: int
    reference: str
    product: str
    version: int
    run_type: str
    as_of: datetime
    state: str
    released_at: datetime | None
    statements: tuple[StatementLineUp, ...]
    payment_gbp: Decimal
    delivered_kwh: Decimal
    superseded_by: int | None
    history: tuple[RunOfEvent, ...]


COMPARED = (
    ("instructed_kwh", "Instructed", "kWh"),
    ("baseline_kwh", "Baseline", "kWh"),
    ("metered_kwh", "Metered", "kWh"),
    ("delivered_kwh", "Delivered", "kWh"),
    ("n_meters_missing", "Meters without a reading", ""),
)
COMPARED_WHOLE = (
    ("instructed_kwh", "Instructed", "kWh"),
    ("delivered_kwh", "Delivered", "kWh"),
    ("performance_factor", "Performance factor", ""),
    ("payment_gbp", "Payment", "GBP"),
    ("n_baseline_days", "Days of the baseline", ""),
)


def found_statements(*, organisation: Organisation, wanted: StatementFilter) -> QuerySet[Statement]:
    """Statements the organisation may read, the newest window first, with all that ``line_up`` reads."""
    run = "settlement_run"
    exact = {
        "organisation__code": wanted.dsrsp,
        f"{run}__event__signal__reference__icontains": wanted.text,
        f"{run}__event__signal__starts_at__gte": wanted.starts_at,
        f"{run}__event__signal__starts_at__lt": wanted.ends_at,
    }
    found = statements_seen_by(organisation).filter(**{name: value for name, value in exact.items() if value})
    return (
        found.filter(_of_state(wanted.state))
        .select_related(f"{run}__event__signal", f"{run}__event__product", "organisation")
        .select_related(f"{run}__superseded_by", f"{run}__release")
        .defer("content")
        .order_by(f"-{run}__event__signal__starts_at", f"{run}__event__signal__reference", "organisation__code", "-pk")
    )


def _of_state(state: str) -> Q:
    is_superseded = Q(settlement_run__superseded_by__isnull=False)
    is_released = Q(settlement_run__release__isnull=False)
    return {
        "superseded": is_superseded,
        "released": is_released & ~is_superseded,
        "preliminary": ~is_released & ~is_superseded,
    }.get(state, Q())


def line_up(statement: Statement) -> StatementLineUp:
    """A statement's header, of a row of ``found_statements``."""
    run = statement.settlement_run
    stands = standing(run)
    return StatementLineUp(
        pk=statement.pk,
        settlement=run.pk,
        reference=run.event.signal.reference,
        window_starts_at=run.event.signal.starts_at,
        window_ends_at=run.event.signal.ends_at,
        product=str(run.event.product),
        dsrsp_code=statement.organisation.code,
        dsrsp=statement.organisation.name,
        version=run.version,
        run_type=run.code,
        as_of=run.as_of,
        state=stands.state,
        released_at=stands.released_at,
        instructed_kwh=statement.instructed_kwh,
        delivered_kwh=statement.delivered_kwh,
        performance_factor=statement.performance_factor,
        payment_gbp=statement.payment_gbp,
        sha256=statement.sha256,
        has_earlier=run.supersedes_id is not None,
    )


def statement_page(*, statement_pk: int, organisation: Organisation) -> StatementPage | None:
    """One statement with its half-hours, and what changed since the version it supersedes; None for another's."""
    seen = found_statements(organisation=organisation, wanted=StatementFilter())
    statement = seen.filter(pk=statement_pk).first()
    if statement is None:
        return None
    run = statement.settlement_run
    earlier = seen.filter(settlement_run=run.supersedes_id, organisation=statement.organisation_id).first()
    named = run.event.product.baseline_method
    return StatementPage(
        head=line_up(statement),
        lines=tuple(_period_line(line) for line in statement.lines.order_by("starts_at")),
        earlier=line_up(earlier) if earlier else None,
        changes=tuple(_changes(compare_statement(statement, organisation))) if earlier else (),
        reasons=tuple(_reasons(statement)),
        n_baseline_days=statement.n_baseline_days,
        method=run.method,
        baseline=METHODS[named].label if named in METHODS else "",
    )


def settlement_page(*, settlement_pk: int, organisation: Organisation) -> SettlementPage | None:
    """One settlement; None where the organisation may read no statement of it."""
    run = settlement_runs_seen_by(organisation).filter(pk=settlement_pk).first()
    if run is None:
        return None
    seen = found_statements(organisation=organisation, wanted=StatementFilter()).filter(settlement_run=run)
    statements = tuple(line_up(statement) for statement in seen)
    stands = standing(run)
    return SettlementPage(
        pk=run.pk,
        reference=run.event.signal.reference,
        product=str(run.event.product),
        version=run.version,
        run_type=run.code,
        as_of=run.as_of,
        state=stands.state,
        released_at=stands.released_at,
        statements=statements,
        payment_gbp=sum((one.payment_gbp for one in statements), Decimal(0)),
        delivered_kwh=sum((one.delivered_kwh for one in statements), Decimal(0)),
        superseded_by=stands.superseded_by_pk,
        history=_history(run.event_id, organisation),
    )


def _history(event_pk: int, organisation: Organisation) -> tuple[RunOfEvent, ...]:
    """Every version of an event's settlement, newest first, each with its delta."""
    runs = list(settlement_runs_seen_by(organisation).filter(event=event_pk).order_by("version"))
    paid: dict[int, Decimal] = {}
    seen = statements_seen_by(organisation).filter(settlement_run__event=event_pk)
    for run_pk, payment_gbp in seen.values_list("settlement_run", "payment_gbp"):
        paid[run_pk] = paid.get(run_pk, Decimal("0.00")) + payment_gbp
    found, before_gbp = [], Decimal("0.00")
    for run in runs:
        payment_gbp = paid.get(run.pk, Decimal("0.00"))
        state = standing(run).state
        delta_gbp = payment_gbp - before_gbp
        found.append(RunOfEvent(run.pk, run.version, run.code, run.as_of, state, payment_gbp, delta_gbp))
        before_gbp = payment_gbp
    return tuple(reversed(found))


def _reasons(statement: Statement) -> Iterator[Reason]:
    """Reasons as they were stored, of the whole first."""
    for reason in statement.reasons.across_tenants().order_by(F("starts_at").asc(nulls_first=True), "pk"):
        where = "whole statement" if reason.starts_at is None else _where(reason.starts_at)
        yield Reason(where, reason.message, reason.last_received_at)


def _where(starts_at: datetime) -> str:
    settled = settlement_period_at(starts_at)
    return f"{settled.settlement_date.isoformat()} period {settled.number}"


def _period_line(line: StatementLine) -> PeriodLine:
    return PeriodLine(
        settlement_date=line.settlement_date.isoformat(),
        period=line.period,
        local=f"{line.starts_at.astimezone(LONDON):%H:%M %Z}",
        starts_at=line.starts_at,
        instructed_kwh=line.instructed_kwh,
        baseline_kwh=line.baseline_kwh,
        metered_kwh=line.metered_kwh,
        delivered_kwh=line.delivered_kwh,
        n_meters_missing=line.n_meters_missing,
    )


def _changes(diff: StatementDiff) -> Iterator[Change]:
    """Figures that two versions state differently: of the whole first, then half-hour by half-hour."""
    yield from _differing("whole statement", COMPARED_WHOLE, diff.before, diff.after)
    for line in diff.lines:
        yield from _differing(_where(line.starts_at), COMPARED, line.before, line.after)


def _differing(
    where: str, compared: Sequence[tuple[str, str, str]], earlier: object | None, later: object | None
) -> Iterator[Change]:
    for name, label, unit in compared:
        before, after = getattr(earlier, name, None), getattr(later, name, None)
        if before != after:
            yield Change(where, label, unit, before, after)
