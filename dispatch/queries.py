"""Read-only querysets for pages and the API."""

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet, Sum

from aggregator.models import Organisation
from dispatch.models import DispatchRun, RunNode, Setpoint


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What one run asks of one DSRSP's EVSEs.

    Attributes:
        n_evse: expected to charge.
        meter_pks: asset meters of all its EVSEs in the run, expected or not.
        planned_kw: (n_period,) sum of the plan's rounded power.
        ceiling_kw: (n_period,) sum of the setpoints.
    """

    n_evse: int
    energy_kwh: float
    unserved_kwh: float
    meter_pks: list[int]
    planned_kw: list[float]
    ceiling_kw: list[float]


def nodes_in(run: DispatchRun) -> QuerySet[RunNode]:
    """Limits and planned power of a run, by node code."""
    return RunNode.objects.filter(run=run).select_related("node").order_by("node__code")


def fleet_plan(run: DispatchRun, organisation: Organisation) -> FleetPlan:
    """Total one DSRSP's own setpoints in a run; nobody else's are read."""
    own = Setpoint.objects.for_tenant(organisation).filter(run=run)
    periods = range(run.n_period)
    totals = own.aggregate(
        n_evse=Count("pk", filter=Q(energy_kwh__gt=0)),
        energy=Sum("energy_kwh"),
        unserved=Sum("unserved_kwh"),
        **{f"planned_{period}": Sum(f"planned_kw__{period}") for period in periods},
        **{f"ceiling_{period}": Sum(f"setpoint_kw__{period}") for period in periods},
    )
    return FleetPlan(
        n_evse=totals["n_evse"],
        energy_kwh=totals["energy"] or 0.0,
        unserved_kwh=totals["unserved"] or 0.0,
        meter_pks=list(own.order_by("evse__meter_id").values_list("evse__meter_id", flat=True)),
        planned_kw=[totals[f"planned_{period}"] or 0.0 for period in periods],
        ceiling_kw=[totals[f"ceiling_{period}"] or 0.0 for period in periods],
    )
