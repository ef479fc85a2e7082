"""Work to be done, as rows. A broker only wakes; a row that nobody leases is found by the next sweep."""

from django.db import models
from django.db.models import Q


class Job(models.Model):
    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        LEASED = "leased", "Leased"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    kind = models.CharField(max_length=60)
    payload = models.JSONField(default=dict)
    unique_key = models.CharField(max_length=200, null=True, unique=True, help_text="asking twice is asking once")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    leased_by = models.CharField(max_length=120, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    outcome = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(state__in=["queued", "leased"]), name="job_open")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "leased", "done", "failed"]), name="job_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="leased") | Q(leased_until__isnull=False), name="job_lease_has_an_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.state})"
