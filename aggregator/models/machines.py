"""API clients, and what came through the API that must be answered the same way twice."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from aggregator.models.batches import Batch
from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager


class MachineClient(models.Model):
    """An OAuth 2 application that acts for one organisation within its scopes."""

    application = models.OneToOneField(
        settings.OAUTH2_PROVIDER_APPLICATION_MODEL, on_delete=models.CASCADE, related_name="machine"
    )
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="machines")
    scopes = ArrayField(models.CharField(max_length=40))
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"client of {self.organisation}"


class IdempotentRequest(models.Model):
    """The answer to a request that carried an Idempotency-Key, kept so that a repeat gets the same one."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request_sha256 = models.CharField(max_length=64, help_text="of method, path and body")
    status = models.PositiveSmallIntegerField(null=True, help_text="empty while the first one is still at work")
    content_type = models.CharField(max_length=100, blank=True)
    headers = models.JSONField(default=dict)
    content = models.BinaryField(default=bytes)
    asked_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"answer to {self.key}"


class FleetUpload(models.Model):
    """A file of EVSEs brought to the browser: looked at first, registered when its bringer says so."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    file_name = models.CharField(max_length=300)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    uploaded_at = models.DateTimeField()
    batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT, related_name="+")

    objects = TenantManager()

    def __str__(self) -> str:
        return self.file_name
