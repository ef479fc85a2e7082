"""Files of half-hourly prices and of carbon intensity."""

from collections.abc import Sequence
from pathlib import Path

from aggregator.adapters.bounded import FileRefused
from aggregator.adapters.cells import Column, Instant, Number
from aggregator.adapters.files import Progress, Table, read_table
from aggregator.core.half_hour_series import SeriesRows

PERIOD = Instant("period_start_utc", starts_half_hour=True)
UNITS = {  # ending of a column's name: what one of it is in £/kWh
    "_gbp_per_kwh": 1.0,
    "_gbp_kwh": 1.0,
    "_gbp_per_mwh": 1e-3,
    "_gbp_mwh": 1e-3,
    "_pence_per_kwh": 1e-2,
    "_p_per_kwh": 1e-2,
}
MOST_GBP_PER_KWH = 100.0
# Where a file has several and none is named. An imbalance price is not known ahead, so it comes last.
PREFERRED = ("price_gbp_per_kwh", "market_index_price_gbp_mwh")
MOST_GCO2 = 2_000.0


class PriceFile:
    """Prices of one column of a file."""

    def __init__(self, table: Table, column: str, rows: SeriesRows) -> None:
        self.table, self.column, self.rows = table, column, rows

    @property
    def tariff_code(self) -> str:
        """The column's name without its unit."""
        return self.column.removesuffix(_unit(self.column)).replace("_", "-")


def read_prices(path: Path, *, column: str | None = None, progress: Progress | None = None) -> PriceFile:
    """Read half-hourly prices; the unit is the ending of the column's name, the result £/kWh.

    Args:
        column: which column; by default ``PREFERRED``, then the first whose name ends with a unit of price.

    Raises:
        FileRefused: the file or any of its values can't be taken, or it has no such column.
    """

    def columns(header: tuple[str, ...]) -> Sequence[Column]:
        name = _chosen(path.name, header, column)
        most = MOST_GBP_PER_KWH / UNITS[_unit(name)]
        return (PERIOD, Number(name, _label(name), -most, most, may_be_empty=True))

    table = read_table(path, columns, progress=progress)
    name = _chosen(path.name, table.header, column)
    values = table.numbers(name) * UNITS[_unit(name)]
    return PriceFile(table, name, SeriesRows(table.lines, table.times(PERIOD.name), values))


def read_carbon(path: Path, *, progress: Progress | None = None) -> tuple[Table, SeriesRows, SeriesRows]:
    """Read carbon intensity: the forecast and the outturn, gCO2/kWh.

    Raises:
        FileRefused: the file or any of its values can't be taken.
    """
    names = ("forecast_gco2_kwh", "actual_gco2_kwh")
    values = [Number(name, "gCO2/kWh", 0, MOST_GCO2, may_be_empty=True) for name in names]
    table = read_table(path, (PERIOD, *values), progress=progress)
    starts_at = table.times(PERIOD.name)
    forecast, actual = (SeriesRows(table.lines, starts_at, table.numbers(name)) for name in names)
    return table, forecast, actual


def _unit(name: str) -> str:
    return next((unit for unit in UNITS if name.endswith(unit)), "")


def _label(name: str) -> str:
    return f"{'pence' if '_p' in _unit(name) and 'gbp' not in _unit(name) else '£'}/{'MWh' if 'mwh' in name else 'kWh'}"


def _chosen(file: str, header: tuple[str, ...], column: str | None) -> str:
    priced = [title for title in header if _unit(title)]
    if column is None:
        column = next((title for title in (*PREFERRED, *priced) if title in header), None)
    if column is None or column not in priced:
        found = ", ".join(priced) or "none"
        raise FileRefused(
            f"{file}: line 1 has no price column{f' {column}' if column else ''}, expected one that ends with a unit "
            f"such as _gbp_per_kwh (found: {found})",
            line=1,
        )
    return column
