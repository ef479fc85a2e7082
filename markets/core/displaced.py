"""What a fleet is told and what its commitments lose, period by period: the report of displaced volumes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.core.findings import FindingNote
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray
from markets.core.hierarchy import Command, Displaced, Order, apply_commands, by_contract


@dataclass(frozen=True, slots=True)
class DisplacedRow:
    """One commitment's loss at one EVSE in one period."""

    evse_id: str
    lost: Displaced


@dataclass(frozen=True, slots=True)
class DisplacedTotal:
    """All that one product lost in one period to one cause."""

    product: str
    starts_at: datetime
    cause: str
    n_evse: int
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class DisplacedReport:
    """Per EVSE what is applied and displaced, and the totals.

    Attributes:
        evse_ids: (n_evse,) ascending.
        applied_kw: (n_evse, n_period) what each is told.
        rows: every loss, by EVSE, time and the order of primacy.
        totals: by product, time and cause; they add up to the rows.
        findings: stale and contradicting commands, each once an EVSE and period.
    """

    evse_ids: tuple[str, ...]
    grid: TimeGrid
    applied_kw: FloatArray
    rows: tuple[DisplacedRow, ...]
    totals: tuple[DisplacedTotal, ...]
    findings: tuple[FindingNote, ...]


def displaced_report(
    commands: Mapping[str, Sequence[Command]],
    *,
    grid: TimeGrid,
    rated_kw: Mapping[str, float],
    default_kw: float = 0.0,
    goes_before: Order = by_contract,
) -> DisplacedReport:
    """Apply the hierarchy of commands to each EVSE in each period.

    Args:
        commands: by EVSE; commands of one EVSE are a handful and differ from the next one's, so this is a loop.
        rated_kw: of every EVSE in ``commands``.
        default_kw: what is applied where nobody commands.

    Source: docs/methods/ledger.md
    """
    evse_ids = tuple(sorted(commands))
    starts, duration = grid.starts(), grid.ends_at - grid.starts_at
    step = duration / grid.n_period
    applied_kw = np.zeros((len(evse_ids), grid.n_period))
    rows: list[DisplacedRow] = []
    findings: list[FindingNote] = []
    for index, evse_id in enumerate(evse_ids):
        for period, at in enumerate(starts):
            told = apply_commands(
                commands[evse_id],
                at=at,
                duration=step,
                rated_kw=rated_kw[evse_id],
                default_kw=default_kw,
                goes_before=goes_before,
            )
            applied_kw[index, period] = told.power_kw
            rows += [DisplacedRow(evse_id, lost) for lost in told.displaced]
            findings += told.findings
    return DisplacedReport(evse_ids, grid, applied_kw, tuple(rows), _totals(rows), tuple(findings))


def _totals(rows: Sequence[DisplacedRow]) -> tuple[DisplacedTotal, ...]:
    found: dict[tuple[str, datetime, str], list[DisplacedRow]] = defaultdict(list)
    for row in rows:
        found[row.lost.product, row.lost.starts_at, row.lost.cause].append(row)
    return tuple(
        DisplacedTotal(
            product, starts_at, cause, len({row.evse_id for row in own}), sum(row.lost.energy_kwh for row in own)
        )
        for (product, starts_at, cause), own in sorted(found.items())
    )
