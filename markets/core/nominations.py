"""What a DSRSP nominates as its baseline: power by settlement period of a date, and the files that say it."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import settlement_day
from aggregator.core.types import FloatArray
from markets.core.baseline_template import HEADER as WEEKLY_HEADER
from markets.core.baseline_template import read_baseline_template

DATED_HEADER = ["settlement_date", "settlement_period", "power_kw"]
MOST_DAYS = 400
MOST_KW = 1e6
HALF_HOUR_H = 0.5


class InvalidNomination(FlexError):
    code = "nomination.invalid"


@dataclass(frozen=True, slots=True)
class NominatedDay:
    """Power nominated for one settlement date.

    Attributes:
        power_kw: (n_period,) kW of settlement period 1, 2, …, consumption positive, NaN where nothing is said; 46, 48
            or 50 of them.

    Raises:
        InvalidNomination: another number of periods, infinite or absurd power, or none at all.
    """

    settlement_date: date
    power_kw: FloatArray

    def __post_init__(self) -> None:
        n_period = settlement_day(self.settlement_date).n_period
        if self.power_kw.shape != (n_period,):
            raise InvalidNomination(
                f"{self.settlement_date} has {n_period} settlement periods, found {self.power_kw.size} powers",
                field="power_kw",
                settlement_date=self.settlement_date.isoformat(),
            )
        if (np.abs(self.power_kw) > MOST_KW).any():
            raise InvalidNomination(
                f"{self.settlement_date} holds {np.nanmax(np.abs(self.power_kw))} kW, expected {MOST_KW:,.0f} at most",
                field="power_kw",
            )
        if np.isnan(self.power_kw).all():
            raise InvalidNomination(f"{self.settlement_date} nominates no settlement period", field="power_kw")


def read_nominations(text: str, *, first: date | None = None, last: date | None = None) -> tuple[NominatedDay, ...]:
    """Read a file of nominations, dated or weekly; its header says which.

    Args:
        text: ``settlement_date, settlement_period, power_kw`` with consumption positive, each period once; or a week as
            ``read_baseline_template`` takes it, with import negative.
        first, last: the settlement dates a week is for, both included; of a dated file only these are taken.

    Returns:
        Nominated days, oldest first.

    Raises:
        InvalidNomination: another header, a row that is none, a period named twice or that its day has not, a week
            without dates, no day at all or more than 400; the message names the line.
        InvalidBaselineTemplate: a week that is none.

    Source: docs/methods/baseline.md
    """
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    header = sorted(rows[0]) if rows else []
    if header == sorted(WEEKLY_HEADER):
        return _of_week(text, first, last)
    if header != sorted(DATED_HEADER):
        raise InvalidNomination(
            f"line 1: expected the columns {', '.join(DATED_HEADER)} or {', '.join(WEEKLY_HEADER)}, found "
            f"{', '.join(rows[0])[:80] if rows else 'nothing'}",
            field="file",
        )
    days = _dated(rows)
    kept = {
        day: power_kw
        for day, power_kw in days.items()
        if (first is None or day >= first) and (last is None or day <= last)
    }
    _check_number(len(kept))
    return tuple(NominatedDay(day, kept[day]) for day in sorted(kept))


def nominated_energy_kwh(power_kw: Iterable[float | None]) -> FloatArray:
    """(n_period,) kWh of half-hours at these powers, NaN where there is none."""
    energy_kwh: FloatArray = np.array([np.nan if one is None else one for one in power_kw], dtype=np.float64)
    return energy_kwh * HALF_HOUR_H


def _of_week(text: str, first: date | None, last: date | None) -> tuple[NominatedDay, ...]:
    if first is None or last is None or last < first:
        raise InvalidNomination("a week needs the settlement dates it is for: the first and the last", field="first")
    _check_number((last - first).days + 1)
    week = read_baseline_template(text)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return tuple(
        NominatedDay(day, week.energy_kwh(settlement_day(day).period_starts()) / HALF_HOUR_H + 0.0) for day in days
    )


def _dated(rows: list[list[str]]) -> dict[date, FloatArray]:
    """(n_period,) kW by settlement date, of rows under a header."""
    places = [rows[0].index(name) for name in DATED_HEADER]
    days: dict[date, FloatArray] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(DATED_HEADER):
            raise InvalidNomination(f"line {line}: {len(row)} fields, expected {len(DATED_HEADER)}", line=line)
        day, period, power_kw = _cells(line, *(row[place] for place in places))
        if day not in days:
            days[day] = np.full(settlement_day(day).n_period, np.nan)
        if not 1 <= period <= len(days[day]):
            raise InvalidNomination(
                f"line {line}: {day} has settlement periods 1 to {len(days[day])}, found {period}", line=line
            )
        if not np.isnan(days[day][period - 1]):
            raise InvalidNomination(f"line {line}: {day} period {period} is named twice", line=line)
        days[day][period - 1] = power_kw
    return days


def _cells(line: int, day: str, period: str, power: str) -> tuple[date, int, float]:
    if not period.isascii() or not period.isdigit() or len(period) > 2:
        raise InvalidNomination(f"line {line}: settlement_period is {period[:20]!r}, expected 1 to 50", line=line)
    try:
        found = date.fromisoformat(day) if len(day) == 10 else None
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2999:
        raise InvalidNomination(f"line {line}: settlement_date is {day[:20]!r}, expected as 2026-01-14", line=line)
    try:
        value = float(power) if power.isascii() and "_" not in power and power == power.strip() else np.nan
    except ValueError:
        value = np.nan
    if not abs(value) <= MOST_KW:
        raise InvalidNomination(f"line {line}: power_kw is {power[:20]!r}, expected a number of kW", line=line)
    return found, int(period), value


def _check_number(n_day: int) -> None:
    if not 1 <= n_day <= MOST_DAYS:
        raise InvalidNomination(f"{n_day} settlement dates are nominated, expected 1 to {MOST_DAYS}", field="file")
