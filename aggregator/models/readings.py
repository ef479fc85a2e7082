"""Meters and what they measured: one row per UTC day, meter and batch, holding that day's 48 half-hours.

A half-hour that a batch does not speak of is NULL in its array. What is known at a time is the overlay of the
rows received until then, latest first, so a correction is a new row and a settled day is one row to read.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from aggregator.models.batches import Batch
from aggregator.models.network import NetworkNode
from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager

PERIODS_A_UTC_DAY = 48


class Meter(models.Model):
    class Kind(models.TextChoices):
        ASSET = "asset", "Asset meter behind the boundary"
        CUSTOMER = "customer", "Customer's boundary meter"
        FEEDER = "feeder", "Feeder monitor"

    class AccuracyClass(models.TextChoices):
        UNKNOWN = "", "Not stated"
        CLASS_2 = "2", "Class 2 (MID A)"
        CLASS_1 = "1", "Class 1 (MID B)"
        CLASS_05 = "0.5", "Class 0.5 (MID C)"
        TEN_PERCENT = "10%", "Within 10 % (smart charge point rules)"

    code = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    node = models.ForeignKey(NetworkNode, null=True, blank=True, on_delete=models.PROTECT, related_name="meters")
    accuracy_class = models.CharField(max_length=5, choices=AccuracyClass, blank=True, default="")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="meters")

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["asset", "customer", "feeder"]), name="meter_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class MeterDay(models.Model):
    """Energy of one meter on one UTC day as one batch told it; partitioned by month of ``day``."""

    pk = models.CompositePrimaryKey("day", "meter", "batch")
    day = models.DateField()
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_index=False)
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+", db_index=False)
    received_at = models.DateTimeField()
    energy_kwh = ArrayField(models.FloatField(null=True), size=PERIODS_A_UTC_DAY)

    objects = TenantManager()

    def __str__(self) -> str:
        return f"meter {self.meter_id} on {self.day}"
