"""Why a half-hour fell short of what was instructed, and what came back after the event."""

from django.db import models
from django.db.models import F, Q

from aggregator.models import TenantManager
from markets.models.statements import Statement


class ShortfallCause(models.Model):
    """One cause's part in what a statement's half-hour fell short by; a half-hour's parts add up to its shortfall."""

    class Cause(models.TextChoices):
        OVERRIDE = "override", "Consumers overrode"
        OFFLINE = "offline", "EVSEs were not reached"
        UNPLUGGED = "unplugged", "No car was plugged in"
        NETWORK_LIMIT = "network_limit", "A network limit was used up"
        MISSING_READS = "missing_reads", "Meters were not read"
        OTHER = "other", "Other causes"

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="causes")
    starts_at = models.DateTimeField(help_text="of the half-hour")
    cause = models.CharField(max_length=20, choices=Cause)
    n_evse = models.PositiveIntegerField(help_text="EVSEs it was seen at")
    energy_kwh = models.DecimalField(max_digits=14, decimal_places=4)

    objects = TenantManager("statement__organisation")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["statement", "starts_at", "cause"], name="cause_once_a_period"),
            models.CheckConstraint(condition=Q(energy_kwh__gte=0), name="cause_energy_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.cause} at {self.starts_at}"


class ReboundPeriod(models.Model):
    """What a statement's portfolio drew beyond its baseline in a half-hour after the event; it is paid by nobody."""

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="rebounds")
    starts_at = models.DateTimeField()
    baseline_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    metered_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    rebound_kwh = models.DecimalField(max_digits=14, decimal_places=4, help_text="against the direction asked")

    objects = TenantManager("statement__organisation")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["statement", "starts_at"], name="rebound_once_a_period"),
            models.CheckConstraint(
                condition=Q(rebound_kwh=F("metered_kwh") - F("baseline_kwh"))
                | Q(rebound_kwh=F("baseline_kwh") - F("metered_kwh")),
                name="rebound_is_the_difference",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rebound_kwh} kWh at {self.starts_at}"
