"""What was released: from then on a settlement's statements are final for those they are addressed to."""

from django.db import models
from django.db.models import Q

from aggregator.models import ControlAct
from markets.models.statements import SettlementRun


class StatementRelease(models.Model):
    """A settlement run whose statements were released; one that was not is preliminary. Rows are only ever added.

    ``sequence`` and the hashes are a link of the chain of releases. The database fills them in (markets/chain_sql.py),
    so read them back after a save.
    """

    settlement_run = models.OneToOneField(SettlementRun, on_delete=models.PROTECT, related_name="release")
    act = models.OneToOneField(ControlAct, on_delete=models.PROTECT, related_name="+")
    released_at = models.DateTimeField()
    content_format = models.PositiveSmallIntegerField(default=1, editable=False, help_text="of what the link covers")
    sequence = models.PositiveBigIntegerField(default=0, editable=False)
    previous_sha256 = models.CharField(max_length=64, default="", editable=False)
    content_sha256 = models.CharField(max_length=64, default="", editable=False)
    sha256 = models.CharField(max_length=64, default="", editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sequence"], name="release_sequence_once"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="release_sequence_from_one"),
        ]

    def __str__(self) -> str:
        return f"release of {self.settlement_run}"
