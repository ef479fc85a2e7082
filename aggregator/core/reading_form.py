"""How a source states its readings, and the same in the house's terms: half-hour starts in UTC, kWh, import positive.

Sources differ in what a time stamp means (a period's start or its end), which way import counts, how long a period is
and whether a value is an energy, a mean power or a register. Only here are those differences known.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.reading_rows import ReadingRows
from aggregator.core.readings import ConflictingReadings
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray

Convention = Literal["headroom", "flexible-power"]
Granularity = Literal["half-hour", "minute"]
Stamp = Literal["period-start", "period-end"]
Quantity = Literal["energy", "power", "register"]
CONVENTIONS: tuple[Convention, ...] = ("headroom", "flexible-power")
GRANULARITIES: tuple[Granularity, ...] = ("half-hour", "minute")
QUANTITIES: tuple[Quantity, ...] = ("energy", "power", "register")
STAMPS: tuple[Stamp, ...] = ("period-start", "period-end")
OWN_STAMP: dict[Convention, Stamp] = {"headroom": "period-start", "flexible-power": "period-end"}

MINUTES = 30
MINUTE = np.timedelta64(60, "s")
HALF_HOUR_H = 0.5
_HALF_HOURS_OF_TIME = 2**32  # more than there are from 1970 on
VALUES: dict[Quantity, str] = {"energy": "energy_kwh", "power": "power_kw", "register": "register_kwh"}


class InvalidReadingForm(FlexError):
    code = "reading.invalid_form"


@dataclass(frozen=True, slots=True)
class ReadingForm:
    """What a source's stamps and values mean.

    Attributes:
        convention: ``headroom`` stamps a period's start and counts import positive; ``flexible-power`` stamps its end
            and counts import negative. Both are in UTC.
        granularity: how long one value's period is.
        quantity: energy of the period, mean power in it, or a register that only grows.
        stamp: what a time stamp names, where it is not what the convention has; None where it is.

    Raises:
        InvalidReadingForm: an unknown word, or what nobody sends: energies of minutes, registers of ``flexible-power``.

    Source: docs/methods/delivered.md
    """

    convention: Convention = "headroom"
    granularity: Granularity = "half-hour"
    quantity: Quantity = "energy"
    stamp: Stamp | None = None

    def __post_init__(self) -> None:
        for name, known in (("convention", CONVENTIONS), ("granularity", GRANULARITIES), ("quantity", QUANTITIES)):
            if getattr(self, name) not in known:
                raise InvalidReadingForm(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.stamp is not None and self.stamp not in STAMPS:
            raise InvalidReadingForm(f"stamp is {self.stamp!r}, expected one of {', '.join(STAMPS)}")
        if self.stamp == OWN_STAMP[self.convention]:
            object.__setattr__(self, "stamp", None)  # one form, one way to say it
        if self.granularity == "minute" and self.quantity != "power":
            raise InvalidReadingForm(f"readings by the minute state their mean power, found {self.quantity}")
        if self.quantity == "register" and self.convention != "headroom":
            raise InvalidReadingForm(f"registers stamp the moment they were read, not a period of {self.convention}")
        if self.quantity == "register" and self.stamp:
            raise InvalidReadingForm(f"registers stamp the moment they were read, not a {self.stamp}")

    @property
    def part(self) -> str:
        """What tells the same content in this form from itself in another; empty for the house's own."""
        words = (self.convention, self.granularity, self.quantity, *([self.stamp] if self.stamp else []))
        return " ".join(words) if self != ReadingForm() else ""

    @property
    def is_end(self) -> bool:
        return (self.stamp or OWN_STAMP[self.convention]) == "period-end"

    @property
    def is_import_negative(self) -> bool:
        return self.convention == "flexible-power"

    @property
    def step(self) -> np.timedelta64:
        return MINUTE if self.granularity == "minute" else MINUTES * MINUTE

    @property
    def value_name(self) -> str:
        return VALUES[self.quantity]

    def starts_at(self, stamps: TimeArray) -> TimeArray:
        """(n,) start of the period of each stamp."""
        starts: TimeArray = stamps - self.step if self.is_end else stamps
        return starts

    def inside(self, values: FloatArray) -> FloatArray:
        """(n,) values with import positive, unit unchanged; there is no minus zero."""
        return (-values if self.is_import_negative else values) + 0.0


@dataclass(frozen=True, slots=True)
class Metering:
    """How a product asks for its readings."""

    granularity: Granularity
    stamp: Stamp


def form_of(
    convention: Convention, granularity: Granularity, quantity: Quantity | None, stamp: Stamp | None = None
) -> ReadingForm:
    """A form of which the quantity may be left out: power by the minute, energy otherwise.

    Raises:
        InvalidReadingForm: see ``ReadingForm``.
    """
    return ReadingForm(convention, granularity, quantity or ("power" if granularity == "minute" else "energy"), stamp)


