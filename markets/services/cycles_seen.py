"""Cycles as one organisation may see them: the area's figures, or a DSRSP's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from aggregator.core.small_numbers import SMALLEST_GROUP
from aggregator.models import Organisation, as_platform
from dispatch.queries import fleet_plan
from markets.models import CycleNode, CycleRun
from markets.queries import statements_seen_by


@dataclass(frozen=True, slots=True)
class SeenCycle:
    """A cycle's header and summary.

    Attributes:
        summary: figures of the area by name; empty for a DSRSP, and before the cycle has made them.
        suppressed: what is about EVs only is not for this reader.
    """

    cycle: CycleRun
    summary: Mapping[str, object]
    suppressed: bool


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """What a cycle's plan asks of one DSRSP's EVSEs, and what they were settled for under it."""

    n_evse: int
    energy_asked_kwh: float
    energy_unserved_kwh: float
    peak_planned_kw: float
    instructed_kwh: Decimal
    delivered_kwh: Decimal
    payment_gbp: Decimal


@contextmanager
def reading_cycles(organisation: Organisation) -> Iterator[None]:
    """Read cycles for an organisation: a market operator has no business with networks but for a cycle's figures."""
    if organisation.kind == Organisation.Kind.MARKET_OPERATOR:
        with as_platform():
            yield
    else:
        yield


def see_cycles(cycles: Sequence[CycleRun], organisation: Organisation) -> list[SeenCycle]:
    """Lay out the summary of each cycle; what is about EVs only is suppressed where fewer than five stand behind it."""
    if organisation.kind == Organisation.Kind.DSRSP:
        return [SeenCycle(cycle, {}, suppressed=True) for cycle in cycles]
    if organisation.kind == Organisation.Kind.PLATFORM:
        return [SeenCycle(cycle, cycle.summary, suppressed=False) for cycle in cycles]
    n_evse = _n_evse(cycles)
    return [SeenCycle(cycle, cycle.summary, suppressed=_is_handful(n_evse.get(cycle.pk))) for cycle in cycles]


def _is_handful(n_evse: int | None) -> bool:
    return n_evse is None or 0 < n_evse < SMALLEST_GROUP


def _n_evse(cycles: Sequence[CycleRun]) -> dict[int, int]:
    """EVSEs in each cycle's area; none for a cycle that has not counted them."""
    area_pks = {cycle.pk: cycle.area_id for cycle in cycles}
    counted: dict[int, dict[int, int]] = {}
    nodes = CycleNode.objects.filter(cycle__in=list(area_pks)).values_list("cycle", "node", "n_evse")
    for cycle_pk, node_pk, n_evse in nodes:
        counted.setdefault(cycle_pk, {})[node_pk] = n_evse
    # An area that carries no limit has no row of its own: it holds at least what any node in it does.
    return {pk: at.get(area_pks[pk], max(at.values())) for pk, at in counted.items()}


def own_figures(cycle: CycleRun, organisation: Organisation) -> OwnFigures | None:
    """A DSRSP's own part of a cycle; None before there is a plan."""
    if cycle.run is None:
        return None
    plan = fleet_plan(cycle.run, organisation)
    events = list(cycle.settlement_runs.values_list("event", flat=True))
    seen = statements_seen_by(organisation).filter(settlement_run__event__in=events)
    in_force = list(seen.filter(settlement_run__superseded_by__isnull=True).defer("content"))
    return OwnFigures(
        n_evse=plan.n_evse,
        energy_asked_kwh=plan.energy_kwh,
        energy_unserved_kwh=plan.unserved_kwh,
        peak_planned_kw=max(plan.planned_kw),
        instructed_kwh=sum((one.instructed_kwh for one in in_force), Decimal(0)),
        delivered_kwh=sum((one.delivered_kwh for one in in_force), Decimal(0)),
        payment_gbp=sum((one.payment_gbp for one in in_force), Decimal(0)),
    )
