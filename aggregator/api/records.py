"""What was odd, what was done, by whom, and what is at work."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.models import ControlAct, Event, Finding, Job
from aggregator.queries import control_acts_seen_by, events_seen_by, findings_seen_by, jobs_seen_by
from aggregator.rest.fields import Choice, Code, Facts, OffsetDateTime, PublicId, Text
from aggregator.rest.idempotency import idempotent
from aggregator.rest.rows import ControlActRow
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView
from aggregator.services.control_acts import APPROVES, approve_control_act, refuse_control_act

DECIDES = frozenset(APPROVES.values())
ASKS = frozenset({Action.REQUEST_DISPATCH, Action.CHANGE_LIMITS, Action.RELEASE_STATEMENTS})


class FindingRow(Row):
    """An oddity that was kept and is shown; never a silent correction."""

    example = {
        "id": "finding_1",
        "code": "reading.above_rating",
        "severity": "info",
        "subject": "cpo-one-0001",
        "message": "2 half-hours above the rating of 7.4 kW, the highest at 7.9 kW",
        "details": {"n_reading": 2, "highest_kw": 7.9, "rated_kw": 7.4},
        "source": "batch:12",
        "noticed_at": "2026-11-22T07:15:00Z",
    }

    id = PublicId("finding", source="pk")
    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=Finding.Severity.choices)
    subject = serializers.CharField()
    message = serializers.CharField()
    details = Facts()
    source = serializers.CharField(help_text="what noticed it")  # type: ignore[assignment]
    noticed_at = OffsetDateTime()


class FindingQuery(ListQuery):
    code = Code(required=False)
    severity = Choice(choices=Finding.Severity.values, required=False)
    source = Code(max_length=100, required=False)  # type: ignore[assignment]


class Findings(ListView):
    """Findings on what is the organisation's own."""

    actions = {"GET": Action.SEE_FINDINGS}
    row, filters = FindingRow, FindingQuery
    orders = {"newest": ("-noticed_at", "-pk"), "oldest": ("noticed_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[Finding]:
        return findings_seen_by(self.viewer.organisation).filter(**asked)


class FindingDetail(DetailView):
    """One finding."""

    actions = {"GET": Action.SEE_FINDINGS}
    row, id_prefix = FindingRow, "finding"

    def find(self, *, to_change: bool = False) -> Finding:
        return get_object_or_404(findings_seen_by(self.viewer.organisation), pk=self.pk())


class JobRow(Row):
    """Work of the platform."""

    example = {
        "id": "job_1",
        "kind": "run_cycle",
        "payload": {"day": "2026-11-22"},
        "state": "done",
        "due_at": "2026-11-22T11:00:00Z",
        "attempts": 1,
        "max_attempts": 3,
        "outcome": {},
        "created_at": "2026-11-22T11:00:00Z",
        "finished_at": "2026-11-22T11:02:10Z",
    }

    id = PublicId("job", source="pk")
    kind = serializers.CharField()
    payload = Facts()
    state = serializers.ChoiceField(choices=Job.State.choices)
    due_at = OffsetDateTime()
    attempts = serializers.IntegerField()
    max_attempts = serializers.IntegerField()
    outcome = Facts()
    created_at = OffsetDateTime()
    finished_at = OffsetDateTime(allow_null=True)


class JobQuery(ListQuery):
    kind = Code(max_length=60, required=False)
    state = Choice(choices=Job.State.values, required=False)


class Jobs(ListView):
    """Jobs of the platform."""

    actions = {"GET": Action.SEE_JOBS}
    row, filters = JobRow, JobQuery
    orders = {"newest": ("-pk",), "oldest": ("pk",), "due": ("due_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[Job]:
        return jobs_seen_by(self.viewer.organisation).filter(**asked)


class JobDetail(DetailView):
    """One job."""

    actions = {"GET": Action.SEE_JOBS}
    row, id_prefix = JobRow, "job"

    def find(self, *, to_change: bool = False) -> Job:
        return get_object_or_404(jobs_seen_by(self.viewer.organisation), pk=self.pk())


class EventRow(Row):
    """One act in the event log, chained to the one before."""

    example = {
        "id": "event_1",
        "sequence": 1,
        "at": "2026-11-22T17:00:00Z",
        "actor": "person:amber.operator",
        "organisation": "dno",
        "action": "control_act.asked",
        "subject": "control act 1, change_limits: node NR-0001-F1",
        "reason": "fuse replaced",
        "before": None,
        "after": {"state": "pending"},
        "previous_sha256": "0" * 64,
        "sha256": "9f" * 32,
    }

    id = PublicId("event", source="sequence")
    sequence = serializers.IntegerField()
    at = OffsetDateTime()
    actor = serializers.CharField()
    organisation = serializers.CharField(source="organisation.code", allow_null=True, default=None)
    action = serializers.CharField()
    subject = serializers.CharField()
    reason = serializers.CharField()
    before = Facts(allow_null=True)
    after = Facts(allow_null=True)
    previous_sha256 = serializers.CharField()
    sha256 = serializers.CharField()


class EventQuery(ListQuery):
    action = Code(max_length=60, required=False)
    actor = Text(max_length=200, required=False)


class Events(ListView):
    """The event log: what was done for or by the organisation."""

    actions = {"GET": Action.SEE_LOG}
    row, filters = EventRow, EventQuery
    orders = {"newest": ("-sequence",), "oldest": ("sequence",)}

    def seen(self, asked: dict[str, Any]) -> QuerySet[Event]:
        return events_seen_by(self.viewer.organisation).filter(**asked)


class EventDetail(DetailView):
    """One event."""

    actions = {"GET": Action.SEE_LOG}
    row, id_prefix = EventRow, "event"

    def find(self, *, to_change: bool = False) -> Event:
        return get_object_or_404(events_seen_by(self.viewer.organisation), pk=self.pk())


class ControlActQuery(ListQuery):
    kind = Choice(choices=sorted(APPROVES), required=False)
    state = Choice(choices=ControlAct.State.values, required=False)


class ControlActs(ListView):
    """Control acts of the organisation."""

    actions = {"GET": Action.SEE_CONTROL_ACTS}
    row, filters = ControlActRow, ControlActQuery
    orders = {"newest": ("-asked_at", "-pk"), "oldest": ("asked_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[ControlAct]:
        return control_acts_seen_by(self.viewer.organisation).filter(**asked)


class ControlActDetail(DetailView):
    """One control act."""

    actions = {"GET": Action.SEE_CONTROL_ACTS}
    row, id_prefix = ControlActRow, "act"

    def find(self, *, to_change: bool = False) -> ControlAct:
        return get_object_or_404(control_acts_seen_by(self.viewer.organisation), pk=self.pk())


class Nothing(StrictSerializer):
    """An empty object."""

    example: ClassVar[Any] = {}


class Refusal(StrictSerializer):
    """Why an act is refused."""

    example = {"reason": "not while the primary is on one transformer"}

    reason = Text(min_length=3, max_length=500)


class Approval(ApiView):
    """The word of a second person."""

    actions = {"POST": DECIDES}
    confirmed = people_only = frozenset({"POST"})
    bodies = {"POST": Nothing}
    answers = {"POST": (200, ControlActRow)}
    id_prefix = "act"

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Approve a waiting control act, as another person than the one who asked."""
        self.body()
        act = approve_control_act(
            act_pk=self.pk(),
            organisation=self.viewer.organisation,
            user_pk=self.viewer.user_pk,
            now=timezone.now(),
        )
        return Response(ControlActRow.show(act))


class RefusalOfAct(ApiView):
    """The word against it."""

    actions = {"POST": DECIDES | ASKS}
    confirmed = people_only = frozenset({"POST"})
    bodies = {"POST": Refusal}
    answers = {"POST": (200, ControlActRow)}
    id_prefix = "act"

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse a waiting control act, or take back one's own."""
        act = refuse_control_act(
            act_pk=self.pk(),
            organisation=self.viewer.organisation,
            user_pk=self.viewer.user_pk,
            reason=self.body()["reason"],
            now=timezone.now(),
        )
        return Response(ControlActRow.show(act))
