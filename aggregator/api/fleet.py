"""A DSRSP's fleet: its EVSEs, who they are, and their enrolments."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from aggregator.core.permissions import Action
from aggregator.models import CSMS, EVSE, Enrolment, as_platform
from aggregator.queries import csms_seen_by, enrolments_seen_by, evses_seen_by, identities_seen_by, meters_seen_by
from aggregator.rest.fields import Choice, Code, Flag, Number, OffsetDateTime, PublicId, Text, Whole
from aggregator.rest.serializers import Row, StrictSerializer
from aggregator.rest.views import DetailView, ListQuery, ListView
from aggregator.services.change_fleet import change_evse, end_enrolment, lock_enrolment, lock_evse


class CsmsRow(Row):
    """A charge point operator's management system."""

    example = {"code": "cpo-one", "name": "CPO One"}

    code = serializers.CharField()
    name = serializers.CharField()


class IdentityRow(Row):
    """Who an EVSE is; shown to the DSRSP it is enrolled with now."""

    csms = serializers.CharField(source="csms.code")
    evse_id = serializers.CharField(source="csms_ref", help_text="its id at its CSMS")
    amsid = serializers.CharField(help_text="asset metering system id; empty where not stated")
    boundary_msid = serializers.CharField(help_text="boundary metering system id; empty where not stated")
    gsp_group = serializers.CharField()


class EvseRow(Row):
    """A virtual EVSE."""

    example = {
        "id": "evse_2f6c0b",
        "node": "NR-0001-F1-A",
        "phases": 1,
        "rated_kw": 7.4,
        "min_current_a": 6.0,
        "scenario": "off_street_residential",
        "firmware": "1.4.2",
        "delay_max_s": 600,
        "meter": "cpo-one-0001",
        "identity": {
            "csms": "cpo-one",
            "evse_id": "0001",
            "amsid": "",
            "boundary_msid": "",
            "gsp_group": "",
        },
    }

    id = serializers.CharField(source="pseudonym")
    node = serializers.CharField(source="node.code")
    phases = serializers.IntegerField()
    rated_kw = serializers.FloatField(help_text="import positive")
    min_current_a = serializers.FloatField()
    scenario = serializers.ChoiceField(choices=EVSE.Scenario.choices)
    firmware = serializers.CharField()
    delay_max_s = serializers.IntegerField(help_text="largest randomised delay it applies itself")
    meter = serializers.SerializerMethodField(help_text="code of its asset meter, null while that is another's")
    identity = serializers.SerializerMethodField(help_text="null before its enrolment is in force")

    def get_meter(self, evse: EVSE) -> str | None:
        code: str | None = self.context["meters"].get(evse.pk)
        return code

    @extend_schema_field(IdentityRow(allow_null=True))
    def get_identity(self, evse: EVSE) -> dict[str, Any] | None:
        identity = self.context["identities"].get(evse.pk)
        return IdentityRow.show(identity) if identity else None


class EvseChange(StrictSerializer):
    """What may be changed of an EVSE; leave out what stays."""

    example = {"firmware": "1.5.0", "delay_max_s": 900}

    rated_kw = Number(min_value=0.1, max_value=500, required=False)
    scenario = Choice(choices=EVSE.Scenario.values, required=False)
    firmware = Text(max_length=80, required=False)
    delay_max_s = Whole(max_value=1800, required=False)


class EvseQuery(ListQuery):
    node = Code(required=False, help_text="code of the feeder or phase it hangs on")
    scenario = Choice(choices=EVSE.Scenario.values, required=False)
    csms = Code(max_length=50, required=False)
    evse_id = Text(max_length=80, required=False, help_text="its id at its CSMS")


class Evses(ListView):
    """The DSRSP's own EVSEs, those whose enrolment is still to come too."""

    actions = {"GET": Action.SEE_FLEET}
    row, filters = EvseRow, EvseQuery
    orders = {"id": ("pseudonym",)}

    def seen(self, asked: dict[str, Any]) -> QuerySet[EVSE]:
        now, organisation = timezone.now(), self.viewer.organisation
        evses = evses_seen_by(organisation, at=now)
        if "node" in asked:
            evses = evses.filter(node__code=asked["node"])
        if "scenario" in asked:
            evses = evses.filter(scenario=asked["scenario"])
        if asked.keys() & {"csms", "evse_id"}:
            who = {"csms__code": asked.get("csms"), "csms_ref": asked.get("evse_id")}
            wanted = {path: value for path, value in who.items() if value is not None}
            known = identities_seen_by(organisation, at=now).filter(**wanted)
            evses = evses.filter(pk__in=known.values("evse"))
        return evses

    def show(self, rows: list[EVSE]) -> list[dict[str, Any]]:
        return EvseRow.show_all(rows, **_beside(self.viewer.organisation, rows))


