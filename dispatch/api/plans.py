"""What a run plans at each node, and against each request. Power is import positive: what EVs draw is above 0."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.models import NetworkNode
from aggregator.rest.fields import Code, OffsetDateTime, PublicId, utc_text
from aggregator.rest.serializers import Row
from aggregator.rest.views import ListQuery, ListView
from dispatch.api.runs import RUN, OfRun
from dispatch.api.shapes import EXAMPLE_GRID, ON_GRID, Figure, Series
from dispatch.models import RunNode, RunRequest, TargetSignal
from dispatch.queries import run_nodes_seen_by, run_requests_seen_by
from dispatch.services.plans import SeenNode, SeenRequest, see_nodes, see_requests

SUPPRESSED = (
    "true where the figures of EVs alone are null: they are of fewer than five EVSEs, or a difference would tell "
    "those of a neighbour with fewer than five"
)


class PlanNodeRow(Row):
    """One node in a plan, period by period. Power is import positive: what EVs and others draw is above 0."""

    example = {
        "node": "F1",
        "kind": "feeder",
        **EXAMPLE_GRID,
        "rating_kw": 98.0,
        "background_kw": [20.0, 21.5],
        "reserve_kw": [2.0, 2.0],
        "limit_kw": [76.0, 74.5],
        "suppressed": False,
        "planned_kw": [18.0, 18.0],
        "ceiling_kw": [24.0, 24.0],
        "price_gbp_per_kwh": [0.0, 0.0],
    }

    node = serializers.CharField(source="node.node.code")
    kind = serializers.ChoiceField(source="node.node.kind", choices=NetworkNode.Kind.values)
    starts_at = OffsetDateTime(source="node.run.starts_at", help_text="start of the first period")
    ends_at = serializers.SerializerMethodField(help_text="end of the last period")
    period_minutes = serializers.IntegerField(source="node.run.period_minutes")
    rating_kw = Figure(source="node.rating_kw", allow_null=True, help_text="what the node may carry; null: not known")
    background_kw = Series(
        source="node.background_kw", help_text=f"other demand, at the quantile held against the rating; {ON_GRID}"
    )
    reserve_kw = Series(source="node.reserve_kw", help_text="held back for consumers who override, by period")
    limit_kw = Series(source="node.limit_kw", help_text="what is left for EVs, by period")
    suppressed = serializers.BooleanField(help_text=SUPPRESSED)
    planned_kw = serializers.SerializerMethodField(help_text="EV power of the plan, by period; null where suppressed")
    ceiling_kw = serializers.SerializerMethodField(help_text="sum of the setpoints, by period; null where suppressed")
    price_gbp_per_kwh = serializers.SerializerMethodField(
        help_text="worth of one more kW of headroom through each period; null where suppressed"
    )

    @extend_schema_field(OffsetDateTime)
    def get_ends_at(self, seen: SeenNode) -> str:
        return utc_text(seen.node.run.grid.ends_at)

    def get_planned_kw(self, seen: SeenNode) -> list[float] | None:
        return None if seen.suppressed else seen.node.planned_kw

    def get_ceiling_kw(self, seen: SeenNode) -> list[float] | None:
        return None if seen.suppressed else seen.node.ceiling_kw

    def get_price_gbp_per_kwh(self, seen: SeenNode) -> list[float] | None:
        return None if seen.suppressed else seen.node.price_gbp_per_kwh


class PlanQuery(ListQuery):
    node = Code(required=False, help_text="code of one node")


class RunPlan(OfRun, ListView):
    """The plan of a run at each node, for the DNO whose network it is; a DSRSP sees no node here."""

    actions = {"GET": Action.SEE_RUNS}
    row, filters = PlanNodeRow, PlanQuery
    orders = {"node": ("node__code",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[RunNode]":
        nodes = run_nodes_seen_by(self.viewer.organisation).filter(run=self.run())
        return nodes.filter(node__code=asked["node"]) if "node" in asked else nodes

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return PlanNodeRow.show_all(see_nodes(rows[0].run, rows, self.viewer.organisation)) if rows else []


class RunRequestRow(Row):
    """What a run plans against one request, period by period of the request's window."""

    example = {
        "run": "run_1",
        "reference": "EVENING/1",
        "node": "S1",
        "direction": "turn_down",
        "target_kw": 20.0,
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T19:00:00Z",
        "period_minutes": 30,
        "is_met": False,
        "suppressed": False,
        "planned_kw": [20.0, 21.0],
        "shortfall_kw": [0.0, 1.0],
    }

    run = PublicId(RUN, source="request.run")
    reference = serializers.CharField(source="request.signal.reference")
    node = serializers.CharField(source="request.signal.node.code")
    direction = serializers.ChoiceField(
        source="request.signal.direction",
        choices=TargetSignal.Direction.values,
        help_text="turn_down: EV power at the node at most target_kw; turn_up: at least",
    )
    target_kw = serializers.FloatField(source="request.signal.target_kw", help_text="EV power, import positive")
    starts_at = OffsetDateTime(source="window.starts_at", help_text="start of the part of its window within the run")
    ends_at = OffsetDateTime(source="window.ends_at", help_text="end of that part")
    period_minutes = serializers.IntegerField(source="request.run.period_minutes")
    is_met = serializers.BooleanField(help_text="no period falls short")
    suppressed = serializers.BooleanField(help_text=SUPPRESSED)
    planned_kw = serializers.SerializerMethodField(
        help_text="EV power planned at the node, by period from starts_at; null where suppressed"
    )
    shortfall_kw = serializers.SerializerMethodField(
        help_text="by how much each period misses the target, 0 or more; null where suppressed"
    )

    def get_planned_kw(self, seen: SeenRequest) -> list[float] | None:
        return None if seen.suppressed else seen.request.planned_kw

    def get_shortfall_kw(self, seen: SeenRequest) -> list[float] | None:
        return None if seen.suppressed else seen.request.shortfall_kw


class RunRequests(OfRun, ListView):
    """What a run plans against each request in its area."""

    actions = {"GET": Action.SEE_REQUESTS}
    row = RunRequestRow
    orders = {"oldest": ("pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[RunRequest]":
        return run_requests_seen_by(self.viewer.organisation).filter(run=self.run())

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return RunRequestRow.show_all(see_requests(rows, self.viewer.organisation))
