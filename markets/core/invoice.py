"""A month's invoice as values: its lines, what each differs by from the version before, and what is to be paid.

Source: docs/methods/settlement.md
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import utc

NOTHING = Decimal("0.00")
FIRST_CUTOFF_DAY, LAST_CUTOFF_DAY = 1, 28
LineKey = tuple[str, str]


class InvalidCutoff(FlexError):
    code = "invoice.invalid_cutoff"


@dataclass(frozen=True, slots=True)
class PricedLine:
    """What a line is worth: its kind, the request or contract it is of (empty for the month's own), pounds."""

    kind: str
    reference: str
    amount_gbp: Decimal

    @property
    def key(self) -> LineKey:
        return self.kind, self.reference


@dataclass(frozen=True, slots=True)
class DeltaLine:
    """A line beside what the version before had it worth."""

    kind: str
    reference: str
    amount_gbp: Decimal
    before_gbp: Decimal

    @property
    def delta_gbp(self) -> Decimal:
        return self.amount_gbp - self.before_gbp


@dataclass(frozen=True, slots=True)
class InvoiceTotals:
    """Sums of the lines; there is no other rounding."""

    amount_gbp: Decimal
    before_gbp: Decimal

    @property
    def delta_gbp(self) -> Decimal:
        return self.amount_gbp - self.before_gbp


def first_of_month(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    """First day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def cutoff_at(month: date, *, cutoff_day: int) -> datetime:
    """When a month closes: local midnight at which the cut-off day of the next month begins.

    Raises:
        InvalidCutoff: a day that some month has not.
    """
    if not FIRST_CUTOFF_DAY <= cutoff_day <= LAST_CUTOFF_DAY:
        raise InvalidCutoff(
            f"the cut-off is a day {FIRST_CUTOFF_DAY} to {LAST_CUTOFF_DAY} of the next month, found {cutoff_day}",
            field="cutoff_day",
        )
    return utc(next_month(month).replace(day=cutoff_day), time(0))


def against(lines: Sequence[PricedLine], before: Mapping[LineKey, Decimal]) -> tuple[DeltaLine, ...]:
    """Set lines beside those of the version before; one that is gone stands at the end, worth nothing."""
    kept = {line.key for line in lines}
    gone = sorted(key for key, amount_gbp in before.items() if key not in kept and amount_gbp)
    return (
        *(DeltaLine(line.kind, line.reference, line.amount_gbp, before.get(line.key, NOTHING)) for line in lines),
        *(DeltaLine(kind, reference, NOTHING, before[kind, reference]) for kind, reference in gone),
    )


def totals_of(lines: Sequence[DeltaLine]) -> InvoiceTotals:
    """Add up an invoice."""
    return InvoiceTotals(
        sum((line.amount_gbp for line in lines), NOTHING), sum((line.before_gbp for line in lines), NOTHING)
    )


def invoice_sha256(head: Sequence[str], lines: Sequence[DeltaLine]) -> str:
    """Digest of an invoice's head and lines, in their order."""
    cells = [
        "invoice-1",
        *map(repr, head),
        *(f"{line.kind!r} {line.reference!r} {line.amount_gbp} {line.before_gbp}" for line in lines),
    ]
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()
