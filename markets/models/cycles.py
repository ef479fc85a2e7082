"""One day-ahead cycle from forecast to statement: what it made, and the figures a person can check."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from aggregator.models import AvailabilityForecast, Batch, NetworkNode
from dispatch.models import DispatchRun
from markets.models.statements import SettlementRun


class CycleRun(models.Model):
    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    charging_day = models.DateField()
    area = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+")
    as_of = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    forecast = models.ForeignKey(AvailabilityForecast, null=True, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(DispatchRun, null=True, on_delete=models.PROTECT, related_name="+")
    delivery_batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT, related_name="+")
    settlement_runs = models.ManyToManyField(SettlementRun, related_name="+")
    summary = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["-started_at"], name="cycle_newest_first")]
        constraints = [models.UniqueConstraint(fields=["charging_day", "area", "as_of"], name="cycle_once")]

    def __str__(self) -> str:
        return f"cycle of {self.charging_day}"


class CycleNode(models.Model):
    """EV power at one node through the charging day: as it would have been, and as it was metered."""

    cycle = models.ForeignKey(CycleRun, on_delete=models.CASCADE, related_name="nodes")
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+")
    n_evse = models.PositiveIntegerField()
    uncontrolled_kw = ArrayField(models.FloatField(), help_text="the same sessions without dispatch")
    metered_kw = ArrayField(models.FloatField(), help_text="from the asset meters")
    background_kw = ArrayField(models.FloatField(), help_text="other demand as metered, ADMD where not")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cycle", "node"], name="cycle_node_once")]

    def __str__(self) -> str:
        return f"node {self.node_id} in {self.cycle_id}"