class EvseDetail(DetailView):
    """One of the DSRSP's own EVSEs."""

    actions = {"GET": Action.SEE_FLEET, "PATCH": Action.REGISTER_FLEET}
    row = EvseRow
    bodies = {"PATCH": EvseChange}

    def find(self, *, to_change: bool = False) -> EVSE:
        return get_object_or_404(
            evses_seen_by(self.viewer.organisation, at=timezone.now()), pseudonym=self.kwargs["id"]
        )

    def show(self, thing: EVSE) -> dict[str, Any]:
        return EvseRow.show(thing, **_beside(self.viewer.organisation, [thing]))

    def patch(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Change an EVSE whose enrolment is in force."""
        changes, now = self.body(), timezone.now()
        pseudonym = self.find().pseudonym
        with transaction.atomic(), as_platform():
            evse = lock_evse(organisation=self.viewer.organisation, pseudonym=pseudonym, now=now)
            self.demand_match(evse)
            change_evse(evse=evse, organisation=self.viewer.organisation, changes=changes, now=now)
        return self.answer_with_etag(self.show(self.find()))


def _beside(organisation: Any, evses: list[EVSE]) -> dict[str, Any]:
    """Meters and identities of some EVSEs, each by the EVSE's key, as far as the organisation sees them."""
    pks = [evse.pk for evse in evses]
    meters = meters_seen_by(organisation).filter(evse__in=pks).values_list("evse", "code")
    identities = identities_seen_by(organisation, at=timezone.now()).filter(evse__in=pks)
    return {"meters": dict(meters), "identities": {one.evse_id: one for one in identities}}


class EnrolmentRow(Row):
    """A consumer's choice of DSRSP for an EVSE."""

    example = {
        "id": "enr_1",
        "evse": "evse_2f6c0b",
        "dsrsp": "flexco",
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": None,
        "consented_at": "2025-12-20T10:00:00Z",
        "consent_evidence": "form 4711",
        "services": ["routine"],
    }

    id = PublicId("enr", source="pk")
    evse = serializers.CharField(source="evse.pseudonym")
    dsrsp = serializers.CharField(source="dsrsp.code")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime(allow_null=True, help_text="left out; null while it stands")
    consented_at = OffsetDateTime()
    consent_evidence = serializers.CharField()
    services = serializers.ListField(child=serializers.ChoiceField(choices=Enrolment.Service.choices))


class EnrolmentEnd(StrictSerializer):
    """When an enrolment ends."""

    example = {"ends_at": "2026-12-01T00:00:00Z"}

    ends_at = OffsetDateTime(help_text="not before now, and not after the end it has")


class EnrolmentQuery(ListQuery):
    evse = Code(max_length=60, required=False)
    in_force = Flag(required=False, help_text="true: those that stand now or are to come")


class Enrolments(ListView):
    """The DSRSP's enrolments, past ones too."""

    actions = {"GET": Action.SEE_FLEET}
    row, filters = EnrolmentRow, EnrolmentQuery
    orders = {"newest": ("-starts_at", "-pk"), "oldest": ("starts_at", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[Enrolment]:
        enrolments = enrolments_seen_by(self.viewer.organisation)
        if "evse" in asked:
            enrolments = enrolments.filter(evse__pseudonym=asked["evse"])
        if "in_force" in asked:
            over = enrolments.filter(ends_at__lte=timezone.now())
            enrolments = enrolments.exclude(pk__in=over.values("pk")) if asked["in_force"] else over
        return enrolments


class EnrolmentDetail(DetailView):
    """One of the DSRSP's enrolments."""

    actions = {"GET": Action.SEE_FLEET, "PATCH": Action.REGISTER_FLEET}
    row, id_prefix = EnrolmentRow, "enr"
    bodies = {"PATCH": EnrolmentEnd}

    def find(self, *, to_change: bool = False) -> Enrolment:
        return get_object_or_404(enrolments_seen_by(self.viewer.organisation), pk=self.pk())

    def patch(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """End an enrolment: the consumer left, or is to leave."""
        asked, now = self.body(), timezone.now()
        pk = self.find().pk
        with transaction.atomic(), as_platform():
            enrolment = lock_enrolment(organisation=self.viewer.organisation, enrolment_pk=pk)
            self.demand_match(enrolment)
            end_enrolment(enrolment=enrolment, ends_at=asked["ends_at"], now=now)
        return self.answer_with_etag(self.show(self.find()))


class Systems(ListView):
    """CSMSs a registration can name."""

    actions = {"GET": Action.SEE_FLEET}
    row = CsmsRow
    orders = {"code": ("code",)}

    def seen(self, asked: dict[str, Any]) -> QuerySet[CSMS]:
        return csms_seen_by(self.viewer.organisation)


class SystemDetail(DetailView):
    """One CSMS."""

    actions = {"GET": Action.SEE_FLEET}
    row = CsmsRow

    def find(self, *, to_change: bool = False) -> CSMS:
        return get_object_or_404(csms_seen_by(self.viewer.organisation), code=self.kwargs["code"])
