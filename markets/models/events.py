"""A call on a product, and what each DSRSP was instructed to deliver under it."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from aggregator.models import Organisation, TenantManager
from dispatch.models import DispatchRun, TargetSignal
from markets.models.products import Product


class FlexEvent(models.Model):
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="events")
    signal = models.OneToOneField(TargetSignal, on_delete=models.PROTECT, related_name="event")
    price_gbp_per_mwh = models.DecimalField(max_digits=10, decimal_places=2)
    dsrsp = models.ForeignKey(
        Organisation,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="called alone; empty for every DSRSP in the zone, or an order's",
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(price_gbp_per_mwh__gte=0), name="event_price_not_negative")]

    def __str__(self) -> str:
        return f"{self.product} for {self.signal}"


class Instruction(models.Model):
    """Turn-down (or up) in kW asked of one DSRSP in each period of the event, fixed before delivery."""

    event = models.ForeignKey(FlexEvent, on_delete=models.PROTECT, related_name="instructions")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(DispatchRun, on_delete=models.PROTECT, related_name="instructions")
    order = models.ForeignKey(
        "markets.FlexOrder",
        null=True,
        on_delete=models.PROTECT,
        related_name="instructions",
        help_text="which stated the power; empty where the request's share of the plan did",
    )
    instructed_kw = ArrayField(models.FloatField())
    expected_baseline_kw = ArrayField(
        models.FloatField(), help_text="unadjusted, from what was known at the run's time"
    )
    planned_kw = ArrayField(models.FloatField())

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "organisation", "run"], name="instruction_once_a_run")]

    def __str__(self) -> str:
        return f"instruction {self.pk} under {self.event_id}"
