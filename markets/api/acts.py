"""What asking for a control act answers: done at once, or waiting for a second person."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from aggregator.core.permissions import Role, role_actions
from aggregator.models import ControlAct, Organisation
from aggregator.rest.fields import Facts, OffsetDateTime, PublicId
from aggregator.rest.schema import Operation
from aggregator.rest.serializers import Row
from aggregator.rest.views import ApiView
from aggregator.services.control_acts import APPROVES
from markets.api.shapes import ACT

PENDING = 202
APPROVERS = "roles that may agree, held by another person than the one who asked"


class ActFiguresRow(Row):
    """What an act moves at most; 0 where it moves nothing of the kind."""

    example = {"total_mw": 0.5, "mw_per_minute": 0.1, "n_evse": 60, "n_limits": 0, "n_statements": 0}

    total_mw = serializers.FloatField(help_text="power it may move at once")
    mw_per_minute = serializers.FloatField(help_text="how fast")
    n_evse = serializers.IntegerField(help_text="EVSEs whose power it may move, in whole groups of five")
    n_limits = serializers.IntegerField(help_text="network nodes whose limits it changes")
    n_statements = serializers.IntegerField(help_text="statements it makes final")


class AskedActRow(Row):
    """A control act that was asked for."""

    example = {
        "id": "act_1",
        "kind": "request_dispatch",
        "subject": "EVENING/1 at S1",
        "state": "pending",
        "reason": "transformer at Mill Lane out for repair",
        "figures": ActFiguresRow.example,
        "exceeded": ["total_mw"],
        "approvers": ["control_room_supervisor"],
        "asked_as": "person:dnone.operator",
        "asked_at": "2026-01-13T17:00:00Z",
        "expires_at": "2026-01-13T18:00:00Z",
        "outcome": {},
    }

    id = PublicId(ACT, source="pk")
    kind = serializers.CharField()
    subject = serializers.CharField()
    state = serializers.ChoiceField(
        choices=ControlAct.State.choices, help_text="done, or pending until a second person agrees"
    )
    reason = serializers.CharField()
    figures = ActFiguresRow()
    exceeded = serializers.ListField(
        child=serializers.CharField(), help_text="figures above what one person may move; empty: nobody else is needed"
    )
    approvers = serializers.SerializerMethodField(help_text=APPROVERS)
    asked_as = serializers.CharField()
    asked_at = OffsetDateTime()
    expires_at = OffsetDateTime(help_text="a pending act waits until then")
    outcome = Facts(help_text="what was done; empty while it is pending")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_approvers(self, act: ControlAct) -> list[str]:
        return approvers(act.kind, act.organisation) if act.exceeded else []


def approvers(kind: str, organisation: Organisation) -> list[str]:
    """Roles of an organisation that may agree to a kind of act."""
    return [str(role) for role in Role if APPROVES[kind] in role_actions(role, organisation.kind)]


class ActOperation(Operation):
    """An operation whose POST asks for a control act: the view's ``done`` is its status where it is done at once."""

    view: Any

    def get_response_serializers(self) -> Any:
        answers = super().get_response_serializers()
        if self.method == "POST":
            answers[PENDING] = OpenApiResponse(AskedActRow, description="It waits for a second person.")
            answers[self.view.done] = OpenApiResponse(AskedActRow, description="Done at once.")
        return answers

    def get_examples(self) -> list[OpenApiExample]:
        found = super().get_examples()
        if self.method == "POST":
            done = {**AskedActRow.example, "state": "done", "exceeded": [], "approvers": []}
            status = [str(self.view.done)]
            found.append(OpenApiExample("done", value=done, response_only=True, status_codes=status))
        return found

    def _header_parameters(self) -> list[OpenApiParameter]:
        found = super()._header_parameters()
        if self.method == "POST":
            said = "where the act stands, or what it made"
            statuses = [PENDING, self.view.done]
            found.append(
                OpenApiParameter("Location", str, OpenApiParameter.HEADER, description=said, response=statuses)
            )
        return found


class AsksForAct(ApiView):
    """A view whose POST asks for a control act.

    Attributes:
        done: status of an act that is done at once.
    """

    schema = ActOperation()
    done: ClassVar[int] = 201

    def answer_act(self, act: ControlAct, *, made: str) -> HttpResponse:
        """The act as it stands; ``made`` is the address of what it made, once it is done."""
        is_done = act.state == ControlAct.State.DONE
        where = made if is_done else reverse("api:control_act", kwargs={"id": f"{ACT}_{act.pk}"})
        return Response(AskedActRow.show(act), status=self.done if is_done else PENDING, headers={"Location": where})
