"""A week of expected power as Flexible Power's template states it, and the same as energy of half-hours in UTC.

The template repeats weekly: ``day_of_week, local_time, power_kw``; days in English capitals, times on London's clock at
the **start** of a minute or half-hour, import **negative**. Nothing but this file knows that.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON
from aggregator.core.types import FloatArray, TimeArray
from markets.core.energy import from_quanta, to_quanta

DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
HEADER = ["day_of_week", "local_time", "power_kw"]
MINUTES_A_DAY = 1_440
HALF_HOUR_MINUTES = 30
MOST_KW = 1e6


class InvalidBaselineTemplate(FlexError):
    code = "baseline.invalid_template"


@dataclass(frozen=True, slots=True)
class BaselineTemplate:
    """A week of expected power, import positive.

    Attributes:
        power_kw: (7, 48) or (7, 1440) from Monday and from midnight of London's clock, by half-hours or by minutes.

    Raises:
        InvalidBaselineTemplate: another shape, or power that is not finite.
    """

    power_kw: FloatArray

    def __post_init__(self) -> None:
        if self.power_kw.shape not in ((7, 48), (7, MINUTES_A_DAY)) or not np.isfinite(self.power_kw).all():
            raise InvalidBaselineTemplate(f"a week is (7, 48) or (7, 1440) finite powers, found {self.power_kw.shape}")

    def energy_kwh(self, period_starts: TimeArray) -> FloatArray:
        """Energy expected in half-hours: (n_period,) kWh on the settlement grid, import positive.

        Each half-hour reads the clock time it starts at: both hours from 01:00 of October's change read the same rows,
        and the rows of the hour that March skips are read by nobody.

        Args:
            period_starts: (n_period,) ``datetime64[s]`` UTC starts of half-hours.

        Source: docs/methods/delivered.md
        """
        local = [at.replace(tzinfo=UTC).astimezone(LONDON) for at in period_starts.astype("datetime64[s]").tolist()]
        day = np.array([at.weekday() for at in local], dtype=np.int64)
        half_hour = np.array([at.hour * 2 + at.minute // HALF_HOUR_MINUTES for at in local], dtype=np.int64)
        by_half_hour = self.power_kw.reshape(7, 48, -1).mean(axis=2)
        return from_quanta(to_quanta(by_half_hour[day, half_hour] * 0.5))


def read_baseline_template(text: str) -> BaselineTemplate:
    """Read a template: every half-hour of a week, or every minute, each once and in any order.

    Raises:
        InvalidBaselineTemplate: another header, a row that is none, a time named twice, or one that is missing; the
            message names the line or the time.
    """
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    if not rows or sorted(rows[0]) != sorted(HEADER):
        raise InvalidBaselineTemplate(f"line 1: expected the columns {', '.join(HEADER)}, found {rows[:1]}")
    places = [rows[0].index(name) for name in HEADER]
    power_kw = np.full((7, MINUTES_A_DAY), np.nan)
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(HEADER):
            raise InvalidBaselineTemplate(f"line {line}: {len(row)} fields, expected {len(HEADER)}", line=line)
        day, minute, power = _cells(line, *(row[place] for place in places))
        if not np.isnan(power_kw[day, minute]):
            raise InvalidBaselineTemplate(f"line {line}: {DAYS[day]} {_clock(minute)} is named twice", line=line)
        power_kw[day, minute] = power
    is_half_hourly = not (~np.isnan(power_kw))[:, np.arange(MINUTES_A_DAY) % HALF_HOUR_MINUTES != 0].any()
    week = power_kw[:, ::HALF_HOUR_MINUTES] if is_half_hourly else power_kw
    if np.isnan(week).any():
        day, at = (int(index) for index in np.argwhere(np.isnan(week))[0])
        minute = at * HALF_HOUR_MINUTES if is_half_hourly else at
        raise InvalidBaselineTemplate(f"{DAYS[day]} {_clock(minute)} is missing")
    return BaselineTemplate(-week + 0.0)


def _cells(line: int, day: str, clock: str, power: str) -> tuple[int, int, float]:
    hour, _, minute = clock.partition(":")
    is_clock = len(clock) == 5 and clock.isascii() and hour.isdigit() and minute.isdigit()
    if day not in DAYS or not is_clock or int(hour) > 23 or int(minute) > 59:
        raise InvalidBaselineTemplate(
            f"line {line}: {day[:20]!r} {clock[:20]!r} is no day in capitals and time from 00:00 to 23:59", line=line
        )
    try:
        value = float(power) if power.isascii() and "_" not in power and power == power.strip() else np.nan
    except ValueError:
        value = np.nan
    if not abs(value) <= MOST_KW:
        raise InvalidBaselineTemplate(f"line {line}: power_kw is {power[:20]!r}, expected a number of kW", line=line)
    return DAYS.index(day), int(hour) * 60 + int(minute), value


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
