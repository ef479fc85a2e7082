"""What was expected to be plugged in, by whom it was asked and what was known then."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.models.fleet import EVSE
from aggregator.models.network import NetworkNode
from aggregator.models.organisations import Organisation
from aggregator.models.tenancy import TenantManager


class AvailabilityForecast(models.Model):
    """One forecast of a charging day (London noon to noon), from what was known at ``as_of``."""

    charging_day = models.DateField()
    area = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+")
    as_of = models.DateTimeField()
    starts_at = models.DateTimeField()
    n_period = models.PositiveSmallIntegerField()
    method = models.CharField(max_length=80)
    rule = models.JSONField(help_text="every parameter of the method")
    input_sha256 = models.CharField(max_length=64)
    quantiles = ArrayField(models.FloatField())
    n_session_known = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charging_day", "area", "as_of", "input_sha256"], name="forecast_once_per_input"
            ),
        ]

    def __str__(self) -> str:
        return f"forecast of {self.charging_day} as of {self.as_of:%Y-%m-%d %H:%M}"


class EvseForecast(models.Model):
    """The session one EVSE is expected to start in the charging day, and the window it is planned in."""

    forecast = models.ForeignKey(AvailabilityForecast, on_delete=models.CASCADE, related_name="evses")
    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    probability = models.FloatField(help_text="of plugging in at all that charging day")
    plug_in_h = ArrayField(models.FloatField(), help_text="hours after local noon at the forecast's quantiles")
    plug_out_h = ArrayField(models.FloatField())
    energy_quantiles_kwh = ArrayField(models.FloatField())
    start_period = models.PositiveSmallIntegerField()
    end_period = models.PositiveSmallIntegerField()
    energy_kwh = models.FloatField()

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["organisation", "forecast"], name="evse_forecast_by_owner")]
        constraints = [
            models.UniqueConstraint(fields=["forecast", "evse"], name="evse_forecast_once"),
            models.CheckConstraint(condition=Q(end_period__gt=F("start_period")), name="evse_forecast_window"),
            models.CheckConstraint(condition=Q(energy_kwh__gte=0), name="evse_forecast_energy"),
            models.CheckConstraint(condition=Q(probability__gte=0, probability__lte=1), name="evse_forecast_chance"),
        ]

    def __str__(self) -> str:
        return f"{self.evse_id} in {self.forecast_id}"


class GroupForecast(models.Model):
    """Quantiles of the number plugged in, for a group of EVSEs, period by period."""

    forecast = models.ForeignKey(AvailabilityForecast, on_delete=models.CASCADE, related_name="groups")
    group = models.CharField(max_length=120)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    n_evse = models.PositiveIntegerField()
    quantiles = ArrayField(models.FloatField())
    plugged_in = ArrayField(ArrayField(models.FloatField()), help_text="(n_quantile, n_period)")

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["forecast", "group"], name="group_forecast_once")]

    def __str__(self) -> str:
        return f"{self.group} in {self.forecast_id}"
