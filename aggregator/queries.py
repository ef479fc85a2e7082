"""Read-only querysets for pages and the API.

``…_seen_by(organisation)`` is the first tenant wall: what one organisation may see, and nothing where its kind has
no business with such rows. Row-level security stands behind it (``aggregator.models.acting``).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, Sum, Value, When

from aggregator.models import (
    CSMS,
    EVSE,
    AvailabilityForecast,
    ChargingSession,
    ControlAct,
    Enrolment,
    Event,
    EvseForecast,
    EvseIdentity,
    Finding,
    GroupForecast,
    Job,
    MachineClient,
    Membership,
    Meter,
    MeterDay,
    NetworkNode,
    NodeRating,
    Organisation,
    Tariff,
    as_platform,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

SEVERITIES = ("info", "warning", "alarm")


def memberships_of(user: "AbstractBaseUser | AnonymousUser") -> QuerySet[Membership]:
    """Organisations one person acts for, in the order of their codes."""
    return Membership.objects.filter(user=user.pk).select_related("organisation").order_by("organisation__code")


def people_of(organisation: Organisation) -> QuerySet[Membership]:
    """Who acts for one organisation, by name."""
    return Membership.objects.filter(organisation=organisation).select_related("user").order_by("user__username")


def machines_of(organisation: Organisation) -> QuerySet[MachineClient]:
    """One organisation's API clients, by name."""
    machines = MachineClient.objects.filter(organisation=organisation)
    return machines.select_related("application").order_by("application__name")


def nodes_of(dno: Organisation) -> QuerySet[NetworkNode]:
    """One DNO's network."""
    return NetworkNode.objects.filter(organisation=dno).order_by("code")


def worst_severity_by_code(sources: Iterable[str]) -> dict[str, str]:
    """Most severe finding of each code that these sources noticed, whoever it concerns: no subject is told."""
    rank = Case(*(When(severity=name, then=Value(index)) for index, name in enumerate(SEVERITIES)))
    found = Finding.objects.across_tenants().filter(source__in=list(sources)).annotate(rank=rank)
    worst: dict[str, str] = {}
    with as_platform():  # a code is as severe for all as it was for the worst off; only code and severity are read
        for code, index in found.order_by("code", "rank").values_list("code", "rank").distinct():
            worst[code] = SEVERITIES[index]
    return worst


def findings_by_code(organisation: Organisation, sources: Iterable[str]) -> dict[str, int]:
    """Count one organisation's own findings from these sources."""
    found = Finding.objects.for_tenant(organisation).filter(source__in=list(sources)).values("code")
    counts = found.annotate(n=Sum(Value(1), output_field=IntegerField())).order_by("code")
    return {row["code"]: row["n"] for row in counts}


def organisations_seen_by(organisation: Organisation) -> QuerySet[Organisation]:
    """Who takes part; a DSRSP is not told of its competitors, nor a market operator of other ones."""
    everyone = Organisation.objects.all()
    if organisation.kind in (Organisation.Kind.DNO, Organisation.Kind.PLATFORM):
        return everyone
    return everyone.filter(~Q(kind=organisation.kind) | Q(pk=organisation.pk))


def nodes_seen_by(organisation: Organisation) -> QuerySet[NetworkNode]:
    """Nodes of a DNO's own network; a DSRSP sees every node's code and name, to register EVSEs at."""
    nodes = NetworkNode.objects.select_related("organisation", "parent")
    if organisation.kind in (Organisation.Kind.DSRSP, Organisation.Kind.PLATFORM):
        return nodes
    return nodes.filter(organisation=organisation)


def ratings_seen_by(organisation: Organisation) -> QuerySet[NodeRating]:
    """What nodes may carry: the DNO's own, or all for the platform."""
    ratings = NodeRating.objects.select_related("node")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return ratings
    return ratings.filter(node__organisation=organisation)


def csms_seen_by(organisation: Organisation) -> QuerySet[CSMS]:
    """Management systems a DSRSP can name in a registration: a shared catalogue, closed to others but the platform."""
    is_open = organisation.kind in (Organisation.Kind.DSRSP, Organisation.Kind.PLATFORM)
    return CSMS.objects.all() if is_open else CSMS.objects.none()


def evses_seen_by(organisation: Organisation, *, at: datetime) -> QuerySet[EVSE]:
    """EVSEs: a DSRSP's own (enrolled at ``at`` or later), a DNO's by where they hang, all for the platform."""
    if organisation.kind == Organisation.Kind.DSRSP:
        own = _enrolments_from(organisation, at).filter(evse=OuterRef("pk"))
        return EVSE.objects.across_tenants().filter(Exists(own)).select_related("node")
    evses = EVSE.objects.across_tenants().select_related("node")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return evses
    return evses.filter(node__organisation=organisation)


