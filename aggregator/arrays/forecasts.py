"""Forecasts in and out: one row an EVSE, one a group."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aggregator.core.availability import COUNT_QUANTILES, AvailabilityForecast
from aggregator.core.fleet import EvseGroups, Fleet, ForecastSessions
from aggregator.models import AvailabilityForecast as StoredForecast
from aggregator.models import EvseForecast, GroupForecast


def store_forecast(
    *, header: StoredForecast, forecast: AvailabilityForecast, fleet: Fleet, groups: EvseGroups
) -> StoredForecast:
    """Write the header, the planned sessions and the groups; call it in a transaction."""
    header.save()
    EvseForecast.objects.across_tenants().bulk_create(
        [
            EvseForecast(
                forecast=header,
                evse_id=int(fleet.evse_pks[at]),
                organisation_id=int(fleet.dsrsp_pks[at]),
                probability=float(forecast.probability[at]),
                plug_in_h=forecast.plug_in_h[at].tolist(),
                plug_out_h=forecast.plug_out_h[at].tolist(),
                energy_quantiles_kwh=forecast.energy_kwh[at].tolist(),
                start_period=int(forecast.window_start[at]),
                end_period=int(forecast.window_end[at]),
                energy_kwh=float(forecast.window_energy_kwh[at]),
            )
            for at in np.flatnonzero(forecast.is_planned)
        ],
        batch_size=2000,
    )
    GroupForecast.objects.across_tenants().bulk_create(
        [
            GroupForecast(
                forecast=header,
                group=label,
                organisation_id=int(groups.dsrsp_pks[at]),
                n_evse=int((groups.group == at).sum()),
                quantiles=list(COUNT_QUANTILES),
                plugged_in=forecast.plugged_in_count[at].tolist(),
            )
            for at, label in enumerate(groups.labels)
        ]
    )
    return header


class _SessionRow(NamedTuple):
    pseudonym: str
    start: int
    end: int
    energy_kwh: float
    probability: float


def load_forecast_sessions(*, forecast: StoredForecast) -> ForecastSessions:
    """Read back the planned sessions."""
    stored = EvseForecast.objects.across_tenants().filter(forecast=forecast)
    columns = stored.values_list("evse__pseudonym", "start_period", "end_period", "energy_kwh", "probability")
    rows = sorted(_SessionRow(*row) for row in columns)
    return ForecastSessions(
        evse_ids=np.array([row.pseudonym for row in rows], dtype=np.str_),
        start=np.array([row.start for row in rows], dtype=np.int64),
        end=np.array([row.end for row in rows], dtype=np.int64),
        energy_kwh=np.array([row.energy_kwh for row in rows], dtype=np.float64),
        probability=np.array([row.probability for row in rows], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many EVSEs have a planned session, and how many of them are expected to plug in."""

    n_planned: int
    n_expected: float


def load_expectation(*, forecast: StoredForecast) -> Expectation:
    """Count the planned sessions and add up their chances."""
    chances = list(
        EvseForecast.objects.across_tenants().filter(forecast=forecast).values_list("probability", flat=True)
    )
    return Expectation(len(chances), sum(chances))
