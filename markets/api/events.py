"""Calls on products, and what each DSRSP was instructed under them."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.rest.fields import Choice, Code, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.spans import PartQuery
from aggregator.rest.views import DetailView, ListView
from dispatch.models import TargetSignal
from markets.api.shapes import EVENT, LONDON, PRODUCT, RUN, TZ_HELP, Gbp, LocalTimes, TzQuery, with_local
from markets.models import FlexEvent, Instruction
from markets.queries import flex_events_seen_by, instructions_seen_by

DELIVERED = "kW by half-hour from starts_at, positive in the direction asked"


class FlexEventRow(LocalTimes):
    """A call on a product: a request that is measured and paid by the product's rules."""

    example = {
        "id": "flexevent_1",
        "reference": "EVENING/1",
        "product_id": "product_1",
        "product": "su-night",
        "product_version": 1,
        "price_gbp_per_mwh": "300.00",
        "node": "S1",
        "direction": "turn_down",
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T19:00:00Z",
    }

    id = PublicId(EVENT, source="pk")
    reference = serializers.CharField(source="signal.reference", help_text="of the request")
    product_id = PublicId(PRODUCT)
    product = serializers.CharField(source="product.code")
    product_version = serializers.IntegerField(source="product.version")
    price_gbp_per_mwh = Gbp(help_text="for each MWh delivered")
    node = serializers.CharField(source="signal.node.code", help_text="at and below it the volume is delivered")
    direction = serializers.ChoiceField(source="signal.direction", choices=TargetSignal.Direction.values)
    starts_at = OffsetDateTime(source="signal.starts_at")
    ends_at = OffsetDateTime(source="signal.ends_at", help_text="left out of the window")


class InstructionRow(Row):
    """What one DSRSP was instructed to deliver, fixed before delivery."""

    example = {
        "dsrsp": "flexco",
        "run": "run_1",
        "instructed_kw": [5.0, 5.0],
        "expected_baseline_kw": [9.0, 9.0],
        "planned_kw": [4.0, 4.0],
    }

    dsrsp = serializers.CharField(source="organisation.code")
    run = PublicId(RUN, source="run_id", help_text="the dispatch run it was fixed under")
    instructed_kw = serializers.ListField(child=serializers.FloatField(), help_text=DELIVERED)
    expected_baseline_kw = serializers.SerializerMethodField(
        help_text="EV power expected without the event, import positive; null but for the DSRSP itself and the platform"
    )
    planned_kw = serializers.SerializerMethodField(
        help_text="EV power planned, import positive; null but for the DSRSP itself and the platform"
    )

    def get_expected_baseline_kw(self, instruction: Instruction) -> list[float] | None:
        return instruction.expected_baseline_kw if self._is_for(instruction) else None

    def get_planned_kw(self, instruction: Instruction) -> list[float] | None:
        return instruction.planned_kw if self._is_for(instruction) else None

    def _is_for(self, instruction: Instruction) -> bool:
        reader: Organisation = self.context["reader"]
        return reader.kind == Organisation.Kind.PLATFORM or reader.pk == instruction.organisation_id


class FlexEventDetailRow(FlexEventRow):
    """A call on a product with its instructions: a DSRSP's own, or all for who buys."""

    example = {**FlexEventRow.example, "period_minutes": 30, "instructions": [InstructionRow.example]}

    period_minutes = serializers.IntegerField()
    instructions = InstructionRow(many=True)


class FlexEventQuery(PartQuery):
    reference = Code(required=False)
    product = Code(max_length=50, required=False, help_text="code of the product, any version")
    tz = Choice(choices=[LONDON], required=False, help_text=TZ_HELP)


class FlexEvents(ListView):
    """Calls on products: a DSRSP's those it was instructed under, a DNO's those of products it buys.

    ``from`` and ``to`` keep those whose window overlaps that span.
    """

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = FlexEventRow, FlexEventQuery
    orders = {"newest": ("-signal__starts_at", "-pk"), "oldest": ("signal__starts_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[FlexEvent]":
        fields = {
            "reference": "signal__reference",
            "product": "product__code",
            "from": "signal__ends_at__gt",
            "to": "signal__starts_at__lt",
        }
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return flex_events_seen_by(self.viewer.organisation).filter(**found)

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return [with_local(shown, self.asked.get("tz")) for shown in FlexEventRow.show_all(rows)]


class FlexEventDetail(DetailView):
    """One call on a product, with what was instructed under it."""

    actions = {"GET": Action.SEE_STATEMENTS}
    queries = {"GET": TzQuery}
    row, id_prefix = FlexEventDetailRow, EVENT

    def find(self, *, to_change: bool = False) -> FlexEvent:
        return get_object_or_404(flex_events_seen_by(self.viewer.organisation), pk=self.pk())

    def show(self, thing: FlexEvent) -> dict[str, Any]:
        reader = self.viewer.organisation
        seen = instructions_seen_by(reader).filter(event=thing).select_related("organisation")
        instructions = InstructionRow.show_all(seen.order_by("organisation__code", "run", "pk"), reader=reader)
        shown = {**FlexEventRow.show(thing), "period_minutes": 30, "instructions": instructions}
        return with_local(shown, self.asked.get("tz"))
