"""Who behaved otherwise before an event that was settled: the gaming flag as findings."""

from collections.abc import Iterator

import numpy as np

from aggregator.core.findings import FindingNote
from aggregator.core.types import BoolArray
from markets.core.baseline import BaselineHistory, BaselineRule
from markets.core.baseline_gaming import departure
from markets.core.delivered import Direction
from markets.core.history import day_types, eligible_days, local_dates

LIKE_DAYS = BaselineRule(name="like-days", n_drop_working=0, n_drop_non_working=0)
FLAG = "baseline.departs_before_event"


def like_days(history: BaselineHistory) -> BoolArray:
    """(n_row, n_day) the most recent like days of each row with reads in event and window; no event day is one."""
    day = local_dates(history.grid.period_starts())[0]
    is_working = bool(day_types([day], history.holidays)[0])
    energy = np.concatenate([history.event_kwh, history.adjustment_kwh], axis=2)
    return eligible_days(
        settlement_date=day,
        is_working=is_working,
        days=history.days,
        days_working=day_types(history.days, history.holidays),
        is_event_day=history.is_event_day,
        has_reads=~np.isnan(energy).any(axis=2),
        n_days=LIKE_DAYS.n_days(working=is_working),
        lookback_days=LIKE_DAYS.lookback_days,
    )


def gaming_findings(
    history: BaselineHistory, rule: BaselineRule, direction: Direction, *, alpha: float = 0.01
) -> Iterator[FindingNote]:
    """Yield a finding for each row whose window before the event departs from its like days in the way that pays.

    Nothing where the window does not move the baseline: without an adjustment, or with one that is only monitored.

    Source: docs/methods/baseline.md
    """
    if rule.adjustment_periods == 0 or rule.adjustment == "monitored" or not history.days:
        return
    like_kwh = np.where(like_days(history), history.adjustment_kwh.sum(axis=2), np.nan)
    window_kwh = history.adjustment_metered_kwh.sum(axis=1)
    found = departure(window_kwh, like_kwh, direction=direction, alpha=alpha)
    day = local_dates(history.grid.period_starts())[0].isoformat()
    for row in np.flatnonzero(found.is_flagged).tolist():
        mean_kwh, t, p = float(np.nanmean(like_kwh[row])), float(found.t[row]), float(found.p[row])
        yield FindingNote(
            code=FLAG,
            subject=history.row_ids[row],
            message=f"{window_kwh[row]:.1f} kWh in the window before the event of {day}, {mean_kwh:.1f} kWh on "
            f"{int(found.n_days[row])} like days (t = {t:.1f}, p = {p:.4f}): look at it, it proves nothing",
            details={
                "settlement_date": day,
                "window_kwh": float(window_kwh[row]),
                "like_days_kwh": mean_kwh,
                "n_days": int(found.n_days[row]),
                "t": t,
                "p": p,
                "alpha": alpha,
            },
        )
