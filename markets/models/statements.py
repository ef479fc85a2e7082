"""What was settled. A later run never edits an earlier one: it is a new version that supersedes it."""

from django.db import models
from django.db.models import F, Q

from aggregator.models import Organisation, TenantManager
from dispatch.models import DispatchRun
from markets.models.events import FlexEvent


class SettlementRun(models.Model):
    event = models.ForeignKey(FlexEvent, on_delete=models.PROTECT, related_name="settlement_runs")
    dispatch_run = models.ForeignKey(DispatchRun, on_delete=models.PROTECT, related_name="settlement_runs")
    code = models.CharField(max_length=20, default="PRELIM", help_text="a RunCode, with its number where it has one")
    version = models.PositiveSmallIntegerField()
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    as_of = models.DateTimeField(help_text="readings received after this were not looked at")
    method = models.CharField(max_length=120)
    input_sha256 = models.CharField(max_length=64)
    input_digests = models.JSONField(default=dict, help_text="SHA-256 of each kind of input apart")
    software = models.JSONField(default=dict, help_text="what settled it; empty where that was not yet kept")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "version"], name="settlement_version_once"),
            models.UniqueConstraint(fields=["event", "code"], name="settlement_code_once"),
            models.CheckConstraint(
                condition=Q(version=1, supersedes__isnull=True) | Q(version__gt=1, supersedes__isnull=False),
                name="settlement_supersedes_the_last",
            ),
        ]

    def __str__(self) -> str:
        return f"settlement of {self.event.signal} v{self.version}"


class Statement(models.Model):
    settlement_run = models.ForeignKey(SettlementRun, on_delete=models.PROTECT, related_name="statements")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="statements")
    instructed_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    delivered_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    delivered_share = models.FloatField(null=True, help_text="delivered over instructed; empty when nothing was asked")
    performance_factor = models.FloatField()
    payment_gbp = models.DecimalField(max_digits=14, decimal_places=2)
    n_baseline_days = models.PositiveSmallIntegerField()
    content = models.BinaryField(help_text="the CSV as published; every download is these bytes")
    sha256 = models.CharField(max_length=64)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["settlement_run", "organisation"], name="statement_once_a_run"),
            models.CheckConstraint(condition=Q(payment_gbp__gte=0), name="statement_payment_not_negative"),
        ]

    def __str__(self) -> str:
        return f"statement {self.pk}"


class StatementLine(models.Model):
    statement = models.ForeignKey(Statement, on_delete=models.CASCADE, related_name="lines")
    settlement_date = models.DateField()
    period = models.PositiveSmallIntegerField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    instructed_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    baseline_kwh = models.DecimalField(max_digits=14, decimal_places=4, null=True)
    metered_kwh = models.DecimalField(max_digits=14, decimal_places=4, null=True)
    delivered_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    n_meters_missing = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["statement", "starts_at"], name="statement_line_once"),
            models.CheckConstraint(condition=Q(period__gte=1, period__lte=50), name="statement_line_period"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="statement_line_interval"),
        ]

    def __str__(self) -> str:
        return f"{self.settlement_date} period {self.period}"
