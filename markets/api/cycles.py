"""Cycles: forecast to statement for one area and charging day, with the figures a person checks them by."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.rest.fields import Choice, Code, Day, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView, ListQuery, ListView
from markets.api.shapes import CYCLE, RUN, SETTLEMENT, Gbp, Kwh
from markets.models import CycleRun
from markets.queries import cycles_seen_by, settlement_runs_seen_by
from markets.services.cycles_seen import SeenCycle, own_figures, reading_cycles, see_cycles

# Figures of EVs alone: null where suppressed. Energy and power are import positive.
EV_FIGURES = {
    "n_session_forecast": "sessions expected, a mean",
    "n_session": "sessions that came",
    "n_override": "sessions whose user overrode",
    "n_no_show": "planned sessions that did not come",
    "energy_planned_kwh": "planned if all come",
    "energy_asked_kwh": "asked for by the sessions that came",
    "energy_delivered_kwh": "they got",
    "energy_unserved_kwh": "they did not get",
    "peak_planned_kw": "EV peak planned if all come",
    "peak_uncontrolled_kw": "EV peak without dispatch",
    "peak_metered_kw": "EV peak with dispatch",
    "network_peak_uncontrolled_kw": "peak of EVs and other demand without dispatch",
    "network_peak_metered_kw": "peak of EVs and other demand with dispatch",
    "n_node_over_uncontrolled": "nodes over their rating without dispatch",
    "n_node_over_metered": "nodes over their rating with dispatch",
    "cost_uncontrolled_gbp": "energy at the tariff without dispatch, for comparison: nobody is billed by it",
    "cost_metered_gbp": "energy at the tariff with dispatch, for comparison",
    "cost_uncontrolled_gbp_per_kwh": "of each kWh without dispatch",
    "cost_metered_gbp_per_kwh": "of each kWh with dispatch",
    "cost_gbp": "the plan's objective",
    "lower_bound_gbp": "no plan costs less",
    "shortfall_kwh": "by which the plan misses requests",
    "instructed_kwh": "instructed under products",
    "delivered_volume_kwh": "delivered under them, positive in the direction asked",
}
PLAN_FIGURES = {
    "n_evse": "EVSEs of the area",
    "gap": "distance of the plan to its lower bound, as a share of the cost",
    "max_violation_kw": "by how much the plan exceeds any limit",
}


class CycleFiguresRow(Row):
    """Figures of an area's cycle; null where they are not known, or of EVs alone and suppressed."""

    example = {
        **dict.fromkeys(PLAN_FIGURES, 0.0),
        **dict.fromkeys(EV_FIGURES, 1.0),
        "n_evse": 24,
        "rung": "certified",
        "payment_gbp": "8.55",
    }

    rung = serializers.CharField(allow_null=True, help_text="how far the plan is proved")
    payment_gbp = Gbp(allow_null=True, help_text="paid for the delivered volume; null where suppressed")

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for name, said in {**PLAN_FIGURES, **EV_FIGURES}.items():
            fields[name] = serializers.FloatField(allow_null=True, help_text=said)
        return fields


class OwnFiguresRow(Row):
    """A DSRSP's own part of a cycle."""

    example = {
        "n_evse": 12,
        "energy_asked_kwh": 96.0,
        "energy_unserved_kwh": 1.5,
        "peak_planned_kw": 31.0,
        "instructed_kwh": "15.0000",
        "delivered_kwh": "14.2500",
        "payment_gbp": "4.28",
    }

    n_evse = serializers.IntegerField(help_text="EVSEs expected to charge")
    energy_asked_kwh = serializers.FloatField(help_text="asked of the plan")
    energy_unserved_kwh = serializers.FloatField(help_text="asked for, and not in the plan")
    peak_planned_kw = serializers.FloatField(help_text="import positive")
    instructed_kwh = Kwh(help_text="under the newest statements")
    delivered_kwh = Kwh(help_text="positive in the direction asked")
    payment_gbp = Gbp(help_text="under the newest statements")


