"""What is bought, and by which rules it is measured and paid: data, so that a market can state its own."""

from datetime import timedelta
from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from aggregator.models import Organisation


class Product(models.Model):
    class Family(models.TextChoices):
        PEAK_REDUCTION = "peak_reduction", "Peak Reduction"
        SCHEDULED_UTILISATION = "scheduled_utilisation", "Scheduled Utilisation"
        OPERATIONAL_UTILISATION = "operational_utilisation", "Operational Utilisation"
        OPERATIONAL_SCHEDULED_AVAILABILITY = (
            "operational_utilisation_scheduled_availability",
            "Operational Utilisation with Scheduled Availability",
        )
        OPERATIONAL_VARIABLE_AVAILABILITY = (
            "operational_utilisation_variable_availability",
            "Operational Utilisation with Variable Availability",
        )

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

    class Granularity(models.TextChoices):
        MINUTE = "minute", "Minute"
        HALF_HOUR = "half-hour", "Half-hour"

    class TimestampConvention(models.TextChoices):
        PERIOD_START = "period-start", "A reading is stamped with the start of its period"
        PERIOD_END = "period-end", "A reading is stamped with the end of its period"

    class Volume(models.TextChoices):
        NET = "net", "Net over the portfolio"
        POSITIVE_ONLY = "positive-only", "Only what each unit delivered in the direction asked"

    class Aggregation(models.TextChoices):
        EVENT = "event", "Performance of each event"
        MONTH = "month", "Mean of the month's events, weighted by energy instructed"

    class AvailabilityFactor(models.TextChoices):
        ONE = "one", "Availability is paid whatever was delivered"
        MONTH = "month", "Scaled by the same month's performance"
        PREVIOUS_MONTH = "previous-month", "Scaled by the month before's performance"

    class PartialAvailability(models.TextChoices):
        PRO_RATA = "pro-rata", "Less power than accepted is paid in proportion"
        NOTHING = "nothing", "Less power than accepted is paid nothing"

    class WithoutCall(models.TextChoices):
        ONE = "one", "A month without a call is paid as full performance"
        PREVIOUS_MONTH = "previous-month", "A month without a call is paid as the month before"

    class Rounding(models.TextChoices):
        EVENT = "event", "Each event is a line of the invoice, rounded half up to the penny"
        MONTH = "month", "A month's events are one line of the invoice, rounded half up to the penny"

    code = models.SlugField(max_length=50)
    version = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=200)
    family = models.CharField(max_length=60, choices=Family, default=Family.SCHEDULED_UTILISATION)
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="products")
    valid_from = models.DateTimeField()
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    source = models.TextField(blank=True, help_text="where the rules are published")
    uncertain = models.TextField(blank=True, help_text="what of the rules is not certain")
    # what is asked
    notice = models.DurationField(default=timedelta(0), help_text="least time between a request and its start")
    min_kw = models.FloatField(default=0.0, help_text="least power that may be requested")
    min_run = models.DurationField(default=timedelta(0), help_text="shortest request")
    # payment
    availability_gbp_per_mw_h = models.DecimalField(max_digits=10, decimal_places=4, null=True)
    utilisation_gbp_per_mwh = models.DecimalField(
        max_digits=10, decimal_places=2, null=True, help_text="empty: the price is stated with each request"
    )
    availability_factor = models.CharField(max_length=20, choices=AvailabilityFactor, default=AvailabilityFactor.ONE)
    partial_availability = models.CharField(
        max_length=10, choices=PartialAvailability, default=PartialAvailability.PRO_RATA
    )
    availability_without_call = models.CharField(max_length=20, choices=WithoutCall, default=WithoutCall.ONE)
    penalty_gbp_per_mwh = models.DecimalField(
        max_digits=10, decimal_places=2, default=Decimal(0), help_text="for each MWh instructed and not delivered"
    )
    cap_gbp_per_event = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    cap_gbp_per_month = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    rounding = models.CharField(max_length=10, choices=Rounding, default=Rounding.EVENT)
    # metering
    granularity = models.CharField(max_length=10, choices=Granularity, default=Granularity.HALF_HOUR)
    timestamp_convention = models.CharField(
        max_length=20, choices=TimestampConvention, default=TimestampConvention.PERIOD_START
    )
    volume = models.CharField(max_length=20, choices=Volume, default=Volume.NET)
    # performance
    aggregation = models.CharField(max_length=10, choices=Aggregation, default=Aggregation.EVENT)
    scale = models.JSONField(
        null=True,
        default=None,
        help_text="factor by share delivered, [[share, factor], …]; in place of grace and slope",
    )
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
    baseline_parameters = models.JSONField(
        default=dict, blank=True, help_text="what the method needs besides, such as a reference power of each EVSE"
    )
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
            models.CheckConstraint(
                condition=Q(version=1, supersedes__isnull=True) | Q(version__gt=1), name="product_first_supersedes_none"
            ),
            models.CheckConstraint(
                condition=Q(notice__gte=timedelta(0), min_kw__gte=0, min_run__gte=timedelta(0)), name="product_asked"
            ),
            models.CheckConstraint(
                condition=(Q(availability_gbp_per_mw_h__isnull=True) | Q(availability_gbp_per_mw_h__gte=0))
                & (Q(utilisation_gbp_per_mwh__isnull=True) | Q(utilisation_gbp_per_mwh__gte=0))
                & Q(penalty_gbp_per_mwh__gte=0),
                name="product_prices",
            ),
            models.CheckConstraint(
                condition=Q(availability_gbp_per_mw_h__isnull=True) | Q(family__endswith="_availability"),
                name="product_availability_family",
            ),
            models.CheckConstraint(
                condition=(Q(cap_gbp_per_event__isnull=True) | Q(cap_gbp_per_event__gte=0))
                & (Q(cap_gbp_per_month__isnull=True) | Q(cap_gbp_per_month__gte=0)),
                name="product_caps",
            ),
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
