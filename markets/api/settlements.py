"""Settlements: which version of which event, and whether its statements were released."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView
from markets.api.shapes import EVENT, RUN, SETTLEMENT, STATEMENT, Gbp, Kwh
from markets.api.statement_rows import RUN_TYPE_HELP, STATE_HELP, STATES
from markets.api.statements import in_state
from markets.models import SettlementRun
from markets.queries import settlement_runs_seen_by, statements_seen_by
from markets.services.statements import standing


class SettlementRow(Row):
    """One version of the settlement of a call on a product. It is never changed, only superseded by a newer one."""

    example = {
        "id": "settlement_1",
        "event": "flexevent_1",
        "reference": "EVENING/1",
        "product": "su-night",
        "product_version": 1,
        "run": "run_1",
        "version": 1,
        "run_type": "PRELIM",
        "method": "mid-8-in-10-sda v1",
        "as_of": "2026-01-15T14:00:00Z",
        "created_at": "2026-01-15T14:00:02.5Z",
        "input_sha256": "5" * 64,
        "state": "preliminary",
        "released_at": None,
        "supersedes": None,
        "superseded_by": None,
    }

    id = PublicId(SETTLEMENT, source="pk")
    event = PublicId(EVENT, source="event_id")
    reference = serializers.CharField(source="event.signal.reference", help_text="of the request")
    product = serializers.CharField(source="event.product.code")
    product_version = serializers.IntegerField(source="event.product.version")
    run = PublicId(RUN, source="dispatch_run_id", help_text="the dispatch run its instructions were fixed under")
    version = serializers.IntegerField(help_text="counts from 1")
    run_type = serializers.CharField(source="code", help_text=RUN_TYPE_HELP)
    method = serializers.CharField()
    as_of = OffsetDateTime(help_text="readings received after this were not looked at")
    created_at = OffsetDateTime()
    input_sha256 = serializers.CharField(help_text="of all that was settled from")
    state = serializers.SerializerMethodField(help_text=STATE_HELP)
    released_at = serializers.SerializerMethodField(help_text="null while it was not released")
    supersedes = PublicId(
        SETTLEMENT, source="supersedes_id", allow_null=True, help_text="the version before; null for the first"
    )
    superseded_by = serializers.SerializerMethodField(help_text="the version after; null for the newest")

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, run: SettlementRun) -> str:
        return standing(run).state

    @extend_schema_field(OffsetDateTime(allow_null=True))
    def get_released_at(self, run: SettlementRun) -> str | None:
        at = standing(run).released_at
        return None if at is None else OffsetDateTime().to_representation(at)

    @extend_schema_field(PublicId(SETTLEMENT, allow_null=True))
    def get_superseded_by(self, run: SettlementRun) -> str | None:
        pk = standing(run).superseded_by_pk
        return None if pk is None else PublicId(SETTLEMENT).to_representation(pk)


class SettledRow(Row):
    """One statement of a settlement."""

    example = {
        "id": "statement_1",
        "dsrsp": "flexco",
        "instructed_kwh": "10.0000",
        "delivered_kwh": "9.0000",
        "payment_gbp": "2.55",
        "sha256": "5" * 64,
    }

    id = PublicId(STATEMENT, source="pk")
    dsrsp = serializers.CharField(source="organisation.code")
    instructed_kwh = Kwh()
    delivered_kwh = Kwh(help_text="positive in the direction asked")
    payment_gbp = Gbp()
    sha256 = serializers.CharField()


class SettlementDetailRow(SettlementRow):
    """A settlement with the statements of it that the viewer may read."""

    example = {**SettlementRow.example, "statements": [SettledRow.example]}

    statements = SettledRow(many=True)


class SettlementQuery(ListQuery):
    reference = Code(required=False, help_text="of the request")
    product = Code(max_length=50, required=False)
    state = Choice(choices=STATES, required=False, help_text=STATE_HELP)


class Settlements(ListView):
    """Settlements that hold a statement the viewer may read."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = SettlementRow, SettlementQuery
    orders = {"newest": ("-pk",), "oldest": ("pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[SettlementRun]":
        fields = {"reference": "event__signal__reference", "product": "event__product__code"}
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return settlement_runs_seen_by(self.viewer.organisation).filter(**found, **in_state(asked.get("state")))


class OfSettlement(ApiView):
    """What hangs on one settlement."""

    id_prefix = SETTLEMENT

    def settlement(self) -> SettlementRun:
        """The settlement named in the address.

        Raises:
            Http404: there is none, or no statement of it is the viewer's to read.
        """
        found = settlement_runs_seen_by(self.viewer.organisation).filter(pk=self.pk()).first()
        if found is None:
            raise Http404
        return found


class SettlementDetail(OfSettlement, DetailView):
    """One settlement and its statements."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row = SettlementDetailRow

    def find(self, *, to_change: bool = False) -> SettlementRun:
        return self.settlement()

    def show(self, thing: SettlementRun) -> dict[str, Any]:
        seen = statements_seen_by(self.viewer.organisation).filter(settlement_run=thing)
        statements = seen.select_related("organisation").defer("content").order_by("organisation__code")
        return {**SettlementRow.show(thing), "statements": SettledRow.show_all(statements)}
