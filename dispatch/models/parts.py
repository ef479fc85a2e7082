"""A problem being solved in parts by several workers: what is asked and answered, for as long as the solve takes."""

from django.db import models


class SolvePart(models.Model):
    """One part of one solve; its rows go when the solve is over."""

    solve = models.UUIDField()
    number = models.PositiveIntegerField()
    problem = models.BinaryField(help_text="npz, the contract's field names")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["solve", "number"], name="solve_part_once")]

    def __str__(self) -> str:
        return f"part {self.number} of solve {self.solve}"


class PartRound(models.Model):
    """A question to a part; whoever answers first has answered it, and that answer stays."""

    part = models.ForeignKey(SolvePart, on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    ask = models.BinaryField(help_text="npz: charges, ceiling, gap, time limit")
    answer = models.BinaryField(null=True, help_text="npz: profile, cost, bound")
    plan = models.BinaryField(null=True, help_text="npz; read where the plans are put together, and to start from")
    answered_by = models.CharField(max_length=120, blank=True)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["part", "number"], name="part_round_once")]

    def __str__(self) -> str:
        return f"round {self.number} of {self.part}"
