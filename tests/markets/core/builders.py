"""Builders of settlement inputs: an event, a history that is the same on every day of a type, and a meter."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, TimeArray
from markets.core.baseline import BaselineHistory, BaselineRule
from markets.core.history import adjustment_starts, candidate_days, same_local_time
from markets.core.payment import PerformanceRule
from markets.core.settle import SettlementInputs

ORACLES: dict[str, Any] = json.loads((Path(__file__).parent / "settlement_oracles.json").read_text(encoding="utf-8"))
PLAIN_RULE = BaselineRule(name="recent-10", n_drop_working=0, n_drop_non_working=0)
NO_HOLIDAYS: frozenset[date] = frozenset()

Meter = Mapping[datetime, float]


def event_grid(starts_at: datetime, n_period: int) -> TimeGrid:
    return TimeGrid(starts_at=starts_at.astimezone(UTC), n_period=n_period)


def read_meter(meter: Meter, starts: TimeArray) -> FloatArray:
    """Energies of the half-hours at ``starts``; NaN where the meter has none."""
    instants = [at.replace(tzinfo=UTC) for at in starts.astype("datetime64[s]").tolist()]
    return np.array([meter.get(at, np.nan) for at in instants])


def read_history(
    meters: Mapping[str, Meter],
    grid: TimeGrid,
    rule: BaselineRule,
    *,
    holidays: frozenset[date] = NO_HOLIDAYS,
    event_days: Mapping[str, Iterable[date]] | None = None,
) -> BaselineHistory:
    """Load a history the way a service does: candidate days, their clock times, one meter per row."""
    event_starts = grid.period_starts()
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    days = candidate_days(event_starts, window, lookback_days=rule.lookback_days)
    called = {row: set(days_called) for row, days_called in (event_days or {}).items()}
    return BaselineHistory(
        row_ids=tuple(meters),
        grid=grid,
        days=days,
        holidays=holidays,
        is_event_day=np.array([[day in called.get(row, ()) for day in days] for row in meters], dtype=bool),
        event_kwh=_table(meters, days, event_starts),
        adjustment_kwh=_table(meters, days, window),
        adjustment_metered_kwh=np.array([read_meter(meter, window) for meter in meters.values()]),
    )


def _table(meters: Mapping[str, Meter], days: Sequence[date], starts: TimeArray) -> FloatArray:
    rows = [[read_meter(meter, same_local_time(starts, day)) for day in days] for meter in meters.values()]
    return np.array(rows, dtype=float).reshape(len(meters), len(days), len(starts))


THURSDAY_17H = datetime(2026, 1, 15, 17, tzinfo=UTC)
NEW_YEAR = frozenset({date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1)})


def fleet_history(**changes: Any) -> BaselineHistory:
    """The worked fleet: ten working days before Thursday 15 January 2026 17:00-19:00, totals as in the oracles."""
    oracle = ORACLES["baseline_kwh"]
    # Newest first from Wednesday 14 January; weekends and New Year fall out, so day 10 is 31 December.
    days_of_january = [14, 13, 12, 9, 8, 7, 6, 5, 2]
    newest_first = [date(2026, 1, day) for day in days_of_january] + [date(2025, 12, 31)]
    days = tuple(reversed(newest_first))
    history = np.array(oracle["history"], dtype=float)
    fields: dict[str, Any] = {
        "row_ids": ("fleet-f",),
        "grid": event_grid(THURSDAY_17H, 4),
        "days": days,
        "holidays": NEW_YEAR,
        "is_event_day": np.zeros((1, 10), dtype=bool),
        "event_kwh": np.repeat(history[np.newaxis, :, np.newaxis], 4, axis=2),
        "adjustment_kwh": np.full((1, 10, 6), float(oracle["window_history"])),
        "adjustment_metered_kwh": np.array([oracle["window_metered"]], dtype=float),
    }
    return BaselineHistory(**(fields | changes))


def fleet_inputs(
    *,
    metered_kwh: Sequence[float] = (12.0, 9.0, 15.0, 14.0),
    rule: PerformanceRule | None = None,
    **changes: Any,
) -> SettlementInputs:
    """Fleet F, 70 kW down for two hours at GBP 300/MWh; by the plain rule it delivers 33, 36, 30 and 31 kWh."""
    fields: dict[str, Any] = {
        "unit_ids": ("fleet-f",),
        "direction": "turn_down",
        "instructed_kw": np.full((1, 4), 70.0),
        "price_gbp_per_mwh": (Decimal(300),),
        "history": fleet_history(),
        "metered_kwh": np.array([metered_kwh], dtype=float),
        "baseline_rule": PLAIN_RULE,
        "performance_rule": rule or PerformanceRule(),
    }
    return SettlementInputs(**(fields | changes))
