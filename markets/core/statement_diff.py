"""What a newer version of a statement says otherwise than the one it supersedes, half-hour by half-hour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class LineFigures:
    """One half-hour of a statement; energies in kWh, None where there is no baseline or no read."""

    instructed_kwh: Decimal
    baseline_kwh: Decimal | None
    metered_kwh: Decimal | None
    delivered_kwh: Decimal
    n_meters_missing: int


@dataclass(frozen=True, slots=True)
class LineChange:
    """A half-hour two versions tell differently; ``before`` or ``after`` is None where only one of them has it."""

    starts_at: datetime
    before: LineFigures | None
    after: LineFigures | None


def changed_lines(
    before: Mapping[datetime, LineFigures], after: Mapping[datetime, LineFigures]
) -> tuple[LineChange, ...]:
    """Compare two versions by the start of their half-hours; equal ones are left out, the rest stand in time order."""
    return tuple(
        LineChange(starts_at, before.get(starts_at), after.get(starts_at))
        for starts_at in sorted(before.keys() | after.keys())
        if before.get(starts_at) != after.get(starts_at)
    )
