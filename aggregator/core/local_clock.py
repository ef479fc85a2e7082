"""London wall-clock time over charging days, so that habits keep their hour when the clocks change."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, NOON, SETTLEMENT_PERIOD, TimeGrid, charging_day, utc
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray

N_CLOCK_PERIOD = 48
SATURDAY = 5
ONE_HOUR = np.timedelta64(3600, "s")
# Both clock changes happen at 01:00 UTC of the charging day's second date.
CHANGE_AFTER_MIDNIGHT = ONE_HOUR


class NotAChargingDay(FlexError):
    code = "local_clock.not_a_charging_day"


class DayTypeUnknown(FlexError):
    code = "local_clock.day_type_unknown"


def working_days(days: Iterable[date], holidays: Collection[date]) -> BoolArray:
    """(n_day,) True for a working day: Monday to Friday and none of ``holidays``."""
    return np.array([day.weekday() < SATURDAY and day not in holidays for day in days], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class DayTypes:
    """Which local dates are working days.

    Attributes:
        first_day: the first date covered.
        is_working: (n_day,) True on a weekday that is no bank holiday.
    """

    first_day: date
    is_working: BoolArray

    def of(self, days: TimeArray) -> BoolArray:
        """Day type of each ``datetime64[D]`` date.

        Raises:
            DayTypeUnknown: a date outside the days covered.
        """
        index = (days.astype("datetime64[D]") - np.datetime64(self.first_day, "D")).astype(np.int64)
        outside = (index < 0) | (index >= len(self.is_working))
        if outside.any():
            last_day = self.first_day + timedelta(days=len(self.is_working) - 1)
            raise DayTypeUnknown(
                f"day types run from {self.first_day} to {last_day}, asked for {days[outside][0]}",
                asked=str(days[outside][0]),
            )
        found: BoolArray = self.is_working[index]
        return found


@dataclass(frozen=True, slots=True)
class ChargingDays:
    """Consecutive charging days, London noon to noon.

    Attributes:
        first_day: date of the first one.
        noon_at: (n_day + 1,) ``datetime64[s]`` UTC noons that bound them.
    """

    first_day: date
    noon_at: TimeArray

    @property
    def n_day(self) -> int:
        return len(self.noon_at) - 1

    def dates(self) -> TimeArray:
        """(n_day,) ``datetime64[D]``."""
        dates: TimeArray = np.datetime64(self.first_day, "D") + np.arange(self.n_day)
        return dates

    def index_of(self, at: TimeArray) -> IntArray:
        """Charging day that holds each instant: below 0 or n_day and above when none of these does."""
        index: IntArray = np.searchsorted(self.noon_at, at, side="right").astype(np.int64) - 1
        return index

    def clock_h(self, at: TimeArray, day: IntArray) -> FloatArray:
        """Hours the London wall clock shows past the noon of ``day``, clipped to 0..24.

        The repeated autumn hour reads 13 to 14 on both passings; the skipped spring hour is never read.
        """
        noon, next_noon = self.noon_at[day], self.noon_at[day + 1]
        elapsed = np.clip(at - noon, np.timedelta64(0, "s"), next_noon - noon)
        gained = (next_noon - noon) - 24 * ONE_HOUR
        is_after = noon + elapsed >= self._change_at(day)
        clock_h: FloatArray = (elapsed - np.where(is_after, gained, np.timedelta64(0, "s"))) / ONE_HOUR
        return clock_h

    def _change_at(self, day: IntArray) -> TimeArray:
        midnights: TimeArray = (self.dates() + 1).astype("datetime64[s]")
        change_at: TimeArray = midnights[day] + CHANGE_AFTER_MIDNIGHT
        return change_at


def charging_days(first_day: date, n_day: int) -> ChargingDays:
    """Table of ``n_day`` charging days from ``first_day``."""
    noons = [utc(first_day + timedelta(days=index), NOON).replace(tzinfo=None) for index in range(n_day + 1)]
    return ChargingDays(first_day, np.array(noons, dtype="datetime64[s]"))


def charging_date(grid: TimeGrid) -> date:
    """Date of the charging day this grid is.

    Raises:
        NotAChargingDay: the grid is not London noon to noon by half-hours.
    """
    day = grid.starts_at.astimezone(LONDON).date()
    if grid != charging_day(day):
        raise NotAChargingDay(
            f"a grid from London noon to noon by 30 min is needed, found {grid.n_period} periods of "
            f"{grid.period_minutes} min from {grid.starts_at.isoformat()}",
            starts_at=grid.starts_at.isoformat(),
        )
    return day


def clock_period(grid: TimeGrid) -> IntArray:
    """(n_period,) half-hour the London wall clock shows at each period's start: 0 at midnight to 47 at 23:30.

    Raises:
        NotAChargingDay: the grid's periods are not half-hours that start on :00 or :30.
    """
    if grid.step != SETTLEMENT_PERIOD or grid.starts_at.minute % 30 or grid.starts_at.second:
        raise NotAChargingDay(f"half-hours starting on :00 or :30 are needed, found {grid.starts_at.isoformat()}")
    local = [start.astimezone(LONDON) for start in grid.starts()]
    return np.array([start.hour * 2 + start.minute // 30 for start in local], dtype=np.int64)


def local_dates(grid: TimeGrid) -> TimeArray:
    """(n_period,) ``datetime64[D]`` London date of each period's start."""
    return np.array([start.astimezone(LONDON).date() for start in grid.starts()], dtype="datetime64[D]")


def grid_position(clock_h: FloatArray, grid: TimeGrid, passing: Literal["first", "last"]) -> FloatArray:
    """Position on a charging-day grid, in periods, of wall-clock hours past its noon.

    A clock time inside the skipped spring hour falls on the change itself; one inside the repeated
    autumn hour on its first or last passing, as asked.

    Raises:
        NotAChargingDay: see ``charging_date``.
    """
    charging_date(grid)
    gained_h = grid.n_period / 2 - 24
    if gained_h < 0:
        elapsed_h = np.where(clock_h < 13, clock_h, np.maximum(clock_h + gained_h, 13.0))
    elif gained_h > 0:
        is_second = clock_h >= 14 if passing == "first" else clock_h >= 13
        elapsed_h = clock_h + np.where(is_second, gained_h, 0.0)
    else:
        elapsed_h = clock_h
    position: FloatArray = np.asarray(elapsed_h, dtype=np.float64) * 2
    return position
