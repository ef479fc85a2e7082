"""What each EVSE is told. Currents and power are import positive: what an EVSE may draw is above 0."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, OffsetDateTime, utc_text
from aggregator.rest.serializers import Row
from aggregator.rest.views import ListQuery, ListView
from dispatch.api.runs import OfRun
from dispatch.api.shapes import EXAMPLE_GRID, ON_GRID, Series
from dispatch.models import DispatchRun, Setpoint
from dispatch.queries import setpoints_seen_by
from dispatch.services.plans import SeenSetpoint, see_setpoints


class SetpointPlanRow(Row):
    """What the run expects of an EVSE's session."""

    example = {
        "starts_at": "2026-01-14T12:00:00Z",
        "ends_at": "2026-01-14T13:00:00Z",
        "energy_kwh": 6.0,
        "unserved_kwh": 0.0,
        "unserveable_kwh": 0.0,
        "planned_kw": [3.0, 3.0],
    }

    starts_at = serializers.SerializerMethodField(help_text="first time it is expected to be plugged in")
    ends_at = serializers.SerializerMethodField(help_text="when it is expected to leave")
    energy_kwh = serializers.FloatField(help_text="asked of the plan; 0 where no session is expected")
    unserved_kwh = serializers.FloatField(help_text="asked for, and not in the plan")
    unserveable_kwh = serializers.FloatField(help_text="of it, what no plan could serve in the time there is")
    planned_kw = Series(help_text=f"the plan's power, never above the setpoint; {ON_GRID}")

    @extend_schema_field(OffsetDateTime)
    def get_starts_at(self, setpoint: Setpoint) -> str:
        grid = self.context["run"].grid
        return utc_text(grid.starts_at + setpoint.start_period * grid.step)

    @extend_schema_field(OffsetDateTime)
    def get_ends_at(self, setpoint: Setpoint) -> str:
        grid = self.context["run"].grid
        return utc_text(grid.starts_at + setpoint.end_period * grid.step)


class SetpointRow(Row):
    """The ceiling of one EVSE in every period of a run's grid."""

    example = {
        "evse": "evse_0a1b2c",
        **EXAMPLE_GRID,
        "setpoint_a": [16, 0],
        "setpoint_kw": [3.68, 0.0],
        "issued_kw": [3.68, 0.0],
        "plan": SetpointPlanRow.example,
    }

    evse = serializers.CharField(source="setpoint.evse.pseudonym", help_text="the EVSE's pseudonym")
    starts_at = OffsetDateTime(source="setpoint.run.starts_at", help_text="start of the first period")
    ends_at = serializers.SerializerMethodField(help_text="end of the last period")
    period_minutes = serializers.IntegerField(source="setpoint.run.period_minutes")
    setpoint_a = serializers.ListField(
        child=serializers.IntegerField(),
        source="setpoint.setpoint_a",
        help_text=f"whole amperes a phase, 0 or at least the EVSE's minimum; {ON_GRID}",
    )
    setpoint_kw = Series(source="setpoint.setpoint_kw", help_text="the same ceiling in kW, by period")
    issued_kw = serializers.SerializerMethodField(
        help_text="what it was told in the end, by period, once it was known who is plugged in; null before that"
    )
    plan = serializers.SerializerMethodField(
        help_text="for the EVSE's own DSRSP only, else null: it tells when its user is expected"
    )

    @extend_schema_field(OffsetDateTime)
    def get_ends_at(self, seen: SeenSetpoint) -> str:
        return utc_text(seen.setpoint.run.grid.ends_at)

    def get_issued_kw(self, seen: SeenSetpoint) -> list[float] | None:
        return None if seen.issued is None else seen.issued.setpoint_kw

    @extend_schema_field(SetpointPlanRow(allow_null=True))
    def get_plan(self, seen: SeenSetpoint) -> Mapping[str, Any] | None:
        return None if seen.plan is None else SetpointPlanRow.show(seen.plan, run=seen.setpoint.run)


class SetpointQuery(ListQuery):
    evse = Code(required=False, help_text="pseudonym of one EVSE")


class RunSetpoints(OfRun, ListView):
    """Setpoints of a run: a DSRSP's own EVSEs, or a DNO's area, where an EVSE is its pseudonym."""

    actions = {"GET": Action.SEE_SETPOINTS}
    row, filters = SetpointRow, SetpointQuery
    orders = {"oldest": ("pk",)}
    found_run: DispatchRun

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Setpoint]":
        self.found_run = self.run()
        setpoints = setpoints_seen_by(self.viewer.organisation).filter(run=self.found_run)
        return setpoints.filter(evse__pseudonym=asked["evse"]) if "evse" in asked else setpoints

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return SetpointRow.show_all(see_setpoints(self.found_run, rows, self.viewer.organisation))
