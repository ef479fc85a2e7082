"""What each EVSE would have drawn and drew on the days it was settled for: one row a run, EVSE and settlement date."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from aggregator.models import EVSE, Organisation, TenantManager
from markets.models.statements import SettlementRun


class SettledDay(models.Model):
    """An event's periods on one settlement date, in whole quanta of 0.0001 kWh; NULL where nothing is known.

    Rows are only ever added: a later run of the event brings rows of its own, and the run says as of when.
    """

    pk = models.CompositePrimaryKey("settlement_run", "evse", "settlement_date")
    settlement_run = models.ForeignKey(
        SettlementRun, db_constraint=False, db_index=False, on_delete=models.PROTECT, related_name="settled_days"
    )
    evse = models.ForeignKey(EVSE, db_constraint=False, db_index=False, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(
        Organisation, db_constraint=False, db_index=False, on_delete=models.PROTECT, related_name="+"
    )
    settlement_date = models.DateField()
    first_period = models.PositiveSmallIntegerField(help_text="settlement period of the first element")
    baseline_quanta = ArrayField(models.IntegerField(null=True))
    metered_quanta = ArrayField(models.IntegerField(null=True))
    delivered_quanta = ArrayField(models.IntegerField(null=True), help_text="positive in the direction asked")

    objects = TenantManager()

    def __str__(self) -> str:
        return f"EVSE {self.evse_id} on {self.settlement_date} under {self.settlement_run_id}"
