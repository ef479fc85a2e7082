"""Nominated baselines."""

from typing import Any

import numpy as np
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, Day, Number, OffsetDateTime, PublicId, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.views import DetailView, ListQuery, ListView
from markets.api.shapes import NOMINATION
from markets.core.nominations import MOST_KW, NominatedDay
from markets.models import Nomination
from markets.queries import nominations_seen_by
from markets.services.nominations import is_late, submit_nominations

POWERS = "kW of settlement periods 1, 2, …, consumption positive; null says nothing of a period"


class NewNomination(StrictSerializer):
    """A baseline for one settlement date in a zone."""

    example = {
        "product": "nominated-su",
        "node": "S1",
        "settlement_date": "2026-11-30",
        "power_kw": [12.5] * 48,
    }

    product = Code(max_length=50, help_text="its baseline is nominated")
    node = Code(help_text="the zone: exactly the node that events are called at")
    settlement_date = Day(help_text="local; its deadline is 12:00 on the day before, unless the product says otherwise")
    power_kw = serializers.ListField(
        child=Number(min_value=-MOST_KW, max_value=MOST_KW, allow_null=True),
        min_length=46,
        max_length=50,
        help_text=f"{POWERS}; 46, 48 or 50 as the date has periods, none beyond what the EVSEs there are rated at",
    )


class NominationRow(Row):
    """What a DSRSP nominated."""

    example = {
        "id": "nomination_1",
        "dsrsp": "flexco",
        **NewNomination.example,
        "submitted_at": "2026-11-28T09:00:00Z",
        "recorded_at": "2026-11-28T09:00:00Z",
        "is_late": False,
    }

    id = PublicId(NOMINATION, source="pk")
    dsrsp = serializers.CharField(source="organisation.code")
    product = serializers.CharField(source="product.code")
    node = serializers.CharField(source="node.code")
    settlement_date = Day()
    power_kw = serializers.ListField(child=serializers.FloatField(allow_null=True), help_text=POWERS)
    submitted_at = OffsetDateTime(help_text="the deadline is held against it")
    recorded_at = OffsetDateTime(help_text="settlements as of an earlier time do not know it")
    is_late = serializers.SerializerMethodField(
        help_text="it came at the deadline or after; the product says what then"
    )

    def get_is_late(self, row: Nomination) -> bool:
        return is_late(row)


class NominationQuery(ListQuery):
    dsrsp = Code(max_length=50, required=False, help_text="code of the DSRSP")
    product = Code(max_length=50, required=False)
    node = Code(required=False)
    settlement_date = Day(required=False)


class Nominations(ListView):
    """Nominated baselines, every one that was handed in: of several for a date the last one in time stands."""

    actions = {"GET": Action.SEE_MARKETS, "POST": Action.OFFER_FLEX}
    row, filters = NominationRow, NominationQuery
    bodies = {"POST": NewNomination}
    answers = {"POST": (201, NominationRow)}
    orders = {"newest": ("-submitted_at", "-pk"), "oldest": ("submitted_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Nomination]":
        fields = {
            "dsrsp": "organisation__code",
            "product": "product__code",
            "node": "node__code",
            "settlement_date": "settlement_date",
        }
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return nominations_seen_by(self.viewer.organisation).filter(**found)

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Nominate a baseline for a settlement date.

        It is taken after the deadline, too, and marked late. What says the same as the newest one stores nothing.
        """
        asked = self.body()
        power_kw = np.array([np.nan if one is None else one for one in asked["power_kw"]], dtype=np.float64)
        handed = submit_nominations(
            organisation=self.viewer.organisation,
            product=asked["product"],
            node=asked["node"],
            days=[NominatedDay(asked["settlement_date"], power_kw)],
            now=timezone.now(),
        )
        where = reverse("api:nomination", kwargs={"id": make_id(NOMINATION, handed.rows[0].pk)})
        return Response(NominationRow.show(handed.rows[0]), status=201, headers={"Location": where})


class NominationDetail(DetailView):
    """One nomination."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = NominationRow, NOMINATION

    def find(self, *, to_change: bool = False) -> Nomination:
        return get_object_or_404(nominations_seen_by(self.viewer.organisation), pk=self.pk())
