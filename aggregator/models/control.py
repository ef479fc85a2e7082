"""Control acts: what a person or machine asked for that moves power, limits or money, and who agreed to it."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager


class ControlAct(models.Model):
    """One act: done at once below every threshold, after a second person's approval above any."""

    class State(models.TextChoices):
        PENDING = "pending", "Waits for a second person"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"
        EXPIRED = "expired", "Expired"
        FAILED = "failed", "Failed"

    kind = models.CharField(max_length=40, help_text="which of settings.CONTROL_ACTS does it")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="control_acts")
    subject = models.CharField(max_length=200)
    payload = models.JSONField()
    figures = models.JSONField(help_text="MW, MW a minute, EVSEs, limits and statements it touches")
    exceeded = ArrayField(models.CharField(max_length=40), default=list, help_text="thresholds it goes over")
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    asked_as = models.CharField(max_length=200, help_text="the actor, person or machine")
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    outcome = models.JSONField(default=dict)

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["organisation", "-asked_at"], name="control_act_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "done", "refused", "expired", "failed"]), name="control_act_state"
            ),
            # A second person is another person, whatever code asks.
            models.CheckConstraint(
                condition=~Q(state="done")
                | Q(exceeded=[])
                | (Q(decided_by__isnull=False) & (Q(asked_by__isnull=True) | ~Q(decided_by=F("asked_by")))),
                name="control_act_two_people",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("asked_at")), name="control_act_expires_later"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject} ({self.state})"
