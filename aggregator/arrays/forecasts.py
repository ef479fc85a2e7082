"""Forecasts in and out: one row an EVSE, one a group."""

from dataclasses import dataclass

import numpy as np

from aggregator.arrays.copy_out import Field, load_columns
from aggregator.core.align import text_order
from aggregator.core.availability import COUNT_QUANTILES, AvailabilityForecast
from aggregator.core.fleet import EvseGroups, Fleet, ForecastSessions
from aggregator.models import AvailabilityForecast as StoredForecast
from aggregator.models import EvseForecast, GroupForecast

PLANNED = """
FROM aggregator_evseforecast AS session JOIN aggregator_evse AS evse ON evse.id = session.evse_id
WHERE session.forecast_id = {forecast}
"""
SESSION_FIELDS = {
    "evse_pk": Field("evse.id", "i8"),
    "start_period": Field("session.start_period", "i2"),
    "end_period": Field("session.end_period", "i2"),
    "energy_kwh": Field("session.energy_kwh", "f8"),
    "probability": Field("session.probability", "f8"),
}


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


def load_forecast_sessions(*, forecast: StoredForecast) -> ForecastSessions:
    """Read back the planned sessions."""
    known = load_columns(
        source=PLANNED,
        block="evse.id / 2000",
        fields=SESSION_FIELDS,
        texts={"evse_id": "evse.pseudonym"},
        values={"forecast": forecast.pk},
    )
    order = text_order(known["evse_id"])
    column = {name: values[order] for name, values in known.items()}
    return ForecastSessions(
        evse_pks=column["evse_pk"],
        evse_ids=column["evse_id"],
        start=column["start_period"].astype(np.int64),
        end=column["end_period"].astype(np.int64),
        energy_kwh=column["energy_kwh"],
        probability=column["probability"],
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
