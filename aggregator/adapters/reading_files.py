"""Files of meter readings and of measured demand, in the forms they come in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from aggregator.adapters.bounded import FileRefused
from aggregator.adapters.cells import Column, Instant, Number, Text
from aggregator.adapters.files import Progress, Table, read_table
from aggregator.core.findings import FindingNote
from aggregator.core.reading_form import ReadingForm, half_hours
from aggregator.core.reading_rows import ReadingRows
from aggregator.core.readings import ConflictingReadings
from aggregator.core.registers import register_energy
from aggregator.core.types import FloatArray, StrArray

MOST_KWH = 5_000.0
MOST_REGISTER_KWH = 1e9
HOUSE_FORM = ReadingForm()
MOST_WH = 1e10  # a counter of 32 bits that ran backwards reads 4.3e9; what is possible is judged a meter
PERIOD = Instant("period_start_utc", starts_half_hour=True)
ENERGY = Number("energy_kwh", "kWh", 0, MOST_KWH, may_be_empty=True, aliases=("kwh",))
SNAPSHOT = ("feeder_id", "active_meters", "import_wh")


@dataclass(frozen=True, slots=True)
class ReadingFile:
    """Readings of a file in the house's terms, and whether their names are EVSEs' or meters'.

    Attributes:
        findings: what was odd about registers.
    """

    table: Table
    rows: ReadingRows
    names_evses: bool
    findings: tuple[FindingNote, ...] = ()


@dataclass(frozen=True, slots=True)
class DemandFile:
    """Measured demand of a file.

    Attributes:
        is_feeder: the series are feeders, not customers.
        n_meter: (n,) meters added up in each value, where the file says so.
        period: the half-hour a snapshot was said to be of, empty for other forms.
    """

    table: Table
    rows: ReadingRows
    is_feeder: bool
    n_meter: FloatArray | None = None
    period: str = ""


def read_readings(
    path: Path,
    *,
    form: ReadingForm = HOUSE_FORM,
    rolls_over_at_kwh: float | None = None,
    progress: Progress | None = None,
) -> ReadingFile:
    """Read readings in long form: ``evse_id`` or ``meter_id``, a time and a value, named after what the form says.

    Args:
        rolls_over_at_kwh: for registers, the value at which they begin at 0 again; None if not known.

    Raises:
        FileRefused: the file or any of its values can't be taken.
        ConflictingReadings: two values for one minute, or one moment of a register.
        InvalidRegister: a register beyond the value it rolls over at.
    """
    stamp, value = _stamp(form), _value(form)

    def columns(header: tuple[str, ...]) -> Sequence[Column]:
        return (Text(_one_of(path.name, header, "evse_id", "meter_id")), stamp, value)

    table = read_table(path, columns, progress=progress)
    name = _one_of(path.name, table.header, "evse_id", "meter_id")
    names, series = _indexed(table.texts(name))
    stated = ReadingRows(names, series, table.lines, table.times(stamp.name), table.numbers(value.name))
    try:
        if form.quantity == "register":
            read = register_energy(stated, rolls_over_at_kwh=rolls_over_at_kwh)
            return ReadingFile(table, read.rows, name == "evse_id", read.findings)
        return ReadingFile(table, half_hours(stated, form), name == "evse_id")
    except ConflictingReadings as error:
        row = int(error.details["row"] or 0)
        raise ConflictingReadings(
            f"{table.name}: line {table.lines[row]}, column {value.name}: {error}", line=int(table.lines[row])
        ) from error


def _stamp(form: ReadingForm) -> Instant:
    """The column of times; its name says what is stamped, so that a file of the other convention is refused."""
    if form.quantity == "register":
        return Instant("read_at_utc")
    name = "period_end_utc" if form.is_end else PERIOD.name
    is_minute = form.granularity == "minute"
    return Instant(name, starts_half_hour=not is_minute, starts_minute=is_minute)


def _value(form: ReadingForm) -> Number:
    if form == HOUSE_FORM:
        return ENERGY
    most = {"energy": MOST_KWH, "power": 2 * MOST_KWH, "register": MOST_REGISTER_KWH}[form.quantity]
    unit = "kW" if form.quantity == "power" else "kWh"
    return Number(form.value_name, unit, -most if form.is_import_negative else 0, most, may_be_empty=True)


def read_demand(path: Path, *, period_start: datetime | None = None, progress: Progress | None = None) -> DemandFile:
    """Read measured demand: wide (a column a series), long, or a snapshot of feeders at one half-hour.

    Args:
        period_start: start of a snapshot's half-hour, aware; a snapshot doesn't state it itself.

    Raises:
        FileRefused: the file or any of its values can't be taken, or a snapshot lacks its half-hour.
    """

    def columns(header: tuple[str, ...]) -> Sequence[Column]:
        match _form(header):
            case "snapshot":
                active = Number("active_meters", "meters", 1, 1e6)
                return (Text("feeder_id"), active, Number("import_wh", "Wh", 0, MOST_WH, may_be_empty=True))
            case "long":
                return (Text(_one_of(path.name, header, "meter_id", "feeder_id")), PERIOD, ENERGY)
            case _:
                series = [title for title in header if title != PERIOD.name]
                return (PERIOD, *(Number(title, "kWh", 0, MOST_KWH, may_be_empty=True) for title in series))

    table = read_table(path, columns, progress=progress)
    match _form(table.header):
        case "snapshot":
            return _snapshot(table, period_start)
        case "long":
            name = _one_of(path.name, table.header, "meter_id", "feeder_id")
            return DemandFile(table, _long(table, name), name == "feeder_id")
        case _:
            return DemandFile(table, _wide(table), False)


def read_places(path: Path) -> dict[str, str]:
    """Read which node each series of demand hangs on: columns ``series`` and ``node``.

    Raises:
        FileRefused: the file can't be taken, or names a series twice.
    """
    table = read_table(path, (Text("series"), Text("node")))
    places = dict(zip(table.texts("series").tolist(), table.texts("node").tolist(), strict=True))
    if len(places) < len(table):
        raise FileRefused(f"{table.name}: names a series twice")
    return places


def _form(header: tuple[str, ...]) -> str:
    if set(SNAPSHOT) <= set(header):
        return "snapshot"
    return "long" if {"meter_id", "feeder_id"} & set(header) else "wide"


def _one_of(file: str, header: tuple[str, ...], first: str, second: str) -> str:
    found = [title for title in (first, second) if title in header]
    if len(found) != 1:
        what = "both" if found else "neither"
        titles = ", ".join(header)[:200]
        raise FileRefused(f"{file}: line 1 has {what} of {first} and {second}, expected one (found {titles})", line=1)
    return found[0]


def _indexed(names: StrArray) -> tuple[StrArray, np.ndarray]:
    unique, index = np.unique(names, return_inverse=True)
    return unique, index.astype(np.int64)


def _long(table: Table, name: str) -> ReadingRows:
    names, series = _indexed(table.texts(name))
    return ReadingRows(names, series, table.lines, table.times(PERIOD.name), table.numbers(ENERGY.name))


def _wide(table: Table) -> ReadingRows:
    titles = [title for title in table.header if title != PERIOD.name]
    if not titles:
        raise FileRefused(f"{table.name}: line 1 names no series beside {PERIOD.name}", line=1)
    too_long = next((title for title in titles if not title or len(title) > 80 or title != title.strip()), None)
    if too_long is not None:
        raise FileRefused(f"{table.name}: line 1 names a series {too_long[:60]!r}, expected 1 to 80 characters", line=1)
    energy_kwh = np.column_stack([table.numbers(title) for title in titles])
    n_row, n_series = energy_kwh.shape
    return ReadingRows(
        names=np.array(titles, dtype=np.str_),
        series=np.tile(np.arange(n_series), n_row),
        lines=np.repeat(table.lines, n_series),
        starts_at=np.repeat(table.times(PERIOD.name), n_series),
        energy_kwh=energy_kwh.reshape(-1),
    )


def _snapshot(table: Table, period_start: datetime | None) -> DemandFile:
    if period_start is None:
        raise FileRefused(f"{table.name}: is a snapshot and states no time: give its half-hour with --period-start")
    stamp = period_start.isoformat()
    values, bad = PERIOD.parse([stamp])
    if bad:
        raise FileRefused(f"{table.name}: --period-start is {stamp}, expected {PERIOD.expected}")
    names, series = _indexed(table.texts("feeder_id"))
    rows = ReadingRows(names, series, table.lines, np.repeat(values, len(table)), table.numbers("import_wh") / 1000)
    return DemandFile(table, rows, True, table.numbers("active_meters"), stamp)