class CycleRow(Row):
    """A day-ahead cycle of an area: forecast, plan, delivery, settlement."""

    example = {
        "id": "cycle_1",
        "area": "S1",
        "charging_day": "2026-01-14",
        "as_of": "2026-01-13T18:00:00Z",
        "state": "done",
        "error": "",
        "run": "run_1",
        "started_at": "2026-01-13T18:00:00Z",
        "finished_at": "2026-01-13T18:00:20.5Z",
        "suppressed": False,
        "figures": CycleFiguresRow.example,
    }

    id = PublicId(CYCLE, source="cycle")
    area = serializers.CharField(source="cycle.area.code")
    charging_day = Day(source="cycle.charging_day", help_text="from London noon of this date to noon of the next")
    as_of = OffsetDateTime(source="cycle.as_of", help_text="forecast and plan looked at nothing later")
    state = serializers.ChoiceField(source="cycle.state", choices=CycleRun.State.choices)
    error = serializers.SerializerMethodField(
        help_text="why it failed; empty if it did not, and to a DSRSP, as the reason may name another"
    )
    run = PublicId(RUN, source="cycle.run_id", allow_null=True, help_text="its dispatch run; null before there is one")
    started_at = OffsetDateTime(source="cycle.started_at")
    finished_at = OffsetDateTime(source="cycle.finished_at", allow_null=True)
    suppressed = serializers.BooleanField(
        help_text="true where figures of EVs alone are null: fewer than five EVSEs, or the viewer is a DSRSP"
    )
    figures = serializers.SerializerMethodField(
        help_text="of the area; null to a DSRSP, and before the cycle has made them"
    )

    def get_error(self, seen: SeenCycle) -> str:
        is_fleet = self.context["reader"].kind == Organisation.Kind.DSRSP
        return "" if is_fleet else seen.cycle.error

    @extend_schema_field(CycleFiguresRow(allow_null=True))
    def get_figures(self, seen: SeenCycle) -> dict[str, Any] | None:
        if not seen.summary:
            return None
        names = [*PLAN_FIGURES, "rung", *([] if seen.suppressed else [*EV_FIGURES, "payment_gbp"])]
        known = {name: seen.summary.get(name) for name in names}
        return CycleFiguresRow.show({**dict.fromkeys([*EV_FIGURES, "payment_gbp"]), **known})


class CycleDetailRow(CycleRow):
    """A cycle with what it settled, and for a DSRSP with its own figures."""

    example = {**CycleRow.example, "own": None, "settlement_runs": ["settlement_1"]}

    own = OwnFiguresRow(allow_null=True, help_text="for a DSRSP: its own part; null to others")
    settlement_runs = serializers.ListField(
        child=PublicId(SETTLEMENT), help_text="of them those that hold a statement the viewer may read"
    )


class CycleQuery(ListQuery):
    area = Code(required=False, help_text="code of the area's top node")
    charging_day = Day(required=False)
    state = Choice(choices=CycleRun.State.values, required=False)


class Cycles(ListView):
    """Cycles: a DNO's of its areas, a DSRSP's those that planned its EVSEs."""

    actions = {"GET": Action.SEE_OVERVIEW}
    row, filters = CycleRow, CycleQuery
    orders = {"newest": ("-started_at", "-pk"), "oldest": ("started_at", "pk")}

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        with reading_cycles(self.viewer.organisation):
            return super().get(request, *args, **kwargs)

    def seen(self, asked: dict[str, Any]) -> "QuerySet[CycleRun]":
        fields = {"area": "area__code", "charging_day": "charging_day", "state": "state"}
        found = {fields[name]: value for name, value in asked.items()}
        return cycles_seen_by(self.viewer.organisation).filter(**found)

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        reader = self.viewer.organisation
        return CycleRow.show_all(see_cycles(rows, reader), reader=reader)


class CycleDetail(DetailView):
    """One cycle."""

    actions = {"GET": Action.SEE_OVERVIEW}
    row, id_prefix = CycleDetailRow, CYCLE

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        with reading_cycles(self.viewer.organisation):
            return super().get(request, *args, **kwargs)

    def find(self, *, to_change: bool = False) -> CycleRun:
        found = cycles_seen_by(self.viewer.organisation).filter(pk=self.pk()).first()
        if found is None:
            raise Http404
        return found

    def show(self, thing: CycleRun) -> dict[str, Any]:
        reader = self.viewer.organisation
        settled = settlement_runs_seen_by(reader).filter(pk__in=thing.settlement_runs.values("pk")).order_by("pk")
        own = own_figures(thing, reader) if reader.kind == Organisation.Kind.DSRSP else None
        return {
            **CycleRow.show(see_cycles([thing], reader)[0], reader=reader),
            "own": None if own is None else OwnFiguresRow.show(own),
            "settlement_runs": [PublicId(SETTLEMENT).to_representation(run.pk) for run in settled],
        }
