"""Why an EVSE was told what it was told. Power is import positive: what an EVSE draws is above 0."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Day, OffsetDateTime, PublicId, utc_text
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView
from dispatch.api.runs import RUN, OfRun
from dispatch.api.shapes import EXAMPLE_GRID
from dispatch.core.explain import Reason
from dispatch.core.explanation import Explanation
from dispatch.models import TargetSignal
from dispatch.services.explain import explain_setpoint

OF_PLAN = "null but for the EVSE's own DSRSP: it tells when its user is expected"
OF_NETWORK = "null for a DSRSP: others' EVSEs stand in it"
NETWORK_REASONS = ("limit_binds", "request_in_force", "no_limit_binds")


def _optional(help_text: str) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=help_text)


class LimitRow(Row):
    """A node on the EVSE's path that is full."""

    example = {"node": "F1", "name": "feeder F1", "gbp_per_kwh": None}

    node = serializers.CharField(help_text="its code; empty where the viewer may not know which node it is")
    name = serializers.CharField(help_text="in words")
    gbp_per_kwh = _optional(f"what it adds to a kWh of the EVSE; {OF_NETWORK}")


class AskedRow(Row):
    """A request in force on the EVSE's path."""

    example = {"reference": "", "direction": "turn_down", "node": "F1", "gbp_per_kwh": None}

    reference = serializers.CharField(help_text="empty for a DSRSP")
    direction = serializers.ChoiceField(choices=TargetSignal.Direction.values)
    node = serializers.CharField(help_text="code of its node; empty where the viewer may not know it")
    gbp_per_kwh = _optional("what it adds to a kWh of the EVSE; null over the API, where it tells of others")


class ExplainedPeriodRow(Row):
    """One period of the run's grid."""

    example = {
        "starts_at": "2026-01-14T12:00:00Z",
        "ends_at": "2026-01-14T12:30:00Z",
        "setpoint_a": 6,
        "setpoint_kw": 1.38,
        "told_kw": 1.38,
        "planned_kw": 1.38,
        "tariff_gbp_per_kwh": 0.08,
        "limits": [LimitRow.example],
        "requests": [],
        "ramp_gbp_per_kwh": None,
        "cost_gbp_per_kwh": None,
        "reason": "held_by_limit",
        "words": "held down by the limit of feeder F1",
        "note": "",
        "is_held": True,
    }

    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    setpoint_a = serializers.IntegerField(help_text="whole amperes a phase")
    setpoint_kw = serializers.FloatField(help_text="the same ceiling in kW")
    told_kw = _optional("what it was told in the end; null before that")
    planned_kw = _optional(f"the plan's power; {OF_PLAN}")
    tariff_gbp_per_kwh = serializers.FloatField(help_text="price of energy, carbon at its weight")
    limits = LimitRow(many=True, help_text="full nodes on its path that bear on it")
    requests = AskedRow(many=True, help_text="requests in force on its path")
    ramp_gbp_per_kwh = _optional(f"what slow changes of power add; {OF_NETWORK}")
    cost_gbp_per_kwh = _optional(f"tariff, limits, requests and ramps together; {OF_NETWORK}")
    reason = serializers.ChoiceField(
        choices=[*(reason.value for reason in Reason), *NETWORK_REASONS], help_text="stable word for programs"
    )
    words = serializers.CharField(help_text="the reason for people")
    note = serializers.CharField(help_text="what else is to be known of the ceiling; empty if nothing")
    is_held = serializers.BooleanField(help_text="a limit, request or ramp stands in the way")


class CauseRow(Row):
    """One of the things that together kept energy from the EVSE."""

    example = {
        "kind": "limit",
        "node": "F1",
        "reference": "",
        "starts_at": "2026-01-14T12:00:00Z",
        "ends_at": "2026-01-14T13:00:00Z",
        "n_evse": None,
        "words": "the limit of feeder F1, 12:00 to 13:00",
    }

    kind = serializers.ChoiceField(choices=["limit", "turn_down", "turn_up", "tariff", "equals", "betters"])
    node = serializers.CharField(help_text="code of its node; empty where there is none, or not for the viewer")
    reference = serializers.CharField(help_text="of a request; empty where there is none, or not for the viewer")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime()
    n_evse = serializers.IntegerField(allow_null=True, help_text="other EVSEs meant; null where not for the viewer")
    words = serializers.CharField()


