"""Read-only querysets for pages and the API; ``…_seen_by(organisation)`` is the first tenant wall."""

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Count, Exists, F, FloatField, OuterRef, Q, QuerySet, Sum

from aggregator.models import Organisation, TenantManager
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint, TargetSignal

T = TypeVar("T", Setpoint, IssuedSetpoint)


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
        **{f"planned_{period}": _sum_kw(f"planned_a__{period}") for period in periods},
        **{f"ceiling_{period}": _sum_kw(f"setpoint_a__{period}") for period in periods},
    )
    return FleetPlan(
        n_evse=totals["n_evse"],
        energy_kwh=totals["energy"] or 0.0,
        unserved_kwh=totals["unserved"] or 0.0,
        meter_pks=list(own.order_by("evse__meter_id").values_list("evse__meter_id", flat=True)),
        planned_kw=[totals[f"planned_{period}"] or 0.0 for period in periods],
        ceiling_kw=[totals[f"ceiling_{period}"] or 0.0 for period in periods],
    )


def _sum_kw(amperes: str) -> Sum:
    return Sum(F(amperes) * F("ampere_kw"), output_field=FloatField())


def targets_seen_by(organisation: Organisation) -> QuerySet[TargetSignal]:
    """Requests a DNO issued; the platform sees all."""
    targets = TargetSignal.objects.select_related("node", "issued_by")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return targets
    return targets.filter(issued_by=organisation)


def runs_seen_by(organisation: Organisation) -> QuerySet[DispatchRun]:
    """Runs of a DNO's areas, or those that planned a DSRSP's EVSEs; the platform sees all."""
    runs = DispatchRun.objects.select_related("area")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return runs
    if organisation.kind == Organisation.Kind.DSRSP:
        return runs.filter(Exists(Setpoint.objects.for_tenant(organisation).filter(run=OuterRef("pk"))))
    return runs.filter(area__organisation=organisation)


def run_nodes_seen_by(organisation: Organisation) -> QuerySet[RunNode]:
    """Network loading in runs: the DNO's own nodes; the platform sees all, DSRSPs none."""
    nodes = RunNode.objects.select_related("node", "run")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return nodes
    return nodes.filter(node__organisation=organisation, run__area__organisation=organisation)


def run_requests_seen_by(organisation: Organisation) -> QuerySet[RunRequest]:
    """What runs planned against a DNO's own requests; the platform sees all."""
    requests = RunRequest.objects.select_related("run", "signal__node")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return requests
    return requests.filter(signal__issued_by=organisation)


def setpoints_seen_by(organisation: Organisation) -> QuerySet[Setpoint]:
    """A DSRSP's own setpoints; a DNO those in runs of its areas, where an EVSE is its pseudonym."""
    return _told_to_evses(Setpoint.objects, organisation)


def issued_setpoints_seen_by(organisation: Organisation) -> QuerySet[IssuedSetpoint]:
    """What EVSEs were told at last, seen like setpoints."""
    return _told_to_evses(IssuedSetpoint.objects, organisation)


def _told_to_evses(told: TenantManager[T], organisation: Organisation) -> QuerySet[T]:
    if organisation.kind == Organisation.Kind.DSRSP:
        return told.for_tenant(organisation).select_related("evse", "run")
    everybodys = told.across_tenants().select_related("evse", "run")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return everybodys
    return everybodys.filter(run__area__organisation=organisation)


def newest_runs_seen_by(organisation: Organisation) -> QuerySet[DispatchRun]:
    """Of each area the run in force for the latest charging day that was planned."""
    runs = runs_seen_by(organisation).order_by("area", "-charging_day", "-created_at", "-pk")
    return runs.distinct("area")
