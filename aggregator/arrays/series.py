"""One meter's readings and one tariff's prices over a span of time."""

from datetime import datetime

import numpy as np

from aggregator.arrays.prices import load_tariff_days
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.half_hour_series import on_grid
from aggregator.core.half_hours import HalfHours, known_between
from aggregator.models import Tariff


def load_energy_series(*, meter_pk: int, starts_at: datetime, ends_at: datetime, as_of: datetime) -> HalfHours:
    """A meter's energy in kWh in the half-hours of ``[starts_at, ends_at)`` (UTC), as known at ``as_of``."""
    first_day = starts_at.date()
    known = load_energy_kwh(
        meter_pks=np.array([meter_pk], dtype=np.int64), first_day=first_day, last_day=ends_at.date(), as_of=as_of
    )
    return known_between(known.energy_kwh[0], first_day=first_day, starts_at=starts_at, ends_at=ends_at)


def load_price_series(*, tariff: Tariff, starts_at: datetime, ends_at: datetime, as_of: datetime) -> HalfHours:
    """A tariff's price in GBP a kWh in the half-hours of ``[starts_at, ends_at)`` (UTC), as known at ``as_of``."""
    first_day, last_day = starts_at.date(), ends_at.date()
    rows = load_tariff_days(tariff=tariff, first_day=first_day, last_day=last_day, as_of=as_of)
    n_day = (last_day - first_day).days + 1
    flat = on_grid(rows.days, rows.values, first_day=np.datetime64(first_day, "D"), n_day=n_day)
    return known_between(flat, first_day=first_day, starts_at=starts_at, ends_at=ends_at)
