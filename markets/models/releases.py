"""What was released: from then on a settlement's statements are final for those they are addressed to."""

from django.db import models

from aggregator.models import ControlAct
from markets.models.statements import SettlementRun


class StatementRelease(models.Model):
    """A settlement run whose statements were released; one that was not is preliminary. Rows are only ever added."""

    settlement_run = models.OneToOneField(SettlementRun, on_delete=models.PROTECT, related_name="release")
    act = models.OneToOneField(ControlAct, on_delete=models.PROTECT, related_name="+")
    released_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"release of {self.settlement_run}"
