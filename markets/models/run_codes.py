"""What settlement runs may be called: data, so that a market adds a run without a release of the software."""

from django.db import models


class RunCode(models.Model):
    """One code of a settlement run. Runs of one series come in the order of ``position``."""

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=120)
    series = models.CharField(max_length=20)
    position = models.PositiveSmallIntegerField()
    is_numbered = models.BooleanField(default=False, help_text="used as CODE-1, CODE-2 …, in no order with others")
    source = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "position"], name="run_code_place_once")]

    def __str__(self) -> str:
        return self.code
