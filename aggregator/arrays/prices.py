"""Prices and carbon intensity as arrays."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.gap_fill import LOOK_BACK_DAYS, PeriodValues, fill_by_clock
from aggregator.core.half_hour_series import SeriesDays, on_grid
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, TimeArray
from aggregator.models import Batch, CarbonDay, Tariff, TariffDay

ONE_DAY = timedelta(days=1)
CARBON_FIELDS = ("forecast_gco2_per_kwh", "actual_gco2_per_kwh")  # the latter lies on top


class UnknownTariff(FlexError):
    code = "prices.unknown_tariff"


class _DayRow(NamedTuple):
    day: date
    received_at: datetime
    values: list[float | None]


@dataclass(frozen=True, slots=True)
class KnownDays:
    """(n_row,) UTC day, when it was received (``datetime64[us]``), and (n_row, 48) values; first received first."""

    days: TimeArray
    received_at: TimeArray
    values: FloatArray


def find_tariff(code: str) -> Tariff:
    """The tariff with this code.

    Raises:
        UnknownTariff: there is none.
    """
    tariff = Tariff.objects.filter(code=code).first()
    if tariff is None:
        raise UnknownTariff(f"no tariff has the code {code!r}", tariff=code)
    return tariff


def load_prices_gbp_per_kwh(*, tariff: Tariff, grid: TimeGrid, as_of: datetime) -> PeriodValues:
    """Load a tariff's price in every period of a grid of half-hours, as known at ``as_of``.

    A price not known is filled with the last known one at the same London clock time of up to
    ``LOOK_BACK_DAYS`` days before, and reported as a finding.

    Raises:
        NothingToFillFrom: there is none.
    """
    first_day, last_day = _span(grid)
    rows = load_tariff_days(tariff=tariff, first_day=first_day, last_day=last_day, as_of=as_of)
    return _filled(rows, grid=grid, subject=f"price of {tariff.code}")


def load_carbon_gco2_per_kwh(*, grid: TimeGrid, as_of: datetime) -> PeriodValues:
    """Load the carbon intensity in every period of a grid of half-hours, as known at ``as_of``.

    The outturn where it is known, else the forecast, else filled as prices are.

    Raises:
        NothingToFillFrom: neither is known on an earlier day.
    """
    first_day, last_day = _span(grid)
    forecast, actual = (
        load_carbon_days(field=field, first_day=first_day, last_day=last_day, as_of=as_of) for field in CARBON_FIELDS
    )
    both = KnownDays(
        np.concatenate([forecast.days, actual.days]),
        np.concatenate([forecast.received_at, actual.received_at]),
        np.concatenate([forecast.values, actual.values]),
    )
    return _filled(both, grid=grid, subject="carbon intensity")


def load_tariff_days(*, tariff: Tariff, first_day: date, last_day: date, as_of: datetime | None) -> KnownDays:
    """Load the rows of these UTC days (both included) received until ``as_of``, or all of them."""
    rows = TariffDay.objects.filter(tariff=tariff, day__gte=first_day, day__lte=last_day)
    rows = rows if as_of is None else rows.filter(received_at__lte=as_of)
    ordered = rows.order_by("received_at", "batch_id")
    return _known([_DayRow(*row) for row in ordered.values_list("day", "received_at", "price_gbp_per_kwh")])


def load_carbon_days(*, field: str, first_day: date, last_day: date, as_of: datetime | None) -> KnownDays:
    """Load one field of the rows of these UTC days (both included) received until ``as_of``, or all of them."""
    rows = CarbonDay.objects.filter(day__gte=first_day, day__lte=last_day)
    rows = rows if as_of is None else rows.filter(received_at__lte=as_of)
    ordered = rows.order_by("received_at", "batch_id")
    return _known([_DayRow(*row) for row in ordered.values_list("day", "received_at", field)])


def store_tariff_days(*, batch: Batch, tariff: Tariff, days: SeriesDays, received_at: TimeArray) -> None:
    """Add a tariff's days; (n_day,) ``received_at`` says when each became known."""
    TariffDay.objects.bulk_create(
        TariffDay(tariff=tariff, batch=batch, day=day, received_at=at, price_gbp_per_kwh=values)
        for day, at, values in _rows(days, received_at)
    )


def store_carbon_days(*, batch: Batch, field: str, days: SeriesDays, received_at: TimeArray) -> None:
    """Add days of one field of carbon intensity; the other one stays unsaid."""
    unsaid = {name: [None] * PERIODS_A_DAY for name in CARBON_FIELDS}
    CarbonDay.objects.bulk_create(
        CarbonDay(batch=batch, day=day, received_at=at, **{**unsaid, field: values})
        for day, at, values in _rows(days, received_at)
    )


def _span(grid: TimeGrid) -> tuple[date, date]:
    return (grid.starts_at - LOOK_BACK_DAYS * ONE_DAY).date(), grid.ends_at.date()


def _known(rows: list[_DayRow]) -> KnownDays:
    values = [[np.nan if value is None else value for value in row.values] for row in rows]
    received_at = [row.received_at.astimezone(UTC).replace(tzinfo=None) for row in rows]
    return KnownDays(
        np.array([row.day for row in rows], dtype="datetime64[D]"),
        np.array(received_at, dtype="datetime64[us]"),
        np.array(values, dtype=np.float64).reshape(len(rows), PERIODS_A_DAY),
    )


def _filled(rows: KnownDays, *, grid: TimeGrid, subject: str) -> PeriodValues:
    first_day, last_day = _span(grid)
    n_day = (last_day - first_day).days + 1
    flat = on_grid(rows.days, rows.values, first_day=np.datetime64(first_day, "D"), n_day=n_day)
    first_at = datetime.combine(first_day, time(0), tzinfo=UTC)
    end = TimeGrid(first_at, len(flat)).index_of(grid.ends_at)
    return fill_by_clock(flat[:end], grid=TimeGrid(first_at, end), n_wanted=grid.n_period, subject=subject)


def _rows(days: SeriesDays, received_at: TimeArray) -> list[tuple[date, datetime, list[float | None]]]:
    return [
        (day, at.replace(tzinfo=UTC), [None if np.isnan(value) else float(value) for value in values])
        for day, at, values in zip(
            days.days.astype(object), received_at.astype("datetime64[us]").astype(object), days.values, strict=True
        )
    ]
