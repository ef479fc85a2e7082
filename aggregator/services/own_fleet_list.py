"""A DSRSP's own fleet as it looks it up: who each EVSE is, since when it is enrolled, when it last charged."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Prefetch, Q, QuerySet, Subquery

from aggregator.models import EVSE, Enrolment, Organisation
from aggregator.queries import enrolments_seen_by, evses_seen_by, meters_seen_by, sessions_seen_by


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """What is looked for; empty looks for everything.

    Attributes:
        text: part of the id at the CSMS, of the pseudonym or of the meter's code.
    """

    text: str = ""
    node: str = ""
    csms: str = ""
    scenario: str = ""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One EVSE; ``services`` and the times of the enrolment in force, else of the next.

    Attributes:
        csms, csms_ref, meter: empty until the enrolment is in force; till then it is another's to know.
    """

    pseudonym: str
    csms: str
    csms_ref: str
    node: str
    rated_kw: float
    phases: int
    scenario: str
    meter: str
    services: str
    enrolled_from: datetime
    enrolled_to: datetime | None
    last_plug_in_at: datetime | None


def own_evses(*, organisation: Organisation, at: datetime, wanted: FleetFilter) -> QuerySet[EVSE]:
    """The organisation's EVSEs at ``at`` or later, by CSMS and id there, with all that ``fleet_row`` reads."""
    sessions = sessions_seen_by(organisation).filter(evse=OuterRef("pk")).order_by("-plug_in_at")
    meter = meters_seen_by(organisation).filter(pk=OuterRef("meter"))
    evses = (
        evses_seen_by(organisation, at=at)
        .select_related("node", "identity__csms")
        .annotate(
            meter_code=Subquery(meter.values("code")[:1]),
            last_plug_in_at=Subquery(sessions.values("plug_in_at")[:1]),
        )
    )
    if wanted.text:
        evses = evses.filter(
            Q(identity__csms_ref__icontains=wanted.text)
            | Q(pseudonym__icontains=wanted.text)
            | Q(meter_code__icontains=wanted.text)
        )
    exact = {"node__code": wanted.node, "identity__csms__code": wanted.csms, "scenario": wanted.scenario}
    return (
        evses.filter(**{name: value for name, value in exact.items() if value})
        .prefetch_related(Prefetch("enrolments", enrolments_seen_by(organisation).order_by("starts_at"), to_attr="own"))
        .order_by("identity__csms__code", "identity__csms_ref", "pk")
    )


def fleet_row(evse: EVSE, *, at: datetime) -> FleetRow:
    """One EVSE of ``own_evses`` as plain values."""
    own: list[Enrolment] = evse.own  # type: ignore[attr-defined]  # prefetched by own_evses
    enrolment = next((one for one in own if one.ends_at is None or one.ends_at > at), own[-1])
    identity = getattr(evse, "identity", None)
    return FleetRow(
        pseudonym=evse.pseudonym,
        csms=identity.csms.code if identity else "",
        csms_ref=identity.csms_ref if identity else "",
        node=evse.node.code,
        rated_kw=evse.rated_kw,
        phases=evse.phases,
        scenario=evse.get_scenario_display(),
        meter=evse.meter_code or "",  # type: ignore[attr-defined]  # annotated by own_evses
        services=", ".join(enrolment.services),
        enrolled_from=enrolment.starts_at,
        enrolled_to=enrolment.ends_at,
        last_plug_in_at=evse.last_plug_in_at,  # type: ignore[attr-defined]  # annotated by own_evses
    )
