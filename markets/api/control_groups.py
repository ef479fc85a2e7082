"""Control groups: a DSRSP's EVSEs that events of a product do not call on."""

import secrets
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Day, OffsetDateTime, PublicId, Whole, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.views import DetailView, ListQuery, ListView
from markets.api.shapes import CONTROL_GROUP
from markets.models import ControlGroup, ControlGroupMember
from markets.queries import control_group_members_seen_by, control_groups_seen_by
from markets.services.control_groups import MOST_EVSES, MOST_TURNS, SEEDS, draw_control_group

ROTATIONS = [str(value) for value in ControlGroup.Rotates.values]


class NewControlGroup(StrictSerializer):
    """A draw of EVSEs in a zone, or a list of them."""

    example = {
        "product": "compared-su",
        "node": "S1",
        "valid_from": "2026-12-01",
        "n_evse": 40,
        "seed": 2718,
        "rotates": "weekly",
        "n_turn": 4,
    }

    product = Code(max_length=50, help_text="its baseline is a control group's")
    node = Code(help_text="the zone: it holds for events called there and below")
    valid_from = Day(help_text="first settlement date, tomorrow or later")
    valid_until = Day(required=False, help_text="last settlement date; left out: until another stands instead")
    n_evse = Whole(required=False, min_value=1, max_value=MOST_EVSES, help_text="EVSEs kept out at a time")
    seed = Whole(required=False, max_value=SEEDS - 1, help_text="of the draw; one is made up where it is left out")
    evses = serializers.ListField(
        child=Code(max_length=60), required=False, min_length=1, max_length=MOST_EVSES, help_text="instead of a draw"
    )
    rotates = Choice(choices=ROTATIONS, default="never")
    n_turn = Whole(default=1, min_value=1, max_value=MOST_TURNS, help_text="sets of n_evse EVSEs that take turns")


class ControlGroupRow(Row):
    """A control group; its EVSEs are a list of their own."""

    example = {
        "id": "controlgroup_1",
        "dsrsp": "flexco",
        **NewControlGroup.example,
        "valid_until": None,
        "recorded_at": "2026-11-28T09:00:00Z",
    }

    id = PublicId(CONTROL_GROUP, source="pk")
    dsrsp = serializers.CharField(source="organisation.code")
    product = serializers.CharField(source="product.code")
    node = serializers.CharField(source="node.code")
    valid_from = Day()
    valid_until = Day(allow_null=True)
    n_evse = serializers.IntegerField(help_text="kept out at a time")
    seed = serializers.IntegerField(allow_null=True, help_text="null where the EVSEs were named")
    rotates = serializers.ChoiceField(choices=ROTATIONS)
    n_turn = serializers.IntegerField()
    recorded_at = OffsetDateTime(help_text="requests received before do not know it")


class MemberRow(Row):
    """An EVSE of a control group."""

    example = {"evse": "evse_1", "turn": 0}

    evse = serializers.CharField(source="evse.pseudonym")
    turn = serializers.IntegerField(help_text="0 is kept out on valid_from")


class ControlGroupQuery(ListQuery):
    dsrsp = Code(max_length=50, required=False, help_text="code of the DSRSP")
    product = Code(max_length=50, required=False)
    node = Code(required=False)


class ControlGroups(ListView):
    """Control groups, every one that was recorded: of several valid on a day the last recorded stands."""

    actions = {"GET": Action.SEE_MARKETS, "POST": Action.OFFER_FLEX}
    row, filters = ControlGroupRow, ControlGroupQuery
    bodies = {"POST": NewControlGroup}
    answers = {"POST": (201, ControlGroupRow)}
    orders = {"newest": ("-pk",), "oldest": ("pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[ControlGroup]":
        fields = {"dsrsp": "organisation__code", "product": "product__code", "node": "node__code"}
        found = {fields[name]: value for name, value in asked.items() if name in fields}
        return control_groups_seen_by(self.viewer.organisation).filter(**found)

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Draw a control group, or name its EVSEs.

        It stands from a later day on and is never changed; another one can stand in its place.
        """
        asked = self.body()
        if "n_evse" in asked:
            asked = {"seed": secrets.randbelow(SEEDS), **asked}
        group = draw_control_group(organisation=self.viewer.organisation, now=timezone.now(), **asked)
        where = reverse("api:control_group", kwargs={"id": make_id(CONTROL_GROUP, group.pk)})
        return Response(ControlGroupRow.show(group), status=201, headers={"Location": where})


class ControlGroupDetail(DetailView):
    """One control group."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = ControlGroupRow, CONTROL_GROUP

    def find(self, *, to_change: bool = False) -> ControlGroup:
        return get_object_or_404(control_groups_seen_by(self.viewer.organisation), pk=self.pk())


class ControlGroupEvses(ListView):
    """The EVSEs of a control group, turn by turn; for its DSRSP, nobody else."""

    actions = {"GET": Action.SEE_MARKETS}
    row, id_prefix = MemberRow, CONTROL_GROUP
    orders = {"turn": ("turn", "pk")}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[ControlGroupMember]":
        del asked
        group = get_object_or_404(control_groups_seen_by(self.viewer.organisation), pk=self.pk())
        return control_group_members_seen_by(self.viewer.organisation).filter(group=group).select_related("evse")
