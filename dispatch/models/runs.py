"""A solve, its plan and its proof, as stored; what is in force is the newest safe run of an area and day."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.core.timegrid import TimeGrid
from aggregator.models import EVSE, AvailabilityForecast, NetworkNode, Organisation, TenantManager
from dispatch.models.targets import TargetSignal


class DispatchRun(models.Model):
    """One run covers an area and every DSRSP in it; every figure is of the plan as stored.

    One that continues another was planned anew in the middle of its day: costs, bound and gap are of what was left.
    """

    area = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="runs")
    charging_day = models.DateField()
    forecast = models.ForeignKey(AvailabilityForecast, on_delete=models.PROTECT, related_name="runs")
    continues = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="continued_by", help_text="the run it took over from"
    )
    from_period = models.PositiveSmallIntegerField(
        default=0, help_text="the first period it planned; before it setpoints are those of the run it continues"
    )
    as_of = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    starts_at = models.DateTimeField()
    n_period = models.PositiveSmallIntegerField()
    period_minutes = models.PositiveSmallIntegerField()
    parameters = models.JSONField(help_text="unserved price, carbon weight, background quantile, ramp price …")
    input_sha256 = models.CharField(max_length=64)
    method = models.CharField(max_length=20)
    rung = models.CharField(max_length=20)
    iterations = models.PositiveIntegerField()
    solve_s = models.FloatField()
    cost_gbp = models.FloatField()
    cost_energy_gbp = models.FloatField()
    cost_unserved_gbp = models.FloatField()
    cost_shortfall_gbp = models.FloatField()
    cost_ramp_gbp = models.FloatField()
    unavoidable_gbp = models.FloatField()
    lower_bound_gbp = models.FloatField()
    gap = models.FloatField()
    rounding_cost_gbp = models.FloatField()
    max_violation_kw = models.FloatField()

    class Meta:
        indexes = [models.Index(fields=["area", "charging_day", "-created_at"], name="run_newest_first")]
        constraints = [
            models.UniqueConstraint(fields=["area", "charging_day", "input_sha256"], name="run_once_per_input"),
            models.CheckConstraint(condition=Q(max_violation_kw__lte=1e-6), name="run_keeps_every_limit"),
            models.CheckConstraint(
                condition=Q(rung__in=["certified", "time-boxed", "greedy", "last-plan"]), name="run_rung_known"
            ),
            models.CheckConstraint(
                condition=Q(from_period__lt=F("n_period")) & (Q(from_period=0) | Q(continues__isnull=False)),
                name="run_continues_from",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.area} for {self.charging_day}"

    @property
    def grid(self) -> TimeGrid:
        """The periods its arrays speak of."""
        return TimeGrid(self.starts_at, self.n_period, self.period_minutes)


class RunNode(models.Model):
    """What one node could carry in the run, what was expected on it, and what the plan puts there."""

    run = models.ForeignKey(DispatchRun, on_delete=models.CASCADE, related_name="nodes")
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+")
    rating_kw = models.FloatField()
    background_kw = ArrayField(models.FloatField(), help_text="the upper quantile held against the rating")
    reserve_kw = ArrayField(models.FloatField(), help_text="held back for consumers who override")
    limit_kw = ArrayField(models.FloatField(), help_text="what was left for EVs")
    planned_kw = ArrayField(models.FloatField(), help_text="sum of the plan's rounded power")
    ceiling_kw = ArrayField(models.FloatField(), help_text="sum of the setpoints, spare headroom offered included")
    price_gbp_per_kwh = ArrayField(models.FloatField(), help_text="worth of one more kW of headroom")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "node"], name="run_node_once")]

    def __str__(self) -> str:
        return f"node {self.node_id} in run {self.run_id}"


class RunRequest(models.Model):
    run = models.ForeignKey(DispatchRun, on_delete=models.CASCADE, related_name="requests")
    signal = models.ForeignKey(TargetSignal, on_delete=models.PROTECT, related_name="runs")
    start_period = models.PositiveSmallIntegerField()
    end_period = models.PositiveSmallIntegerField()
    planned_kw = ArrayField(models.FloatField(), help_text="at the request's node, in its window")
    shortfall_kw = ArrayField(models.FloatField())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "signal"], name="run_request_once")]

    def __str__(self) -> str:
        return f"{self.signal_id} in run {self.run_id}"


class Setpoint(models.Model):
    """One row an EVSE and run: its ceiling in every period, in amperes; kW are worked out from them."""

    # Keys without an index of their own lead one of those below: a run writes a million rows at once.
    # They are checked for all rows of a statement at once: dispatch/row_references.py.
    run = models.ForeignKey(
        DispatchRun, on_delete=models.CASCADE, related_name="setpoints", db_index=False, db_constraint=False
    )
    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="setpoints", db_constraint=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    start_period = models.PositiveSmallIntegerField()
    end_period = models.PositiveSmallIntegerField()
    energy_kwh = models.FloatField(help_text="asked of the plan, what the session could take on its own")
    ampere_kw = models.FloatField(help_text="kW of one ampere a phase, as the EVSE was connected")
    planned_a = ArrayField(models.SmallIntegerField(), help_text="the rounded plan; never above the setpoint")
    setpoint_a = ArrayField(models.SmallIntegerField(), help_text="whole amperes a phase, 0 or at least the minimum")
    unserved_kwh = models.FloatField()
    unserveable_kwh = models.FloatField()

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["organisation", "run"], name="setpoint_by_owner")]
        constraints = [
            models.UniqueConstraint(fields=["run", "evse"], name="setpoint_once_a_run"),
            models.CheckConstraint(condition=Q(end_period__gte=F("start_period")), name="setpoint_window"),
        ]

    def __str__(self) -> str:
        return f"EVSE {self.evse_id} in run {self.run_id}"

    @property
    def planned_kw(self) -> list[float]:
        """The plan's rounded power, by period."""
        return [amperes * self.ampere_kw for amperes in self.planned_a]

    @property
    def setpoint_kw(self) -> list[float]:
        """The ceiling, by period."""
        return [amperes * self.ampere_kw for amperes in self.setpoint_a]


class IssuedSetpoint(models.Model):
    """What an EVSE was told in the end, half-hour by half-hour, once it was known who was plugged in."""

    run = models.ForeignKey(
        DispatchRun, on_delete=models.CASCADE, related_name="issued", db_index=False, db_constraint=False
    )
    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="issued", db_constraint=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    ampere_kw = models.FloatField(help_text="kW of one ampere a phase, as the EVSE was connected")
    setpoint_a = ArrayField(models.SmallIntegerField(), help_text="0 in periods that began without a car")

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "evse"], name="issued_once_a_run")]

    def __str__(self) -> str:
        return f"issued to EVSE {self.evse_id} in run {self.run_id}"

    @property
    def setpoint_kw(self) -> list[float]:
        """What it was told, by period."""
        return [amperes * self.ampere_kw for amperes in self.setpoint_a]
