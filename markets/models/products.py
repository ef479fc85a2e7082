"""What is bought, and by which rules it is measured and paid: data, so that a market can state its own."""

from django.db import models
from django.db.models import F, Q

from aggregator.models import Organisation


class Product(models.Model):
    class Family(models.TextChoices):
        SCHEDULED_UTILISATION = "scheduled_utilisation", "Scheduled Utilisation"

    class Step(models.TextChoices):
        CONTINUOUS = "continuous", "Continuous"
        WHOLE_PERCENT_FLOORED = "whole-percent-floored", "Whole percent, floored"

    class Missing(models.TextChoices):
        STRICT = "strict", "A missing reading counts as nothing delivered"
        EXCLUDE = "exclude", "Leave the period out, if enough are present"

    class PaysOn(models.TextChoices):
        INSTRUCTED = "instructed", "The factor scales the energy instructed"
        DELIVERED = "delivered", "The factor scales the energy delivered"

    class Cap(models.TextChoices):
        INTERVAL = "interval", "Capped in each settlement period"
        EVENT = "event", "Capped over the event"

    code = models.SlugField(max_length=50)
    version = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=200)
    family = models.CharField(max_length=30, choices=Family, default=Family.SCHEDULED_UTILISATION)
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="products")
    valid_from = models.DateTimeField()
    # performance
    grace = models.FloatField(default=0.05)
    slope = models.FloatField(default=3.0)
    cutoff = models.FloatField(null=True, default=0.63)
    step = models.CharField(max_length=30, choices=Step, default=Step.CONTINUOUS)
    missing = models.CharField(max_length=10, choices=Missing, default=Missing.STRICT)
    min_present_share = models.FloatField(default=0.9)
    cap = models.CharField(max_length=10, choices=Cap, default=Cap.EVENT)
    pays_on = models.CharField(max_length=10, choices=PaysOn, default=PaysOn.INSTRUCTED)
    # baseline, of each DSRSP's portfolio in the zone
    baseline_method = models.CharField(max_length=60, default="mid-8-in-10-sda")
    n_working_days = models.PositiveSmallIntegerField(default=10)
    n_non_working_days = models.PositiveSmallIntegerField(default=4)
    n_drop_working = models.PositiveSmallIntegerField(default=1)
    n_drop_non_working = models.PositiveSmallIntegerField(default=1)
    lookback_days = models.PositiveSmallIntegerField(default=60)
    adjustment_periods = models.PositiveSmallIntegerField(default=6)
    adjustment_gap_periods = models.PositiveSmallIntegerField(default=2)
    min_adjustment_periods = models.PositiveSmallIntegerField(default=3)
    adjustment_cap_share = models.FloatField(null=True, default=None)
    floor_at_zero = models.BooleanField(default=True)
    min_meters_share = models.FloatField(default=0.8, help_text="of a portfolio's meters read, for a day to be history")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="product_version_once"),
            models.CheckConstraint(condition=Q(grace__gte=0, grace__lt=1), name="product_grace"),
            models.CheckConstraint(condition=Q(slope__gte=0), name="product_slope"),
            models.CheckConstraint(
                condition=Q(cutoff__isnull=True) | Q(cutoff__gte=0, cutoff__lte=1), name="product_cutoff"
            ),
            models.CheckConstraint(
                condition=Q(n_working_days__gt=2 * F("n_drop_working"))
                & Q(n_non_working_days__gt=2 * F("n_drop_non_working")),
                name="product_days_left",
            ),
            models.CheckConstraint(
                condition=Q(min_meters_share__gt=0, min_meters_share__lte=1), name="product_meters_share"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"
