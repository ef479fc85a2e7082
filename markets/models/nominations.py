"""Baselines that a DSRSP nominates: rows that are only ever added."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.models import NetworkNode, Organisation, TenantManager
from markets.models.products import Product


class Nomination(models.Model):
    """What a DSRSP says its EVSEs in a zone would draw on a settlement date; a later one stands in its place.

    It holds for every version of its product's code, and for events called at exactly its node.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="nominations")
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="+", help_text="the newest version when it was submitted"
    )
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+", help_text="the zone")
    settlement_date = models.DateField()
    power_kw = ArrayField(
        models.FloatField(null=True), help_text="by settlement period, consumption positive; null says nothing"
    )
    submitted_at = models.DateTimeField(help_text="when it was handed in: the deadline is held against this")
    recorded_at = models.DateTimeField(help_text="when it was stored: a settlement as of an earlier time knows nothing")

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(power_kw__len__in=[46, 48, 50]), name="nomination_periods"),
            models.CheckConstraint(
                condition=Q(recorded_at__gte=F("submitted_at")), name="nomination_recorded_once_submitted"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "node", "settlement_date"], name="nomination_of_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.settlement_date} at {self.submitted_at.isoformat()}"
