"""What the rows of trading share: where a thing stands, what its reader may do with it, and acts with a reason."""

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.rest.fields import Text
from aggregator.rest.serializers import Row, StrictSerializer
from markets.core.trading import BUYER, DSRSP
from markets.services.orders_shared import Traded, acts_open, role_of, standing

LARGEST_KW = 1_000_000.0
MOST_PERIODS = 48
REFERENCE = r"^[A-Za-z0-9]([A-Za-z0-9_.:/ -]*[A-Za-z0-9])?$"
PRICE = r"^[0-9]{1,8}(\.[0-9]{1,2})?$"
FACTOR = r"^(0\.[0-9]{1,2}|1(\.0{1,2})?)$"
POWER = "kW by half-hour from starts_at, positive in the market's direction"
ACTS = "what the reader's organisation may do with it now"


class Reason(StrictSerializer):
    """Why."""

    example = {"reason": "feeder back in normal running"}

    reason = Text(min_length=3, max_length=500, help_text="kept in the event log")


class TradedRow(Row):
    """Something with a state machine: its state by now, whether or not anybody wrote it down."""

    state = serializers.SerializerMethodField()
    acts = serializers.SerializerMethodField(help_text=ACTS)

    def get_state(self, row: Traded) -> str:
        return standing(row, now=self._now())

    def get_acts(self, row: Traded) -> list[str]:
        reader: Organisation = self.context["reader"]
        role = role_of(reader)
        part = {BUYER: row.buyer_id, DSRSP: getattr(row, "organisation_id", reader.pk)}[role]
        return list(acts_open(row, role=role, now=self._now())) if part == reader.pk else []

    def _now(self) -> datetime:
        now: datetime = self.context.get("now") or timezone.now()
        return now


class OfViewer:
    """What shows traded things to its viewer."""

    viewer: Any
    row: ClassVar[Any]

    def show(self, rows: Any) -> Any:
        show = self.row.show_all if isinstance(rows, list) else self.row.show
        return show(rows, reader=self.viewer.organisation, now=timezone.now())


TRADES = frozenset({Action.BUY_FLEX, Action.OFFER_FLEX})
