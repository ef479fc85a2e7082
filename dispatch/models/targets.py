"""What the control room asks of a zone, as it stated it."""

from django.db import models
from django.db.models import F, Q

from aggregator.models import EVSE, NetworkNode, Organisation, TenantManager


class TargetSignal(models.Model):
    """EV power at ``node`` at most (turn-down) or at least (turn-up) ``target_kw`` in the window."""

    class Direction(models.TextChoices):
        TURN_DOWN = "turn_down", "Turn down"
        TURN_UP = "turn_up", "Turn up"

    class Kind(models.TextChoices):
        ROUTINE = "routine", "Routine DSR"
        RESPONSE = "response", "Response DSR"

    reference = models.CharField(max_length=80, unique=True)
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="targets")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    direction = models.CharField(max_length=10, choices=Direction)
    kind = models.CharField(max_length=10, choices=Kind)
    target_kw = models.FloatField()
    shortfall_gbp_per_kwh = models.FloatField(help_text="at least the penalty its product puts on under-delivery")
    issued_by = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="targets")
    received_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, help_text="runs made from then on plan nothing for it")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="target_ends_after_start"),
            models.CheckConstraint(condition=Q(target_kw__gte=0), name="target_not_negative"),
            models.CheckConstraint(condition=Q(shortfall_gbp_per_kwh__gte=0), name="target_shortfall_price"),
            models.CheckConstraint(condition=Q(direction__in=["turn_down", "turn_up"]), name="target_direction_known"),
            models.CheckConstraint(condition=Q(kind__in=["routine", "response"]), name="target_kind_known"),
        ]

    def __str__(self) -> str:
        return self.reference


class SparedEvse(models.Model):
    """An EVSE that a request does not call on: it is planned as if the request had not been made.

    Fixed when the request is put under its product, and never changed: dispatch, instructions and settlement agree.
    """

    signal = models.ForeignKey(TargetSignal, on_delete=models.PROTECT, related_name="spared")
    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="+", help_text="the DSRSP it is enrolled with"
    )

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["signal", "evse"], name="spared_evse_once_a_request")]

    def __str__(self) -> str:
        return f"EVSE {self.evse_id} spared by request {self.signal_id}"
