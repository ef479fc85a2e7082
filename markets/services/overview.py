"""One cycle as one organisation may see it."""

from collections.abc import Sequence

from aggregator.core.display import number, span_text, stamp
from aggregator.core.timegrid import TimeGrid, charging_day
from aggregator.models import Organisation, as_platform
from aggregator.queries import findings_by_code, worst_severity_by_code
from markets.arrays.cycles import finding_sources
from markets.core.page import CyclePage, FindingCount, StatementLine
from markets.models import CycleRun
from markets.queries import StatementRow, cycles_seen_by, statement_rows
from markets.services.overview_fleet import fleet_view
from markets.services.overview_network import network_view

WORST_FIRST = ("alarm", "warning", "info", "")
STOPPED = "The cycle stopped before it was complete; the platform's operators see why."


def describe_cycle(*, organisation: Organisation, cycle_pk: int | None = None, node_code: str = "") -> CyclePage | None:
    """Describe one cycle, the newest unless told which; None where this organisation may see none such."""
    if organisation.kind == Organisation.Kind.MARKET_OPERATOR:
        # It has no business with a network but for this page, which hides handfuls of EVSEs from it as from a DNO.
        with as_platform():
            return _describe(organisation, cycle_pk, node_code)
    return _describe(organisation, cycle_pk, node_code)


def _describe(organisation: Organisation, cycle_pk: int | None, node_code: str) -> CyclePage | None:
    seen = cycles_seen_by(organisation)
    cycle = seen.first() if cycle_pk is None else seen.filter(pk=cycle_pk).first()
    if cycle is None:
        return None
    rows = statement_rows(cycle, organisation)
    is_fleet = organisation.kind == Organisation.Kind.DSRSP
    if is_fleet:
        view = fleet_view(cycle=cycle, organisation=organisation, statements=rows)
    else:
        view = network_view(cycle=cycle, organisation=organisation, node_code=node_code)
    done = seen.filter(state=CycleRun.State.DONE).values_list("pk", flat=True)
    return CyclePage(
        pk=cycle.pk,
        state=cycle.state,
        state_label=cycle.get_state_display(),
        day=_day(cycle),
        area=cycle.area.name or cycle.area.code,
        as_of=stamp(cycle.as_of),
        started_at=stamp(cycle.started_at),
        finished_at=None if cycle.finished_at is None else stamp(cycle.finished_at),
        error=_error(cycle, is_fleet=is_fleet),
        view=view,
        statements=tuple(_statement(row) for row in rows),
        findings=tuple(_findings(cycle, organisation, is_fleet=is_fleet)),
        last_done_pk=None if cycle.state == CycleRun.State.DONE else done.first(),
        run_pk=cycle.run_id,
    )


def _day(cycle: CycleRun) -> str:
    grid: TimeGrid = charging_day(cycle.charging_day)
    return f"{span_text(grid.starts_at, grid.ends_at)} ({grid.n_period} settlement periods)"


def _error(cycle: CycleRun, *, is_fleet: bool) -> str:
    """Why a cycle failed; a DSRSP is told that it did, as the reason may name another."""
    if cycle.state != CycleRun.State.FAILED:
        return ""
    return STOPPED if is_fleet else cycle.error or "No reason was recorded."


def _statement(row: StatementRow) -> StatementLine:
    return StatementLine(
        pk=row.pk,
        reference=row.reference,
        dsrsp=row.dsrsp_name,
        version=f"v{row.version} {row.run_type}",
        as_of=stamp(row.as_of),
        is_superseded=row.is_superseded,
        instructed_kwh=number(row.instructed_kwh, 2),
        delivered_kwh=number(row.delivered_kwh, 2),
        performance_factor=number(row.performance_factor, 3),
        payment_gbp=number(row.payment_gbp, 2),
        sha256=row.sha256,
    )


def _findings(cycle: CycleRun, organisation: Organisation, *, is_fleet: bool) -> Sequence[FindingCount]:
    sources = finding_sources(cycle=cycle, settlements=list(cycle.settlement_runs.order_by("pk")))
    severity = worst_severity_by_code(sources)
    counts = findings_by_code(organisation, sources) if is_fleet else dict(cycle.summary.get("findings") or {})
    found = [FindingCount(code, severity.get(code, ""), n) for code, n in sorted(counts.items())]
    return sorted(found, key=lambda finding: WORST_FIRST.index(finding.severity))
