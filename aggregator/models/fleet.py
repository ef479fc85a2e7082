"""Virtual EVSEs: what they are, who they are (apart), and which DSRSP they are enrolled with, from when to when."""

import uuid

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, RangeOperators
from django.db import models
from django.db.models import F, Q

from aggregator.models.network import NetworkNode, half_open
from aggregator.models.organisations import Organisation
from aggregator.models.readings import Meter
from aggregator.models.tenancy import TenantManager


def new_pseudonym() -> str:
    return f"evse_{uuid.uuid4().hex}"


class CSMS(models.Model):
    """A charge point operator's management system; it presents each consenting EVSE to us."""

    code = models.SlugField(unique=True, max_length=50)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.code


class EVSE(models.Model):
    """What dispatch needs to know of a virtual EVSE; nothing here says whose it is."""

    class Scenario(models.TextChoices):
        OFF_STREET_RESIDENTIAL = "off_street_residential", "Off-street residential"
        DESTINATION = "destination", "Destination"
        ON_STREET = "on_street", "On-street"

    pseudonym = models.CharField(max_length=60, unique=True, default=new_pseudonym)
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="evses")
    phases = models.PositiveSmallIntegerField(default=1)
    rated_kw = models.FloatField()
    min_current_a = models.FloatField(default=6.0)
    scenario = models.CharField(max_length=30, choices=Scenario, default=Scenario.OFF_STREET_RESIDENTIAL)
    meter = models.OneToOneField(Meter, on_delete=models.PROTECT, related_name="evse")
    firmware = models.CharField(max_length=80, blank=True)
    delay_max_s = models.PositiveSmallIntegerField(default=600, help_text="largest randomised delay it applies itself")

    objects = TenantManager("enrolments__dsrsp")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(phases__in=[1, 3]), name="evse_one_or_three_phases"),
            models.CheckConstraint(condition=Q(rated_kw__gt=0, rated_kw__lte=500), name="evse_rated_kw"),
            models.CheckConstraint(condition=Q(min_current_a__gte=6, min_current_a__lte=80), name="evse_min_current"),
            models.CheckConstraint(condition=Q(delay_max_s__lte=1800), name="evse_delay_max"),
        ]

    def __str__(self) -> str:
        return self.pseudonym


class EvseIdentity(models.Model):
    """Who a virtual EVSE is: kept apart so that network views never join it."""

    evse = models.OneToOneField(EVSE, on_delete=models.CASCADE, related_name="identity")
    csms = models.ForeignKey(CSMS, on_delete=models.PROTECT, related_name="identities")
    csms_ref = models.CharField(max_length=80, help_text="the EVSE's id at its CSMS")
    amsid = models.CharField(max_length=13, blank=True)
    boundary_msid = models.CharField(max_length=13, blank=True)
    gsp_group = models.CharField(max_length=2, blank=True)

    objects = TenantManager("evse__enrolments__dsrsp", while_enrolled="evse__enrolments")

    class Meta:
        verbose_name_plural = "EVSE identities"
        constraints = [models.UniqueConstraint(fields=["csms", "csms_ref"], name="identity_once_at_a_csms")]

    def __str__(self) -> str:
        return f"{self.csms_id}/{self.csms_ref}"


class Enrolment(models.Model):
    """The consumer's choice of DSRSP. Two at once are impossible, so a switch needs no new hardware."""

    class Service(models.TextChoices):
        ROUTINE = "routine", "Routine DSR"
        RESPONSE = "response", "Response DSR"

    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="enrolments")
    dsrsp = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="enrolments")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    consented_at = models.DateTimeField()
    consent_evidence = models.CharField(
        max_length=200, blank=True, help_text="reference or hash of the record of consent"
    )
    services = ArrayField(models.CharField(max_length=10, choices=Service), default=list)

    objects = TenantManager("dsrsp")

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="enrolment_one_dsrsp_at_a_time",
                expressions=[("evse", RangeOperators.EQUAL), (half_open("starts_at", "ends_at"), "&&")],
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="enrolment_ends_after_start"
            ),
            models.CheckConstraint(condition=Q(consented_at__lte=F("starts_at")), name="enrolment_consent_first"),
        ]

    def __str__(self) -> str:
        return f"{self.evse} with {self.dsrsp} from {self.starts_at:%Y-%m-%d}"
