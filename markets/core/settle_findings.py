"""What was odd about a settlement, in sentences an operator can act on."""

from collections.abc import Iterator, Sequence

import numpy as np

from aggregator.core.errors import Detail
from aggregator.core.findings import FindingNote
from aggregator.core.types import FloatArray
from markets.core.baseline import BaselineHistory, BaselineRule, EventBaseline
from markets.core.delivered import CountedPeriods, Direction, UnitVolume
from markets.core.history import day_types, local_dates


def baseline_findings(history: BaselineHistory, rule: BaselineRule, baseline: EventBaseline) -> Iterator[FindingNote]:
    """Yield what happened while each row's baseline was made."""
    yield from _day_findings(history, rule, baseline)
    yield from _window_findings(history, rule, baseline)
    for row in np.flatnonzero(baseline.is_capped).tolist():
        adjustment_kwh, ratio = float(baseline.adjustment_kwh[row]), float(baseline.adjustment_ratio[row])
        is_ratio = rule.adjustment == "ratio"
        cut_to = f"the factor {ratio:.4f}" if is_ratio else f"{adjustment_kwh:.4f} kWh a half-hour"
        yield FindingNote(
            code="baseline.adjustment_capped",
            subject=history.row_ids[row],
            message=f"the same-day adjustment was cut to {cut_to}",
            details={"ratio": ratio} if is_ratio else {"adjustment_kwh": adjustment_kwh},
        )
    for row in np.flatnonzero(baseline.is_floored.any(axis=1)).tolist():
        adjustment_kwh, is_floored = float(baseline.adjustment_kwh[row]), baseline.is_floored[row]
        first_at = history.grid.starts()[int(np.argmax(is_floored))]
        yield FindingNote(
            code="baseline.floored_at_zero",
            subject=history.row_ids[row],
            message=f"an adjustment of {adjustment_kwh:.4f} kWh took the baseline below 0: held at 0",
            details={
                "n_period": int(is_floored.sum()),
                "first_at": first_at.isoformat(),
                "adjustment_kwh": adjustment_kwh,
            },
        )


def _window_findings(history: BaselineHistory, rule: BaselineRule, baseline: EventBaseline) -> Iterator[FindingNote]:
    """Yield, per row that has a baseline, an adjustment window with gaps."""
    if rule.adjustment == "monitored":
        return
    n_missing = np.isnan(history.adjustment_metered_kwh).sum(axis=1)
    has_baseline = ~np.isnan(baseline.unadjusted_kwh).all(axis=1)
    for row in np.flatnonzero(has_baseline & ((n_missing > 0) | ~baseline.is_adjusted)).tolist():
        details: dict[str, Detail] = {"n_missing": int(n_missing[row]), "n_needed": rule.min_adjustment_periods}
        if baseline.is_adjusted[row]:
            yield FindingNote(
                code="baseline.adjustment_window_incomplete",
                subject=history.row_ids[row],
                message=f"{n_missing[row]} adjustment half-hours were not read: adjusted on the others",
                details=details,
            )
        else:
            yield FindingNote(
                code="baseline.not_adjusted",
                subject=history.row_ids[row],
                message=f"the adjustment needs {rule.min_adjustment_periods} half-hours with a read and a baseline: "
                "left unadjusted",
                details=details,
            )


def _day_findings(history: BaselineHistory, rule: BaselineRule, baseline: EventBaseline) -> Iterator[FindingNote]:
    """Yield, per row and settlement date, too few days for a baseline or fewer than the rule wants."""
    dates = local_dates(history.grid.period_starts())
    for day in sorted(set(dates)):
        working = bool(day_types([day], history.holidays)[0])
        n_wanted, n_drop = rule.n_days(working=working), rule.n_drop(working=working)
        for row, row_id in enumerate(history.row_ids):
            n_found = int(baseline.n_days[row, dates.index(day)])
            details: dict[str, Detail] = {"settlement_date": day.isoformat(), "n_found": n_found, "n_wanted": n_wanted}
            if n_found <= 2 * n_drop:
                yield FindingNote(
                    code="baseline.too_few_eligible_days",
                    subject=row_id,
                    message=f"{day.isoformat()} has {n_found} eligible days, more than {2 * n_drop} are needed: "
                    "no baseline, nothing delivered",
                    details=details,
                )
            elif n_found < n_wanted:
                yield FindingNote(
                    code="baseline.fewer_eligible_days",
                    subject=row_id,
                    message=f"{day.isoformat()} has {n_found} eligible days of {n_wanted}: the baseline uses those",
                    severity="info",
                    details=details,
                )


def volume_findings(
    unit_ids: Sequence[str],
    direction: Direction,
    ordered_kwh: FloatArray,
    volume: UnitVolume,
    counted: CountedPeriods,
) -> Iterator[FindingNote]:
    """Yield what happened while each unit's volume was counted."""
    is_zero = (volume.baseline_kwh <= 0) & (ordered_kwh > 0)
    n_zero = is_zero.sum(axis=1)
    for unit, unit_id in enumerate(unit_ids):
        if not (ordered_kwh[unit] * counted.counts[unit]).any():
            yield FindingNote(
                code="settle.void", subject=unit_id, message="nothing was instructed: the line is void", severity="info"
            )
        if counted.n_missing[unit]:
            how = "left out of both sums" if not counted.counts[unit].all() else "counted as 0 delivered"
            yield FindingNote(
                code="delivered.missing_read",
                subject=unit_id,
                message=f"{counted.n_missing[unit]} half-hours lack a read: {how}",
                details={
                    "n_missing": int(counted.n_missing[unit]),
                    "n_missing_reads": int(volume.n_missing[unit].sum()),
                },
            )
        if counted.is_refused[unit]:
            yield FindingNote(
                code="delivered.exclusion_refused",
                subject=unit_id,
                message=f"too few half-hours were read to leave {counted.n_missing[unit]} out: counted as 0 delivered",
                details={"n_missing": int(counted.n_missing[unit])},
            )
        if direction == "turn_down" and n_zero[unit]:
            yield FindingNote(
                code="baseline.zero",
                subject=unit_id,
                message=f"the baseline is 0 or less in {n_zero[unit]} half-hours: nothing could be turned down",
                details={"n_period": int(n_zero[unit])},
            )
