"""Operations made for tests, under addresses of their own: what every operation shares, without a resource's rules."""

import time
from typing import ClassVar

from django.db import transaction
from django.http import Http404
from django.urls import include, path
from rest_framework import serializers
from rest_framework.response import Response

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.rest.fields import Choice, Text, Whole
from aggregator.rest.idempotency import idempotent
from aggregator.rest.permissions import EVERY_VIEWER
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.urls import last_patterns
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView


class NotNow(FlexError):
    code = "test.not_now"


class Asked(StrictSerializer):
    name = Text(max_length=50)
    how = Choice(choices=["well", "refused", "crash", "slow"], default="well")


class ThingRow(Row):
    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()


class ThingQuery(ListQuery):
    kind = Choice(choices=["dno", "dsrsp"], required=False)
    n = Whole(max_value=5, required=False)


class Things(ListView):
    actions = {"GET": Action.SEE_ORGANISATIONS, "POST": Action.REGISTER_FLEET}
    row, filters = ThingRow, ThingQuery
    orders = {"code": ("code",), "kind": ("kind", "-name", "pk"), "latest": ("-pk",)}
    bodies = {"POST": Asked}
    n_done: ClassVar[list[str]] = []

    def seen(self, asked):
        asked.pop("n", None)
        return Organisation.objects.filter(**asked)

    @idempotent
    def post(self, request, *args, **kwargs):
        asked = self.body()
        with transaction.atomic():
            Things.n_done.append(asked["name"])
            Organisation.objects.create(code=asked["name"], name=asked["name"], kind="dno")
            if asked["how"] == "slow":
                time.sleep(0.5)
            if asked["how"] == "crash":
                raise ZeroDivisionError
            if asked["how"] == "refused":
                raise NotNow("asked too early, found nothing", name=asked["name"])
        return Response({"name": asked["name"]}, status=202, headers={"Location": f"/things/{asked['name']}/"})


class Thing(DetailView):
    actions = {"GET": Action.SEE_ORGANISATIONS, "PATCH": Action.REGISTER_FLEET}
    row = ThingRow
    bodies = {"PATCH": Asked}

    def find(self, *, to_change=False):
        thing = Organisation.objects.filter(code=self.kwargs["code"]).first()
        if thing is None:
            raise Http404
        return thing

    def patch(self, request, *args, **kwargs):
        asked, thing = self.body(), self.find(to_change=True)
        self.demand_match(thing)
        Organisation.objects.filter(pk=thing.pk).update(name=asked["name"])
        return self.answer_with_etag(self.show(self.find()))


class Forgotten(ApiView):
    actions = {"POST": Action.SEE_ORGANISATIONS}

    def get(self, request, *args, **kwargs):
        return Response({"secret": True})


class Fresh(ApiView):
    actions = {"POST": EVERY_VIEWER, "PUT": frozenset({Action.SEE_JOBS, Action.SEE_FLEET})}
    confirmed = frozenset({"POST"})
    people_only = frozenset({"PUT"})

    def post(self, request, *args, **kwargs):
        return Response({})

    def put(self, request, *args, **kwargs):
        return Response({})


operations = [
    path("things/", Things.as_view()),
    path("things/<str:code>/", Thing.as_view()),
    path("forgotten/", Forgotten.as_view()),
    path("fresh/", Fresh.as_view()),
]
urlpatterns = [path("api/test/", include(operations)), path("api/", include(last_patterns))]
handler500 = "flex.errors.server_error"
handler404 = "flex.errors.page_not_found"
