"""The demo's fixed dates and its one seed, so that its summary is the same everywhere."""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from aggregator.core.local_clock import DayTypes, working_days
from aggregator.core.timegrid import TimeGrid

DEMO_SEED = 20260115
CHARGING_DAY = date(2026, 1, 15)
FIRST_DAY = date(2025, 11, 6)
N_HISTORY_DAY = (CHARGING_DAY - FIRST_DAY).days
# The afternoon before, once day-ahead prices are out. All dates lie in winter time: London's clock is UTC.
AS_OF = datetime(2026, 1, 14, 18, tzinfo=UTC)
BANK_HOLIDAYS = (date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1))
STREAMS = ("network", "fleet", "habits", "sessions", "demand", "prices")


def demo_stream(name: str, seed: int = DEMO_SEED) -> np.random.Generator:
    """Give each part of the demo a stream of its own, so that a change to one part leaves the others alone."""
    return np.random.default_rng([seed, STREAMS.index(name)])


def utc_days_grid() -> TimeGrid:
    """Half-hours of whole UTC days from the first day of history to the end of the charging day's second date."""
    start = datetime.combine(FIRST_DAY, datetime.min.time(), tzinfo=UTC)
    return TimeGrid(starts_at=start, n_period=(N_HISTORY_DAY + 2) * 48)


def utc_day(index: int) -> date:
    """Date of the UTC day at ``index`` of ``utc_days_grid``."""
    return FIRST_DAY + timedelta(days=index)


def day_types() -> DayTypes:
    """Working days in England, from the first day to the end of the charging day's second date."""
    days = [utc_day(index) for index in range(N_HISTORY_DAY + 2)]
    return DayTypes(FIRST_DAY, working_days(days, BANK_HOLIDAYS))
