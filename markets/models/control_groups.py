"""EVSEs a DSRSP keeps out of a product's events, to be compared with: rows that are only ever added."""

from django.db import models
from django.db.models import F, Q

from aggregator.models import EVSE, NetworkNode, Organisation, TenantManager
from markets.models.products import Product


class ControlGroup(models.Model):
    """A DSRSP's control group under a product, for events at and below a node, on the days it is valid.

    It holds for every version of its product's code. Of several that are valid on a day the one recorded last stands.
    """

    class Rotates(models.TextChoices):
        NEVER = "never", "Never"
        DAILY = "daily", "Every day"
        WEEKLY = "weekly", "Every seven days"

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="control_groups")
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="+", help_text="the newest version when it was recorded"
    )
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+", help_text="the zone")
    valid_from = models.DateField(help_text="first settlement date")
    valid_until = models.DateField(null=True, help_text="last settlement date; empty: until another stands instead")
    n_evse = models.PositiveIntegerField(help_text="EVSEs kept out at a time")
    rotates = models.CharField(max_length=10, choices=Rotates, default=Rotates.NEVER)
    n_turn = models.PositiveSmallIntegerField(default=1, help_text="sets of EVSEs that take turns")
    seed = models.BigIntegerField(null=True, help_text="of the draw; empty: the EVSEs were named")
    recorded_at = models.DateTimeField(help_text="when it was stored: requests received before do not know it")

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")), name="control_group_days"
            ),
            models.CheckConstraint(condition=Q(n_evse__gte=1), name="control_group_not_empty"),
            models.CheckConstraint(
                condition=Q(rotates="never", n_turn=1) | Q(rotates__in=["daily", "weekly"], n_turn__gte=2),
                name="control_group_turns",
            ),
        ]
        indexes = [models.Index(fields=["product", "node", "valid_from"], name="control_group_of_a_day")]

    def __str__(self) -> str:
        return f"control group {self.pk} from {self.valid_from}"


class ControlGroupMember(models.Model):
    """One EVSE of a control group, and in which turn it is kept out."""

    group = models.ForeignKey(ControlGroup, on_delete=models.PROTECT, related_name="members")
    evse = models.ForeignKey(EVSE, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    turn = models.PositiveSmallIntegerField(default=0)

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "evse"], name="control_group_member_once")]

    def __str__(self) -> str:
        return f"EVSE {self.evse_id} in control group {self.group_id}"
