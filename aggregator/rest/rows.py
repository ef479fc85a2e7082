"""Shapes that operations of several apps answer with."""

from rest_framework import serializers

from aggregator.models import ControlAct
from aggregator.rest.fields import Facts, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row


class ControlActRow(Row):
    """Something asked for that moves power, limits or money, and who agreed to it."""

    example = {
        "id": "act_1",
        "kind": "change_limits",
        "organisation": "dno",
        "subject": "node NR-0001-F1",
        "state": "pending",
        "reason": "fuse replaced",
        "figures": {"n_limits": 1},
        "exceeded": ["n_limits"],
        "payload": {"node": "NR-0001-F1", "rating_kva": 150.0},
        "asked_as": "person:amber.operator",
        "asked_at": "2026-11-22T17:00:00Z",
        "expires_at": "2026-11-22T18:00:00Z",
        "decided_by": None,
        "decided_at": None,
        "outcome": {},
    }

    id = PublicId("act", source="pk")
    kind = serializers.CharField()
    organisation = serializers.CharField(source="organisation.code")
    subject = serializers.CharField()
    state = serializers.ChoiceField(choices=ControlAct.State.choices)
    reason = serializers.CharField()
    figures = Facts()
    exceeded = serializers.ListField(child=serializers.CharField(), help_text="thresholds it goes over")
    payload = Facts()
    asked_as = serializers.CharField()
    asked_at = OffsetDateTime()
    expires_at = OffsetDateTime()
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True, default=None)
    decided_at = OffsetDateTime(allow_null=True)
    outcome = Facts()
