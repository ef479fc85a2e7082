"""What a control room looks at before it requests a dispatch, and asking once whatever is clicked twice."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from aggregator.models import ControlAct, Organisation
from aggregator.queries import control_acts_seen_by
from aggregator.services.turns import take_turn
from dispatch.models import RunNode
from dispatch.queries import run_nodes_seen_by, runs_seen_by
from dispatch.services.plans import see_nodes
from markets.services.requests import KIND, DispatchRequest, RequestPlan, ask_request_dispatch


@dataclass(frozen=True, slots=True)
class PlannedNow:
    """EV power the runs in force plan at the node in the window; None where too few EVSEs stand behind it."""

    runs: tuple[int, ...]
    lowest_kw: float | None
    highest_kw: float | None


def planned_now(*, plan: RequestPlan, organisation: Organisation) -> PlannedNow:
    """What is planned at the request's node in its window before the request."""
    runs = runs_seen_by(organisation).filter(area__code=plan.area, charging_day__in=plan.days)
    newest = list(runs.order_by("charging_day", "-created_at", "-pk").distinct("charging_day"))
    nodes = run_nodes_seen_by(organisation).filter(run__in=newest, node__code=plan.request.node)
    seen = [one for node in nodes for one in see_nodes(node.run, [node], organisation)]
    powers = [] if any(one.suppressed for one in seen) else [kw for one in seen for kw in _in_window(one.node, plan)]
    return PlannedNow(tuple(run.pk for run in newest), min(powers, default=None), max(powers, default=None))


def ask_once(
    *, organisation: Organisation, request: DispatchRequest, reason: str, asked_by_pk: int | None, now: datetime
) -> ControlAct:
    """Ask for a dispatch, or give back the act that waits under the same reference already.

    Raises:
        FlexError: as for ``ask_request_dispatch``.
    """
    with transaction.atomic():
        take_turn("ask for a dispatch", organisation.pk, request.reference)
        waiting = control_acts_seen_by(organisation).filter(
            kind=KIND,
            state=ControlAct.State.PENDING,
            expires_at__gt=now,
            organisation=organisation,
            payload__reference=request.reference,
        )
        for act in waiting[:1]:
            return act
        return ask_request_dispatch(
            organisation=organisation, request=request, reason=reason, asked_by_pk=asked_by_pk, now=now
        )


def _in_window(node: RunNode, plan: RequestPlan) -> list[float]:
    asked = plan.request
    starts = node.run.grid.starts()
    return [kw for at, kw in zip(starts, node.planned_kw, strict=True) if asked.starts_at <= at < asked.ends_at]