def identities_seen_by(organisation: Organisation, *, at: datetime) -> QuerySet[EvseIdentity]:
    """Who an EVSE is: for the DSRSP it is enrolled with at ``at``, and for no former or coming one."""
    own = _enrolments_from(organisation, at).filter(evse=OuterRef("evse"), starts_at__lte=at)
    return EvseIdentity.objects.across_tenants().filter(Exists(own)).select_related("csms")


def _enrolments_from(organisation: Organisation, at: datetime) -> QuerySet[Enrolment]:
    return Enrolment.objects.for_tenant(organisation).filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at))


def enrolments_seen_by(organisation: Organisation) -> QuerySet[Enrolment]:
    """A DSRSP's own enrolments, past ones too."""
    return Enrolment.objects.for_tenant(organisation).select_related("evse", "dsrsp")


def sessions_seen_by(organisation: Organisation) -> QuerySet[ChargingSession]:
    """Charging sessions of the time an EVSE was with this DSRSP."""
    return ChargingSession.objects.for_tenant(organisation).select_related("evse")


def meters_seen_by(organisation: Organisation) -> QuerySet[Meter]:
    """An organisation's own meters."""
    return Meter.objects.for_tenant(organisation).select_related("node")


def meter_days_seen_by(organisation: Organisation) -> QuerySet[MeterDay]:
    """Readings an organisation sent, or that were measured while the meter was its own."""
    return MeterDay.objects.for_tenant(organisation)


def tariffs_seen_by(_organisation: Organisation) -> QuerySet[Tariff]:
    """Tariffs are published: everybody sees them all."""
    return Tariff.objects.all()


def forecasts_seen_by(organisation: Organisation) -> QuerySet[AvailabilityForecast]:
    """Forecasts of a DNO's areas, or those that speak of a DSRSP's EVSEs."""
    forecasts = AvailabilityForecast.objects.select_related("area")
    if organisation.kind == Organisation.Kind.PLATFORM:
        return forecasts
    if organisation.kind == Organisation.Kind.DSRSP:
        own = EvseForecast.objects.for_tenant(organisation).filter(forecast=OuterRef("pk"))
        return forecasts.filter(Exists(own))
    return forecasts.filter(area__organisation=organisation)


def evse_forecasts_seen_by(organisation: Organisation) -> QuerySet[EvseForecast]:
    """What is expected of a DSRSP's own EVSEs: it tells when people are at home."""
    return EvseForecast.objects.for_tenant(organisation).select_related("evse")


def group_forecasts_seen_by(organisation: Organisation) -> QuerySet[GroupForecast]:
    """Numbers plugged in, of groups that are the organisation's own."""
    return GroupForecast.objects.for_tenant(organisation)


def findings_seen_by(organisation: Organisation) -> QuerySet[Finding]:
    """Findings on what is the organisation's own; the platform sees all."""
    if organisation.kind == Organisation.Kind.PLATFORM:
        return Finding.objects.across_tenants()
    return Finding.objects.for_tenant(organisation)


def worst_first(findings: QuerySet[Finding]) -> QuerySet[Finding]:
    """Findings in the order a person should read them: alarms first, the newest of each first."""
    rank = Case(*(When(severity=name, then=Value(index)) for index, name in enumerate(SEVERITIES)))
    return findings.order_by(rank.desc(), "-noticed_at", "-pk")


def jobs_seen_by(organisation: Organisation) -> QuerySet[Job]:
    """Jobs are the platform's."""
    return Job.objects.all() if organisation.kind == Organisation.Kind.PLATFORM else Job.objects.none()


def events_seen_by(organisation: Organisation) -> QuerySet[Event]:
    """What was done for or by an organisation, newest first; the platform sees the whole log."""
    if organisation.kind == Organisation.Kind.PLATFORM:
        return Event.objects.across_tenants().select_related("organisation").order_by("-sequence")
    return Event.objects.for_tenant(organisation).select_related("organisation").order_by("-sequence")


def control_acts_seen_by(organisation: Organisation) -> QuerySet[ControlAct]:
    """An organisation's own control acts, newest first; the platform sees all."""
    if organisation.kind == Organisation.Kind.PLATFORM:
        acts = ControlAct.objects.across_tenants()
    else:
        acts = ControlAct.objects.for_tenant(organisation)
    return acts.select_related("organisation", "asked_by", "decided_by").order_by("-asked_at", "-pk")


def n_acts_to_decide(organisation: Organisation, *, kinds: Iterable[str], user_pk: int | None, now: datetime) -> int:
    """Control acts of these kinds that wait for a second person, who is not the one that asked."""
    waiting = ControlAct.objects.for_tenant(organisation).filter(
        kind__in=list(kinds), state=ControlAct.State.PENDING, expires_at__gt=now
    )
    return waiting.exclude(asked_by=user_pk).count()
