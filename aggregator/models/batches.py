"""What came in together, and what was odd about it."""

from django.db import models

from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager


class Batch(models.Model):
    """One delivery of facts: a file, a request or a simulated night. Its rows point here."""

    class Kind(models.TextChoices):
        NETWORK = "network", "Network"
        EVSES = "evses", "EVSEs"
        SESSIONS = "sessions", "Charging sessions"
        READINGS = "readings", "Meter readings"
        DEMAND = "demand", "Background demand"
        PRICES = "prices", "Prices"
        CARBON = "carbon", "Carbon intensity"

    kind = models.CharField(max_length=20, choices=Kind)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=300, help_text="file name or channel it came by")
    sha256 = models.CharField(max_length=64, help_text="of the content as received")
    received_at = models.DateTimeField(help_text="when the facts count as known; a backfill may state an earlier time")
    recorded_at = models.DateTimeField(auto_now_add=True)
    counts = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} from {self.source}"


class Finding(models.Model):
    """An oddity that was kept and is shown; never a silent correction."""

    class Severity(models.TextChoices):
        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        ALARM = "alarm", "Alarm"

    code = models.CharField(max_length=80)
    severity = models.CharField(max_length=10, choices=Severity)
    subject = models.CharField(max_length=200)
    message = models.CharField(max_length=500)
    details = models.JSONField(default=dict)
    source = models.CharField(max_length=100, help_text="what noticed it, e.g. batch:12 or run:3")
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="+")
    noticed_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["source", "code"], name="finding_by_source")]

    def __str__(self) -> str:
        return f"{self.code} {self.subject}"
