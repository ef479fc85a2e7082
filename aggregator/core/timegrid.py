"""Grids of equal periods in UTC, and the GB settlement periods numbered on them.

Everything inside the house counts periods in UTC. Europe/London appears here, where a settlement
period gets its number: 48 a local day, 46 on the last Sunday of March, 50 on the last of October.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import TimeArray

LONDON = ZoneInfo("Europe/London")
SETTLEMENT_PERIOD = timedelta(minutes=30)
NOON = time(12)


class InvalidTimeGrid(FlexError):
    code = "timegrid.invalid"


class InvalidSettlementPeriod(FlexError):
    code = "timegrid.invalid_settlement_period"


class NotOnGrid(FlexError):
    code = "timegrid.not_on_grid"


class SettlementPeriod(NamedTuple):
    """A numbered half-hour of a local settlement date; ``number`` counts from 1."""

    settlement_date: date
    number: int


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """``n_period`` half-open periods of ``period_minutes`` from ``starts_at`` (aware, UTC).

    Raises:
        InvalidTimeGrid: a naive start, a start off the minute, or fewer than one period of one minute.
    """

    starts_at: datetime
    n_period: int
    period_minutes: int = 30

    def __post_init__(self) -> None:
        if self.starts_at.tzinfo is None or self.starts_at.utcoffset() != timedelta(0):
            raise InvalidTimeGrid(f"starts_at must be aware UTC, found {self.starts_at.isoformat()}")
        if self.starts_at.second or self.starts_at.microsecond:
            raise InvalidTimeGrid(f"starts_at must be on the minute, found {self.starts_at.isoformat()}")
        if self.n_period < 1 or self.period_minutes < 1:
            raise InvalidTimeGrid(
                f"a grid needs at least one period of one minute, found {self.n_period} of {self.period_minutes} min",
                n_period=self.n_period,
                period_minutes=self.period_minutes,
            )
        # A London winter time also has offset 0, but adding to it counts wall-clock time across the spring change.
        object.__setattr__(self, "starts_at", self.starts_at.astimezone(UTC))

    @property
    def step(self) -> timedelta:
        return timedelta(minutes=self.period_minutes)

    @property
    def step_h(self) -> float:
        return self.period_minutes / 60

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + self.n_period * self.step

    def period_starts(self) -> TimeArray:
        """(n_period,) ``datetime64[s]`` UTC start of each period."""
        first = np.datetime64(self.starts_at.replace(tzinfo=None), "s")
        starts: TimeArray = first + np.arange(self.n_period) * np.timedelta64(self.period_minutes * 60, "s")
        return starts

    def starts(self) -> list[datetime]:
        """Aware UTC start of each period."""
        return [self.starts_at + index * self.step for index in range(self.n_period)]

    def index_of(self, at: datetime) -> int:
        """Index of the period that starts at ``at``; ``n_period`` for the grid's end.

        Raises:
            NotOnGrid: ``at`` is no boundary of this grid.
        """
        index, rest = divmod(at - self.starts_at, self.step)
        if rest or not 0 <= index <= self.n_period:
            raise NotOnGrid(
                f"{at.isoformat()} is no boundary of the grid {self.starts_at.isoformat()} to "
                f"{self.ends_at.isoformat()} by {self.period_minutes} min",
                at=at.isoformat(),
            )
        return index


def utc(day: date, at: time) -> datetime:
    """UTC instant of a London wall-clock time; the repeated autumn hour means its first passing."""
    return datetime.combine(day, at, tzinfo=LONDON).astimezone(UTC)


def settlement_day(day: date) -> TimeGrid:
    """Grid of a local settlement day, from London midnight to midnight: 46, 48 or 50 periods."""
    return _between(utc(day, time(0)), utc(day + timedelta(days=1), time(0)))


def charging_day(day: date) -> TimeGrid:
    """Grid from London noon on ``day`` to noon the next: a night's plug-in windows fall whole into one such day."""
    return _between(utc(day, NOON), utc(day + timedelta(days=1), NOON))


def charging_dates(starts_at: datetime, ends_at: datetime) -> tuple[date, ...]:
    """Dates of the charging days that ``[starts_at, ends_at)`` lies in, oldest first."""
    first = starts_at.astimezone(LONDON).date() - timedelta(days=1)
    n_day = (ends_at.astimezone(LONDON).date() - first).days + 1
    days = [first + timedelta(days=number) for number in range(n_day)]
    return tuple(day for day in days if utc(day, NOON) < ends_at and utc(day + timedelta(days=1), NOON) > starts_at)


def _between(starts_at: datetime, ends_at: datetime) -> TimeGrid:
    return TimeGrid(starts_at=starts_at, n_period=(ends_at - starts_at) // SETTLEMENT_PERIOD)


def settlement_period_at(at: datetime) -> SettlementPeriod:
    """Settlement date and number of the half-hour that contains ``at`` (aware)."""
    if at.tzinfo is None:
        raise InvalidSettlementPeriod(f"an aware time is needed to number a period, found {at.isoformat()}")
    at_utc = at.astimezone(UTC)
    day = at_utc.astimezone(LONDON).date()
    return SettlementPeriod(day, (at_utc - utc(day, time(0))) // SETTLEMENT_PERIOD + 1)


def settlement_period_start(period: SettlementPeriod) -> datetime:
    """UTC start of a numbered period.

    Raises:
        InvalidSettlementPeriod: the number is not one of that day's 46, 48 or 50.
    """
    grid = settlement_day(period.settlement_date)
    if not 1 <= period.number <= grid.n_period:
        raise InvalidSettlementPeriod(
            f"{period.settlement_date} has settlement periods 1 to {grid.n_period}, asked for {period.number}",
            settlement_date=period.settlement_date.isoformat(),
            number=period.number,
        )
    return grid.starts_at + (period.number - 1) * SETTLEMENT_PERIOD
