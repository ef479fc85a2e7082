"""Who asks, and who takes part."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.queries import organisations_seen_by
from aggregator.rest.fields import Choice, OffsetDateTime
from aggregator.rest.permissions import EVERY_VIEWER
from aggregator.rest.serializers import Row
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView


class OrganisationRow(Row):
    """An organisation that takes part."""

    example = {"code": "flexco", "name": "Flexco", "kind": "dsrsp"}

    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Organisation.Kind.choices)


class MeRow(Row):
    """The viewer of this request."""

    example = {
        "actor": "machine:9fK2",
        "organisation": OrganisationRow.example,
        "role": None,
        "actions": ["see_fleet", "see_organisations", "see_sessions"],
        "confirmed_at": "2026-11-22T17:00:00Z",
    }

    actor = serializers.CharField(help_text="name in the event log: person:… or machine:…")
    organisation = OrganisationRow()
    role = serializers.CharField(allow_null=True, help_text="null for a machine")
    actions = serializers.SerializerMethodField()
    confirmed_at = OffsetDateTime(allow_null=True, help_text="when it was last proved who this is")

    def get_actions(self, viewer: Any) -> list[str]:
        return sorted(viewer.actions)


class OrganisationQuery(ListQuery):
    kind = Choice(choices=Organisation.Kind.values, required=False)


class Me(ApiView):
    """Who this request is made by, for whom, and what they may do."""

    actions = {"GET": EVERY_VIEWER}
    answers = {"GET": (200, MeRow)}

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return Response(MeRow.show(self.viewer))


class Organisations(ListView):
    """Organisations that take part."""

    actions = {"GET": Action.SEE_ORGANISATIONS}
    row, filters = OrganisationRow, OrganisationQuery
    orders = {"code": ("code",)}

    def seen(self, asked: dict[str, Any]) -> Any:
        return organisations_seen_by(self.viewer.organisation).filter(**asked)


class OrganisationDetail(DetailView):
    """One organisation."""

    actions = {"GET": Action.SEE_ORGANISATIONS}
    row = OrganisationRow

    def find(self, *, to_change: bool = False) -> Organisation:
        return get_object_or_404(organisations_seen_by(self.viewer.organisation), code=self.kwargs["code"])