@dataclass(frozen=True, slots=True)
class MinuteSums:
    """Half-hours made of minutes.

    Attributes:
        rows: one a series and half-hour, ``lines`` being its first minute's; energy is NaN where not all 30 minutes are
            known, or one of them has two values.
        n_minute: (n_half_hour,) minutes known.
        is_conflicting: (n_half_hour,) a minute has two values.
    """

    rows: ReadingRows
    n_minute: IntArray
    is_conflicting: BoolArray


def half_hours(rows: ReadingRows, form: ReadingForm) -> ReadingRows:
    """Readings of a source in the house's terms; NaN is a missing value before and after.

    Args:
        rows: ``starts_at`` holds the source's stamps and ``energy_kwh`` its values, of half-hours or of minutes.

    Raises:
        ConflictingReadings: two values for one minute of one series; ``row`` in its details is the later one.

    Source: docs/methods/delivered.md
    """
    translated = _translated(rows, form)
    if form.granularity == "half-hour":
        return translated
    _refuse_twins(translated)
    return sum_minutes(translated).rows


def _translated(rows: ReadingRows, form: ReadingForm) -> ReadingRows:
    """The same periods by their starts and with import positive; mean power of half-hours as energy."""
    values = form.inside(rows.energy_kwh)
    is_half_hourly_power = form.quantity == "power" and form.granularity == "half-hour"
    return ReadingRows(
        rows.names,
        rows.series,
        rows.lines,
        form.starts_at(rows.starts_at),
        values * HALF_HOUR_H if is_half_hourly_power else values,
    )


def translate(rows: ReadingRows, form: ReadingForm) -> MinuteSums:
    """As ``half_hours``, but a minute with two values only spoils its half-hour; half-hourly forms spoil none."""
    translated = _translated(rows, form)
    if form.granularity == "minute":
        return sum_minutes(translated)
    return MinuteSums(translated, np.full(len(rows), MINUTES), np.zeros(len(rows), dtype=np.bool_))


def sum_minutes(rows: ReadingRows) -> MinuteSums:
    """Energy of half-hours from the mean power of their minutes: mean power x 0.5 h.

    A half-hour with a missing minute is missing: its energy is not scaled up from the others. The order of the minutes
    makes no difference to the last bit.

    Args:
        rows: ``energy_kwh`` holds power in kW, NaN where unknown, by the starts of minutes.

    Source: docs/methods/delivered.md
    """
    seconds = rows.starts_at.astype(np.int64)
    half_hour, within = np.divmod(seconds, MINUTES * 60)
    keys, cell = np.unique(rows.series * _HALF_HOURS_OF_TIME + half_hour, return_inverse=True)
    minute, n_cell = within // 60, len(keys)
    lowest, highest = np.full((n_cell, MINUTES), np.inf), np.full((n_cell, MINUTES), -np.inf)
    is_said = ~np.isnan(rows.energy_kwh)
    at = (cell[is_said], minute[is_said])
    np.minimum.at(lowest, at, rows.energy_kwh[is_said])
    np.maximum.at(highest, at, rows.energy_kwh[is_said])
    first_line = np.full(n_cell, np.iinfo(np.int64).max)
    np.minimum.at(first_line, cell, rows.lines)
    is_known = np.isfinite(lowest)
    is_conflicting = ((lowest != highest) & is_known).any(axis=1)
    is_whole = is_known.all(axis=1) & ~is_conflicting
    mean_kw = np.where(is_known, lowest, 0.0).sum(axis=1) / MINUTES
    series, half_hour = np.divmod(keys, _HALF_HOURS_OF_TIME)
    starts_at = (half_hour * MINUTES * 60).astype("datetime64[s]")
    energy_kwh = np.where(is_whole, mean_kw * HALF_HOUR_H, np.nan)
    return MinuteSums(
        ReadingRows(rows.names, series, first_line, starts_at, energy_kwh), is_known.sum(axis=1), is_conflicting
    )


def _refuse_twins(rows: ReadingRows) -> None:
    order = np.lexsort((rows.lines, rows.starts_at, rows.series))
    series, starts_at, power_kw = rows.series[order], rows.starts_at[order], rows.energy_kwh[order]
    is_same = (series[1:] == series[:-1]) & (starts_at[1:] == starts_at[:-1])
    is_other = is_same & ~np.isnan(power_kw[1:]) & ~np.isnan(power_kw[:-1]) & (power_kw[1:] != power_kw[:-1])
    if is_other.any():
        row = int(order[1:][np.argmax(is_other)])
        raise ConflictingReadings(
            f"row {row}: {rows.energy_kwh[row]:g} kW in the minute from {rows.starts_at[row]}Z, but the same minute of "
            f"{rows.names[rows.series[row]]} has another value in this batch",
            row=row,
        )
