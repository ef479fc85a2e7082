"""Files of meter readings and of measured demand, in the forms they come in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from aggregator.adapters.bounded import FileRefused
from aggregator.adapters.cells import Column, Instant, Number, Text
from aggregator.adapters.files import Progress, Table, read_table
from aggregator.core.reading_rows import ReadingRows
from aggregator.core.types import FloatArray, StrArray

MOST_KWH = 5_000.0
MOST_WH = 1e10  # a counter of 32 bits that ran backwards reads 4.3e9; what is possible is judged a meter
PERIOD = Instant("period_start_utc", starts_half_hour=True)
ENERGY = Number("energy_kwh", "kWh", 0, MOST_KWH, may_be_empty=True, aliases=("kwh",))
SNAPSHOT = ("feeder_id", "active_meters", "import_wh")


@dataclass(frozen=True, slots=True)
class ReadingFile:
    """Readings of a file, and whether their names are EVSEs' or meters'."""

    table: Table
    rows: ReadingRows
    names_evses: bool


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


def read_readings(path: Path, *, progress: Progress | None = None) -> ReadingFile:
    """Read readings in long form: ``evse_id`` or ``meter_id``, ``period_start_utc``, ``energy_kwh`` or ``kwh``.

    Raises:
        FileRefused: the file or any of its values can't be taken.
    """

    def columns(header: tuple[str, ...]) -> Sequence[Column]:
        return (Text(_one_of(path.name, header, "evse_id", "meter_id")), PERIOD, ENERGY)

    table = read_table(path, columns, progress=progress)
    name = _one_of(path.name, table.header, "evse_id", "meter_id")
    return ReadingFile(table, _long(table, name), name == "evse_id")


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
