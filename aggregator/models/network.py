"""The network tree as facts: who hangs on what, and what each element may carry from when to when."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from aggregator.models.organisations import Organisation


class TsTzRange(Func):
    """``[starts, ends)`` of two timestamp columns; an empty end never ends."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


def half_open(starts: str, ends: str) -> TsTzRange:
    return TsTzRange(F(starts), F(ends), RangeBoundary())


class NetworkNode(models.Model):
    class Kind(models.TextChoices):
        PRIMARY = "primary", "Primary substation"
        DISTRIBUTION = "distribution", "Distribution substation"
        FEEDER = "feeder", "Feeder"
        PHASE = "phase", "Phase"

    code = models.CharField(max_length=80, unique=True)
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=20, choices=Kind)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    phase = models.CharField(max_length=1, blank=True, help_text="A, B or C on a phase, empty elsewhere")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="network_nodes")
    n_customers = models.PositiveIntegerField(default=0, help_text="connected directly here, not below")
    admd_kw = models.FloatField(default=1.5, help_text="after diversity maximum demand a customer, where unmeasured")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="phase", phase__in=["A", "B", "C"]) | (~Q(kind="phase") & Q(phase="")),
                name="node_phase_named_on_phases_only",
            ),
            models.CheckConstraint(
                condition=Q(kind="primary") | Q(kind="distribution") | Q(parent__isnull=False),
                name="node_feeder_and_phase_have_parents",
            ),
            models.CheckConstraint(condition=~Q(parent=F("id")), name="node_not_its_own_parent"),
            models.CheckConstraint(condition=Q(admd_kw__gte=0), name="node_admd_not_negative"),
            models.UniqueConstraint(fields=["parent", "phase"], condition=Q(kind="phase"), name="node_phase_once"),
        ]

    def __str__(self) -> str:
        return self.code


class NodeRating(models.Model):
    """What a node may carry while this row is valid; a change of rating is a new row."""

    node = models.ForeignKey(NetworkNode, on_delete=models.CASCADE, related_name="ratings")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    rating_kva = models.FloatField()
    power_factor = models.FloatField(default=0.98)
    cyclic_factor = models.FloatField(default=1.0)
    diversity = models.FloatField(default=1.0, help_text="below 1 only where the rating is not known")
    ramp_kw = models.FloatField(null=True, blank=True, help_text="EV power change between periods; empty is free")
    source = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="rating_one_at_a_time",
                expressions=[("node", RangeOperators.EQUAL), (half_open("valid_from", "valid_to"), "&&")],
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")), name="rating_ends_after_start"
            ),
            models.CheckConstraint(condition=Q(rating_kva__gt=0), name="rating_positive"),
            models.CheckConstraint(condition=Q(power_factor__gt=0, power_factor__lte=1), name="rating_power_factor"),
            models.CheckConstraint(condition=Q(cyclic_factor__gt=0, cyclic_factor__lte=2), name="rating_cyclic_factor"),
            models.CheckConstraint(condition=Q(diversity__gt=0, diversity__lte=1), name="rating_diversity"),
            models.CheckConstraint(condition=Q(ramp_kw__isnull=True) | Q(ramp_kw__gte=0), name="rating_ramp"),
        ]

    def __str__(self) -> str:
        return f"{self.node}: {self.rating_kva} kVA from {self.valid_from:%Y-%m-%d}"
