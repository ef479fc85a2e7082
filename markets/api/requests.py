"""Requests for dispatch: what a control room asks of the EVs at a node. Power is import positive."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Day, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.spans import PartQuery
from aggregator.rest.views import DetailView, ListView
from dispatch.models import TargetSignal
from dispatch.queries import run_requests_seen_by, targets_seen_by
from dispatch.services.plans import SeenRequest, see_requests, see_runs
from markets.api.shapes import LONDON, RUN, TZ_HELP, Gbp, LocalTimes, TzQuery, with_local

N_RUN = 20


class RequestRow(LocalTimes):
    """A request for dispatch: EV power at and below a node, at most or at least ``target_kw`` through a window."""

    example = {
        "reference": "EVENING/1",
        "node": "S1",
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T19:00:00Z",
        "direction": "turn_down",
        "kind": "routine",
        "target_kw": 20.0,
        "shortfall_gbp_per_kwh": 1.0,
        "issued_by": "dno",
        "received_at": "2026-01-13T17:00:00Z",
        "product": "su-night",
        "product_version": 1,
        "price_gbp_per_mwh": "300.00",
    }

    reference = serializers.CharField(help_text="the control room's own id of it")
    node = serializers.CharField(source="node.code")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime(help_text="left out of the window")
    direction = serializers.ChoiceField(
        choices=TargetSignal.Direction.values, help_text="turn_down: at most target_kw; turn_up: at least"
    )
    kind = serializers.ChoiceField(choices=TargetSignal.Kind.choices)
    target_kw = serializers.FloatField(help_text="EV power at and below the node, import positive")
    shortfall_gbp_per_kwh = serializers.FloatField(help_text="what a plan reckons each kWh missed to cost")
    issued_by = serializers.CharField(source="issued_by.code")
    received_at = OffsetDateTime()
    product = serializers.SerializerMethodField(help_text="the product it is a call on; null: it is unpaid")
    product_version = serializers.SerializerMethodField(help_text="null without a product")
    price_gbp_per_mwh = serializers.SerializerMethodField(help_text="for each MWh delivered; null without a product")

    def get_product(self, signal: TargetSignal) -> str | None:
        return signal.event.product.code if hasattr(signal, "event") else None

    def get_product_version(self, signal: TargetSignal) -> int | None:
        return signal.event.product.version if hasattr(signal, "event") else None

    def get_price_gbp_per_mwh(self, signal: TargetSignal) -> str | None:
        return Gbp().to_representation(signal.event.price_gbp_per_mwh) if hasattr(signal, "event") else None


class RequestRunRow(Row):
    """What one dispatch run plans against a request, period by period of the part of its window within the run."""

    example = {
        "run": "run_1",
        "area": "S1",
        "charging_day": "2026-01-14",
        "is_in_force": True,
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T19:00:00Z",
        "period_minutes": 30,
        "is_met": False,
        "suppressed": False,
        "planned_kw": [20.0, 21.0],
        "shortfall_kw": [0.0, 1.0],
        "shortfall_kwh": 0.5,
    }

    run = PublicId(RUN)
    area = serializers.CharField()
    charging_day = Day()
    is_in_force = serializers.BooleanField(help_text="no newer run of that area and day was stored")
    starts_at = OffsetDateTime(help_text="start of the first period")
    ends_at = OffsetDateTime(help_text="end of the last period")
    period_minutes = serializers.IntegerField()
    is_met = serializers.BooleanField(help_text="no period falls short")
    suppressed = serializers.BooleanField(
        help_text="true where the figures are null: they are of fewer than five EVSEs, or would tell such"
    )
    planned_kw = serializers.ListField(
        child=serializers.FloatField(), allow_null=True, help_text="EV power at the node, by period; null: suppressed"
    )
    shortfall_kw = serializers.ListField(
        child=serializers.FloatField(), allow_null=True, help_text="by how much each period misses; null: suppressed"
    )
    shortfall_kwh = serializers.FloatField(allow_null=True, help_text="the same as energy; null: suppressed")


class RequestDetailRow(RequestRow):
    """A request for dispatch with what was planned against it."""

    example = {**RequestRow.example, "runs": [RequestRunRow.example]}

    runs = RequestRunRow(many=True, help_text=f"the newest {N_RUN} at most, newest first")


class RequestQuery(PartQuery):
    node = Code(required=False)
    direction = Choice(choices=TargetSignal.Direction.values, required=False)
    kind = Choice(choices=TargetSignal.Kind.values, required=False)
    tz = Choice(choices=[LONDON], required=False, help_text=TZ_HELP)


class OfRequests:
    """What shows requests."""

    viewer: Any

    def readable(self) -> "QuerySet[TargetSignal]":
        return targets_seen_by(self.viewer.organisation).select_related("event__product")


class RequestList(OfRequests, ListView):
    """Requests for dispatch: a DNO's own.

    ``from`` and ``to`` keep those whose window overlaps that span.
    """

    actions = {"GET": Action.SEE_REQUESTS}
    row, filters = RequestRow, RequestQuery
    orders = {"newest": ("-starts_at", "-pk"), "oldest": ("starts_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[TargetSignal]":
        fields = {"node": "node__code", "direction": "direction", "kind": "kind"}
        fields |= {"from": "ends_at__gt", "to": "starts_at__lt"}
        return self.readable().filter(**{fields[name]: value for name, value in asked.items() if name in fields})

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return [with_local(shown, self.asked.get("tz")) for shown in RequestRow.show_all(rows)]


class RequestDetail(OfRequests, DetailView):
    """One request for dispatch, and what each run planned against it."""

    actions = {"GET": Action.SEE_REQUESTS}
    queries = {"GET": TzQuery}
    row = RequestDetailRow

    def find(self, *, to_change: bool = False) -> TargetSignal:
        found = self.readable().filter(reference=self.kwargs["reference"]).first()
        if found is None:
            raise Http404
        return found

    def show(self, thing: TargetSignal) -> dict[str, Any]:
        planned = run_requests_seen_by(self.viewer.organisation).filter(signal=thing).select_related("run__area")
        newest = list(planned.order_by("-run__created_at", "-pk")[:N_RUN])
        in_force = {seen.run.pk: seen.is_in_force for seen in see_runs([one.run for one in newest])}
        runs = [_run(seen, in_force[seen.request.run_id]) for seen in see_requests(newest, self.viewer.organisation)]
        return {**with_local(RequestRow.show(thing), self.asked.get("tz")), "runs": RequestRunRow.show_all(runs)}


def _run(seen: SeenRequest, is_in_force: bool) -> dict[str, Any]:
    request, run, window = seen.request, seen.request.run, seen.window
    figures = {
        "planned_kw": request.planned_kw,
        "shortfall_kw": request.shortfall_kw,
        "shortfall_kwh": sum(request.shortfall_kw) * run.period_minutes / 60,
    }
    return {
        "run": run.pk,
        "area": run.area.code,
        "charging_day": run.charging_day,
        "is_in_force": is_in_force,
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "period_minutes": run.period_minutes,
        "is_met": seen.is_met,
        "suppressed": seen.suppressed,
        **(dict.fromkeys(figures) if seen.suppressed else figures),
    }
