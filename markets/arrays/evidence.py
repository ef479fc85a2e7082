"""What one unit's settlement read, meter by meter and as its portfolio's figures."""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.readings import PERIODS_A_DAY
from aggregator.core.types import BoolArray, FloatArray, StrArray, TimeArray
from aggregator.models import EVSE, Organisation
from markets.arrays.settlement import ONE_DAY, event_grid, load_portfolio_readings, load_portfolios
from markets.core.baseline import BaselineRule
from markets.core.history import adjustment_starts, same_local_time
from markets.core.portfolio import read_throughout
from markets.models import FlexEvent


@dataclass(frozen=True, slots=True)
class Series:
    """Portfolio energy of some half-hours: (n,) UTC starts and (n,) kWh, NaN where it is not known."""

    starts: TimeArray
    energy_kwh: FloatArray


@dataclass(frozen=True, slots=True)
class HistoryDay:
    day: date
    is_event_day: bool
    energy: Series


@dataclass(frozen=True, slots=True)
class UnitEvidence:
    """One DSRSP's portfolio in one event.

    Attributes:
        evse_ids: (n_meter,) pseudonyms.
        counts: (n_meter,) read throughout the event; the others are left out.
        starts: (n_instant,) every half-hour that was looked at, ascending.
        readings_kwh: (n_meter, n_instant) as known, NaN where not.
        event, adjustment: metered in the event and in the adjustment window of its day.
        history: candidate days, oldest first, event and window together.
    """

    evse_ids: StrArray
    counts: BoolArray
    starts: TimeArray
    readings_kwh: FloatArray
    event: Series
    adjustment: Series
    history: tuple[HistoryDay, ...]
    holidays: tuple[date, ...]


def load_unit_evidence(
    *, event: FlexEvent, organisation: Organisation, rule: BaselineRule, as_of: datetime
) -> UnitEvidence | None:
    """Load what was known at ``as_of`` of one DSRSP's portfolio; None where it has no EVSE in the zone."""
    portfolios = load_portfolios(event=event)
    if organisation.code not in portfolios.unit_ids:
        return None
    unit = portfolios.unit_ids.index(organisation.code)
    readings = load_portfolio_readings(event=event, portfolios=portfolios, rule=rule, as_of=as_of)
    history, grid = readings.history, event_grid(event.signal)
    event_starts = grid.period_starts()
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    wanted = np.concatenate([event_starts, window])
    by_day = [
        np.concatenate([same_local_time(event_starts, day), same_local_time(window, day)]) for day in history.days
    ]
    starts = np.unique(np.concatenate([wanted, *by_day]))
    mine = portfolios.unit == unit
    energy = load_energy_kwh(
        meter_pks=portfolios.meter_pks[mine],
        first_day=history.days[0] - ONE_DAY,
        last_day=grid.ends_at.date(),
        as_of=as_of,
    )
    flat = energy.energy_kwh.reshape(int(mine.sum()), energy.n_day * PERIODS_A_DAY)
    position = ((starts - np.datetime64(energy.first_day, "s")) // np.timedelta64(1800, "s")).astype(np.int64)
    readings_kwh = flat[:, position]
    pseudonyms = dict(
        EVSE.objects.across_tenants().filter(pk__in=portfolios.evse_pks[mine].tolist()).values_list("pk", "pseudonym")
    )
    day_kwh = np.concatenate([history.event_kwh[unit], history.adjustment_kwh[unit]], axis=1)
    return UnitEvidence(
        evse_ids=np.array([pseudonyms[pk] for pk in portfolios.evse_pks[mine].tolist()], dtype=np.str_),
        counts=read_throughout(readings_kwh[:, np.searchsorted(starts, event_starts)]),
        starts=starts,
        readings_kwh=readings_kwh,
        event=Series(event_starts, readings.metered_kwh[unit]),
        adjustment=Series(window, history.adjustment_metered_kwh[unit]),
        history=tuple(
            HistoryDay(day, bool(history.is_event_day[unit, index]), Series(by_day[index], day_kwh[index]))
            for index, day in enumerate(history.days)
        ),
        holidays=tuple(sorted(history.holidays)),
    )
