"""The network: its nodes, what they may carry, and the EVSEs that hang there by their pseudonyms."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.limit_change import HIGHEST_RATING_KVA, LimitChange
from aggregator.core.permissions import Action
from aggregator.models import EVSE, NetworkNode, NodeRating
from aggregator.queries import evses_seen_by, nodes_seen_by, ratings_seen_by
from aggregator.rest.fields import Choice, Code, Number, OffsetDateTime, PublicId, Text
from aggregator.rest.idempotency import idempotent
from aggregator.rest.rows import ControlActRow
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.views import DetailView, ListQuery, ListView
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON
from aggregator.services.limits import ask_change_limits


class NodeRow(Row):
    """An element of the network tree that carries a limit."""

    example = {
        "code": "NR-0001-F1",
        "name": "Feeder 1",
        "kind": "feeder",
        "phase": "",
        "parent": "NR-0001",
        "dno": "dno",
        "n_customers": 62,
        "admd_kw": 1.5,
    }

    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=NetworkNode.Kind.choices)
    phase = serializers.CharField(help_text="A, B or C on a phase, empty elsewhere")
    parent = serializers.CharField(source="parent.code", allow_null=True, default=None)  # type: ignore[assignment]
    dno = serializers.CharField(source="organisation.code")
    n_customers = serializers.IntegerField(help_text="connected directly here, not below")
    admd_kw = serializers.FloatField(help_text="after diversity maximum demand a customer")


class RatingRow(Row):
    """What a node may carry from when to when."""

    example = {
        "id": "rating_1",
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_to": None,
        "rating_kva": 185.0,
        "power_factor": 0.98,
        "cyclic_factor": 1.0,
        "diversity": 1.0,
        "ramp_kw": None,
        "source": "area.json",
    }

    id = PublicId("rating", source="pk")
    valid_from = OffsetDateTime()
    valid_to = OffsetDateTime(allow_null=True, help_text="left out; null while it stands")
    rating_kva = serializers.FloatField()
    power_factor = serializers.FloatField()
    cyclic_factor = serializers.FloatField()
    diversity = serializers.FloatField()
    ramp_kw = serializers.FloatField(allow_null=True, help_text="EV power change between periods; null is free")
    source = serializers.CharField()  # type: ignore[assignment]


class NodeEvseRow(Row):
    """An EVSE as the network knows it: nothing says whose it is."""

    example = {"id": "evse_2f6c0b", "node": "NR-0001-F1-A", "phases": 1, "rated_kw": 7.4}

    id = serializers.CharField(source="pseudonym")
    node = serializers.CharField(source="node.code")
    phases = serializers.IntegerField()
    rated_kw = serializers.FloatField(help_text="import positive")


class NewRating(StrictSerializer):
    """What a node may carry from now, or from a later time."""

    example = {"rating_kva": 150.0, "reason": "fuse replaced by a smaller one"}

    rating_kva = Number(min_value=0.001, max_value=HIGHEST_RATING_KVA)
    power_factor = Number(min_value=0.01, max_value=1, required=False)
    cyclic_factor = Number(min_value=0.01, max_value=2, required=False)
    diversity = Number(min_value=0.01, max_value=1, required=False)
    ramp_kw = Number(min_value=0, max_value=HIGHEST_RATING_KVA, required=False)
    valid_from = OffsetDateTime(required=False, help_text="left out, from when it is agreed to; never in the past")
    reason = Text(min_length=SHORTEST_REASON, max_length=LONGEST_REASON)


class NodeQuery(ListQuery):
    kind = Choice(choices=NetworkNode.Kind.values, required=False)
    parent = Code(required=False, help_text="code of the node above")  # type: ignore[assignment]


class Nodes(ListView):
    """Nodes of the network."""

    actions = {"GET": Action.SEE_NETWORK}
    row, filters = NodeRow, NodeQuery
    orders = {"code": ("code",)}

    def seen(self, asked: dict[str, Any]) -> QuerySet[NetworkNode]:
        nodes = nodes_seen_by(self.viewer.organisation)
        if "parent" in asked:
            nodes = nodes.filter(parent__code=asked.pop("parent"))
        return nodes.filter(**asked)


class NodeDetail(DetailView):
    """One node."""

    actions = {"GET": Action.SEE_NETWORK}
    row = NodeRow

    def find(self, *, to_change: bool = False) -> NetworkNode:
        return get_object_or_404(nodes_seen_by(self.viewer.organisation), code=self.kwargs["code"])


class NodeRatings(ListView):
    """What a node may carry, newest first."""

    actions = {"GET": Action.SEE_NETWORK, "POST": Action.CHANGE_LIMITS}
    row = RatingRow
    bodies = {"POST": NewRating}
    answers = {"POST": (202, ControlActRow)}
    confirmed = frozenset({"POST"})
    orders = {"newest": ("-valid_from", "-pk"), "oldest": ("valid_from", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[NodeRating]:
        node = get_object_or_404(nodes_seen_by(self.viewer.organisation), code=self.kwargs["code"])
        return ratings_seen_by(self.viewer.organisation).filter(node=node)

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ask for another rating of a node; it takes effect once a second person agrees."""
        asked = self.body()
        node = get_object_or_404(nodes_seen_by(self.viewer.organisation), code=self.kwargs["code"])
        act = ask_change_limits(
            organisation=self.viewer.organisation,
            reason=asked.pop("reason"),
            changes=[LimitChange(node=node.code, **asked)],
            asked_by_pk=self.viewer.user_pk,
            now=timezone.now(),
        )
        return Response(ControlActRow.show(act), status=202)


class NodeEvses(ListView):
    """EVSEs that hang at a node, by their pseudonyms."""

    actions = {"GET": Action.SEE_NETWORK}
    row = NodeEvseRow
    orders = {"id": ("pseudonym",)}

    def seen(self, asked: dict[str, Any]) -> QuerySet[EVSE]:
        organisation = self.viewer.organisation
        node = nodes_seen_by(organisation).filter(code=self.kwargs["code"]).first()
        if node is None:
            raise Http404
        return evses_seen_by(organisation, at=timezone.now()).filter(node=node)
