"""Releasing a settlement's statements over the API."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request

from aggregator.core.permissions import Action
from aggregator.rest.fields import Text, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import StrictSerializer
from markets.api.acts import AskedActRow, AsksForAct
from markets.api.settlements import OfSettlement
from markets.api.shapes import SETTLEMENT
from markets.services.releases import ask_release_statements


class NewRelease(StrictSerializer):
    """Why statements are released."""

    example = {"reason": "January settled, no disputes open"}

    reason = Text(min_length=3, max_length=500, help_text="kept in the event log")


class Release(AsksForAct, OfSettlement):
    """The release of a settlement."""

    done: ClassVar[int] = 200
    actions = {"POST": Action.RELEASE_STATEMENTS}
    bodies = {"POST": NewRelease}
    answers = {"POST": (202, AskedActRow)}
    confirmed = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Release a settlement's statements: from then on they are final.

        Only the newest version of an event is released, once. As the thresholds stand a second person must agree.
        """
        settlement = self.settlement()
        act = ask_release_statements(
            organisation=self.viewer.organisation,
            settlement_pk=settlement.pk,
            reason=self.body()["reason"],
            asked_by_pk=self.viewer.user_pk,
            now=timezone.now(),
        )
        made = reverse("api:settlement_run", kwargs={"id": make_id(SETTLEMENT, settlement.pk)})
        return self.answer_act(act, made=made)