class UnservedRow(Row):
    """Why energy is missing: causes none of which can be spared."""

    example = {"verdict": "limits", "causes": [CauseRow.example], "is_irreducible": True, "held_outside": ""}

    verdict = serializers.ChoiceField(
        choices=["served", "limits", "not_forced"],
        help_text="served: none is; limits: the causes kept it; not_forced: rounding, ramps or the plan's gap did",
    )
    causes = CauseRow(many=True)
    is_irreducible = serializers.BooleanField(
        help_text="without any one cause all the energy could be had; false where time ran out before all were tried"
    )
    held_outside = serializers.CharField(
        help_text="EVSEs not under this node were taken to keep to their plan; empty where none were"
    )


class ExplanationRow(Row):
    """The setpoints of one EVSE in a run, explained."""

    example = {
        "run": "run_1",
        "area": "S1",
        "charging_day": "2026-01-14",
        "evse": "evse_0a1b2c",
        "node": "F1",
        **EXAMPLE_GRID,
        "is_whole": True,
        "energy_kwh": 6.0,
        "unserved_kwh": 3.2,
        "unserveable_kwh": 0.0,
        "worth_gbp_per_kwh": None,
        "summary": ["Unserved 3.20 of 6.00 kWh because: the limit of feeder F1, 12:00 to 13:00."],
        "unserved": UnservedRow.example,
        "periods": [ExplainedPeriodRow.example],
    }

    run = PublicId(RUN)
    area = serializers.CharField(help_text="code of the area's top node")
    charging_day = Day()
    evse = serializers.CharField(help_text="the EVSE's pseudonym")
    node = serializers.CharField(help_text="code of the node it hangs on")
    starts_at = OffsetDateTime(source="grid.starts_at", help_text="start of the first period")
    ends_at = serializers.SerializerMethodField(help_text="end of the last period")
    period_minutes = serializers.IntegerField(source="grid.period_minutes")
    is_whole = serializers.BooleanField(help_text="the viewer is the EVSE's own DSRSP and sees its plan")
    energy_kwh = _optional(f"asked of the plan, what the session could take on its own; {OF_PLAN}")
    unserved_kwh = _optional(f"of it, not in the plan; {OF_PLAN}")
    unserveable_kwh = _optional(f"asked for beyond it, what no plan could serve in the time there is; {OF_PLAN}")
    worth_gbp_per_kwh = _optional(f"what its last kWh is worth; {OF_NETWORK}")
    summary = serializers.ListField(child=serializers.CharField(), help_text="sentences, the most important first")
    unserved = serializers.SerializerMethodField(help_text=f"{OF_PLAN}, or where no session was planned")
    periods = ExplainedPeriodRow(many=True)

    @extend_schema_field(OffsetDateTime)
    def get_ends_at(self, found: Explanation) -> str:
        return utc_text(found.grid.ends_at)

    @extend_schema_field(UnservedRow(allow_null=True))
    def get_unserved(self, found: Explanation) -> dict[str, Any] | None:
        return None if found.unserved is None else UnservedRow.show(found.unserved)


class SetpointExplanation(OfRun, DetailView):
    """Why an EVSE was told what it was told in a run, period by period, and what kept energy from it.

    Its own DSRSP reads the reasons; a DNO reads what stands on the EVSE's path and nothing of its user's plan.
    """

    actions = {"GET": Action.SEE_SETPOINTS}
    row = ExplanationRow

    def find(self, *, to_change: bool = False) -> Explanation:
        found = explain_setpoint(
            run=self.run(), pseudonym=str(self.kwargs["evse"]), organisation=self.viewer.organisation
        )
        if found is None:
            raise Http404
        return found
