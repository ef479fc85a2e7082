"""Requests for dispatch as their DNO follows them: what was asked, what runs plan for it, what was settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aggregator.models import Organisation
from dispatch.models import RunRequest, TargetSignal
from dispatch.queries import run_requests_seen_by, targets_seen_by
from dispatch.services.plans import SeenRequest, see_requests, see_runs
from markets.models import FlexEvent
from markets.services.statement_pages import StatementFilter, StatementLineUp, found_statements, line_up


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """What one run plans for a request; figures are None where they are of fewer than five EVSEs."""

    run: int
    charging_day: str
    created_at: datetime
    is_in_force: bool
    lowest_kw: float | None
    highest_kw: float | None
    shortfall_kwh: float | None
    is_met: bool


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request in a list.

    Attributes:
        phase: ``to come``, ``in its window`` or ``over``.
        planned: by the newest run that knew it; None before any.
    """

    reference: str
    node: str
    starts_at: datetime
    ends_at: datetime
    direction: str
    is_turn_down: bool
    kind: str
    target_kw: float
    shortfall_gbp_per_kwh: float
    received_at: datetime
    issued_by: str
    phase: str
    product: str
    price_gbp_per_mwh: Decimal | None
    planned: PlannedLine | None


@dataclass(frozen=True, slots=True)
class RequestPage:
    line: RequestLine
    planned: tuple[PlannedLine, ...]
    statements: tuple[StatementLineUp, ...]


def request_lines(*, signals: Sequence[TargetSignal], organisation: Organisation, now: datetime) -> list[RequestLine]:
    """Describe requests the organisation sees, in their order."""
    events = {one.signal_id: one for one in FlexEvent.objects.filter(signal__in=signals).select_related("product")}
    planned = _planned(signals, organisation)
    return [_line(one, events.get(one.pk), planned.get(one.pk, []), now) for one in signals]


def request_page(
    *, reference: str, organisation: Organisation, with_statements: bool, now: datetime
) -> RequestPage | None:
    """One request with every run that planned it; None for another's."""
    signal = targets_seen_by(organisation).filter(reference=reference).first()
    if signal is None:
        return None
    event = FlexEvent.objects.filter(signal=signal).select_related("product").first()
    planned = _planned([signal], organisation).get(signal.pk, [])
    statements: tuple[StatementLineUp, ...] = ()
    if with_statements and event is not None:
        found = found_statements(organisation=organisation, wanted=StatementFilter())
        statements = tuple(line_up(one) for one in found.filter(settlement_run__event=event))
    return RequestPage(_line(signal, event, planned, now), tuple(planned), statements)


def _planned(signals: Sequence[TargetSignal], organisation: Organisation) -> dict[int, list[PlannedLine]]:
    """What runs plan for each request, the newest run first."""
    found = run_requests_seen_by(organisation).filter(signal__in=signals).select_related("run__area", "signal__node")
    requests = list(found.order_by("-run__created_at", "-run"))
    runs = list({request.run_id: request.run for request in requests}.values())
    in_force = {seen.run.pk for seen in see_runs(runs) if seen.is_in_force} if runs else set()
    planned: dict[int, list[PlannedLine]] = {}
    for seen in see_requests(requests, organisation):
        planned.setdefault(seen.request.signal_id, []).append(_planned_line(seen, seen.request.run_id in in_force))
    return planned


def _planned_line(seen: SeenRequest, is_in_force: bool) -> PlannedLine:
    request: RunRequest = seen.request
    planned_kw = [] if seen.suppressed else request.planned_kw
    step_h = request.run.period_minutes / 60
    return PlannedLine(
        run=request.run_id,
        charging_day=request.run.charging_day.isoformat(),
        created_at=request.run.created_at,
        is_in_force=is_in_force,
        lowest_kw=min(planned_kw, default=None),
        highest_kw=max(planned_kw, default=None),
        shortfall_kwh=None if seen.suppressed else sum(request.shortfall_kw) * step_h,
        is_met=seen.is_met,
    )


def _line(signal: TargetSignal, event: FlexEvent | None, planned: Sequence[PlannedLine], now: datetime) -> RequestLine:
    return RequestLine(
        reference=signal.reference,
        node=signal.node.code,
        starts_at=signal.starts_at,
        ends_at=signal.ends_at,
        direction=signal.get_direction_display(),
        is_turn_down=signal.direction == TargetSignal.Direction.TURN_DOWN,
        kind=signal.get_kind_display(),
        target_kw=signal.target_kw,
        shortfall_gbp_per_kwh=signal.shortfall_gbp_per_kwh,
        received_at=signal.received_at,
        issued_by=signal.issued_by.name,
        phase=_phase(signal, now),
        product=str(event.product) if event else "",
        price_gbp_per_mwh=event.price_gbp_per_mwh if event else None,
        planned=planned[0] if planned else None,
    )


def _phase(signal: TargetSignal, now: datetime) -> str:
    if now < signal.starts_at:
        return "to come"
    return "in its window" if now < signal.ends_at else "over"
