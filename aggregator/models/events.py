"""The event log: who did what to what, and why. Rows are only ever added, each chained to the one before."""

from django.db import models

from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager


class Event(models.Model):
    """One act. ``sha256`` covers every other column and the hash of the event before it."""

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200, help_text="person:…, machine:…, command:… or job:…")
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    reason = models.CharField(max_length=500, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    previous_sha256 = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64, unique=True)

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["organisation", "-sequence"], name="event_newest_of_one")]
        constraints = [
            models.CheckConstraint(condition=models.Q(sequence__gte=1), name="event_sequence_from_one"),
        ]

    def __str__(self) -> str:
        return f"event {self.sequence}: {self.action} of {self.subject}"
