"""What a check of published figures finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what it was, or is not what the readings give.

    Attributes:
        statement: ``statement 3 of amber``, an invoice, or the settlement where it is of all its statements.
        line: the half-hour or line, ``whole`` for a figure of the whole, or the kind of input and the rows.
        figure: the column, or ``rows``.
    """

    statement: str
    line: str
    figure: str
    stored: str
    recomputed: str

    def __str__(self) -> str:
        return f"{self.statement}: {self.line}, {self.figure}: stored {self.stored}, recomputed {self.recomputed}"
