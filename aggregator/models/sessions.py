"""Charging sessions as they happened: one EV at one EVSE, from plug-in to plug-out."""

from django.db import models
from django.db.models import F, Q

from aggregator.models.batches import Batch
from aggregator.models.fleet import EVSE
from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager


class ChargingSession(models.Model):
    """A sound or odd-but-usable session; what could not be used is a finding of its batch."""

    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="sessions")
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="+", help_text="the DSRSP then"
    )
    connector = models.CharField(max_length=20, blank=True)
    session_ref = models.CharField(max_length=80, help_text="the source's own id, or plug-in time where it has none")
    plug_in_at = models.DateTimeField()
    plug_out_at = models.DateTimeField()
    energy_kwh = models.FloatField(help_text="drawn in the session; for a coming one, asked")
    received_at = models.DateTimeField()
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["plug_in_at"], name="session_by_plug_in")]
        constraints = [
            models.UniqueConstraint(fields=["evse", "connector", "session_ref", "plug_in_at"], name="session_once"),
            models.CheckConstraint(condition=Q(plug_out_at__gt=F("plug_in_at")), name="session_ends_after_start"),
            models.CheckConstraint(condition=Q(energy_kwh__gte=0, energy_kwh__lte=1000), name="session_energy"),
        ]

    def __str__(self) -> str:
        return f"{self.session_ref} at {self.evse_id}"
