"""What energy costs and what it emits, by UTC day, each row as it was received."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from aggregator.models.batches import Batch
from aggregator.models.readings import PERIODS_A_UTC_DAY


class Tariff(models.Model):
    code = models.SlugField(unique=True, max_length=50)
    name = models.CharField(max_length=200)
    source = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.code


class TariffDay(models.Model):
    tariff = models.ForeignKey(Tariff, on_delete=models.PROTECT, related_name="days")
    day = models.DateField()
    received_at = models.DateTimeField()
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")
    price_gbp_per_kwh = ArrayField(models.FloatField(null=True), size=PERIODS_A_UTC_DAY)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tariff", "day", "batch"], name="tariff_day_once_a_batch")]

    def __str__(self) -> str:
        return f"{self.tariff_id} on {self.day}"


class CarbonDay(models.Model):
    day = models.DateField()
    received_at = models.DateTimeField()
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")
    forecast_gco2_per_kwh = ArrayField(models.FloatField(null=True), size=PERIODS_A_UTC_DAY)
    actual_gco2_per_kwh = ArrayField(models.FloatField(null=True), size=PERIODS_A_UTC_DAY)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "batch"], name="carbon_day_once_a_batch")]

    def __str__(self) -> str:
        return f"carbon intensity on {self.day}"
