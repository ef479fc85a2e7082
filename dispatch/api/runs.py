"""Dispatch runs: when, of what, and how good their plans are."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, Day, Facts, OffsetDateTime, PublicId, utc_text
from aggregator.rest.serializers import Row
from aggregator.rest.spans import PartQuery
from aggregator.rest.views import ApiView, DetailView, ListView
from dispatch.api.shapes import EXAMPLE_GRID
from dispatch.models import DispatchRun
from dispatch.queries import runs_seen_by
from dispatch.services.plans import SeenRun, is_area_shown, see_runs

RUN = "run"


class RunRow(Row):
    """A dispatch run: one plan for every EVSE of an area through a charging day, London noon to noon."""

    example = {
        "id": "run_1",
        "area": "S1",
        "charging_day": "2026-01-14",
        "is_in_force": True,
        "as_of": "2026-01-13T18:00:00Z",
        "created_at": "2026-01-13T18:00:07.5Z",
        **EXAMPLE_GRID,
        "n_period": 2,
        "method": "reference",
        "rung": "certified",
        "gap": 0.00025,
        "max_violation_kw": 0.0,
        "input_sha256": "1" * 64,
    }

    id = PublicId(RUN, source="run")
    area = serializers.CharField(source="run.area.code", help_text="code of the node at the top of what was planned")
    charging_day = Day(source="run.charging_day", help_text="local date of the noon it starts at")
    is_in_force = serializers.BooleanField(help_text="no newer run of this area and charging day was stored")
    as_of = OffsetDateTime(source="run.as_of", help_text="nothing that became known later was looked at")
    created_at = OffsetDateTime(source="run.created_at")
    starts_at = OffsetDateTime(source="run.starts_at", help_text="start of the first period")
    ends_at = serializers.SerializerMethodField(help_text="end of the last period")
    n_period = serializers.IntegerField(source="run.n_period", help_text="46, 48 or 50 half-hours")
    period_minutes = serializers.IntegerField(source="run.period_minutes")
    method = serializers.CharField(source="run.method", help_text="how it was solved")
    rung = serializers.ChoiceField(
        source="run.rung",
        choices=["certified", "time-boxed", "greedy", "last-plan"],
        help_text="how far the plan is proved: certified is within the gap asked for",
    )
    gap = serializers.FloatField(source="run.gap", help_text="distance to the lower bound, as a share of the cost")
    max_violation_kw = serializers.FloatField(
        source="run.max_violation_kw", help_text="by how much any limit is exceeded; a run above 1e-6 is not stored"
    )
    input_sha256 = serializers.CharField(source="run.input_sha256", help_text="of everything the run read")

    @extend_schema_field(OffsetDateTime)
    def get_ends_at(self, seen: SeenRun) -> str:
        return utc_text(seen.run.grid.ends_at)


class ObjectiveRow(Row):
    """What the plan costs and what it is made of, in GBP: parts of an objective, not money that anybody is paid."""

    example = {
        "cost_gbp": 12.5,
        "cost_energy_gbp": 12.0,
        "cost_unserved_gbp": 0.25,
        "cost_shortfall_gbp": 0.25,
        "cost_ramp_gbp": 0.0,
        "unavoidable_gbp": 0.0,
        "rounding_cost_gbp": 0.01,
        "lower_bound_gbp": 12.49,
    }

    cost_gbp = serializers.FloatField(help_text="sum of the parts, of the plan as stored")
    cost_energy_gbp = serializers.FloatField(help_text="energy at the tariff, and its carbon at the weight given")
    cost_unserved_gbp = serializers.FloatField(help_text="energy EVs asked for and do not get")
    cost_shortfall_gbp = serializers.FloatField(help_text="requests not met")
    cost_ramp_gbp = serializers.FloatField(help_text="changes of power between periods")
    unavoidable_gbp = serializers.FloatField(help_text="unserved energy that no plan could serve")
    rounding_cost_gbp = serializers.FloatField(help_text="what whole amperes cost over the unrounded plan")
    lower_bound_gbp = serializers.FloatField(help_text="no plan costs less")


class RunDetailRow(RunRow):
    """A dispatch run with its objective and how it was asked for."""

    example = {
        **RunRow.example,
        "suppressed": False,
        "objective": ObjectiveRow.example,
        "iterations": 1,
        "solve_s": 0.8,
        "parameters": {"tariff": "night", "unserved_gbp_per_kwh": 1.0},
    }

    suppressed = serializers.SerializerMethodField(
        help_text="true where the objective is not for this viewer: others' EVSEs, or fewer than five, stand in it"
    )
    objective = serializers.SerializerMethodField(help_text="null where suppressed")
    iterations = serializers.IntegerField(source="run.iterations")
    solve_s = serializers.FloatField(source="run.solve_s", help_text="seconds")
    parameters = Facts(source="run.parameters", help_text="what the run was asked with, by name")

    def get_suppressed(self, _seen: SeenRun) -> bool:
        return not self.context["is_shown"]

    @extend_schema_field(ObjectiveRow(allow_null=True))
    def get_objective(self, seen: SeenRun) -> Mapping[str, Any] | None:
        return ObjectiveRow.show(seen.run) if self.context["is_shown"] else None


class RunQuery(PartQuery):
    area = Code(required=False, help_text="code of the area's top node")
    charging_day = Day(required=False)


class Runs(ListView):
    """Dispatch runs: a DNO's of its areas, a DSRSP's those that planned its EVSEs.

    ``from`` and ``to`` keep runs whose charging day starts in that span.
    """

    actions = {"GET": Action.SEE_RUNS}
    row, filters = RunRow, RunQuery
    orders = {"newest": ("-starts_at", "-pk"), "oldest": ("starts_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[DispatchRun]":
        fields = {"area": "area__code", "charging_day": "charging_day", "from": "starts_at__gte", "to": "starts_at__lt"}
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return runs_seen_by(self.viewer.organisation).filter(**found)

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return RunRow.show_all(see_runs(rows))


class OfRun(ApiView):
    """What hangs on one run: it is there for those who may see the run."""

    id_prefix = RUN

    def run(self) -> DispatchRun:
        """The run named in the address.

        Raises:
            Http404: there is none, or it is not the viewer's to see.
        """
        found = runs_seen_by(self.viewer.organisation).filter(pk=self.pk()).first()
        if found is None:
            raise Http404
        return found


class RunDetail(OfRun, DetailView):
    """One dispatch run, its bound and its proof."""

    actions = {"GET": Action.SEE_RUNS}
    row = RunDetailRow

    def find(self, *, to_change: bool = False) -> DispatchRun:
        return self.run()

    def show(self, thing: DispatchRun) -> dict[str, Any]:
        is_shown = is_area_shown(thing, self.viewer.organisation)
        return RunDetailRow.show(see_runs([thing])[0], is_shown=is_shown)
