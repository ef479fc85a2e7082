"""How an EVSE's visits are usually spread, as a forecast keeps it."""

import numpy as np

from aggregator.arrays.copy_out import Field, load_columns
from aggregator.core.align import NOWHERE, index_of
from aggregator.core.belief import UsualVisits
from aggregator.core.fleet import Fleet
from aggregator.core.local_clock import grid_position
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray
from aggregator.models import AvailabilityForecast

# Where nothing at all is known of a fleet: an evening's plug-in, a departure before work, Electric Nation's energies.
_SPREADS = np.array([-1.0, -0.4, 0.0, 0.4, 1.0])
_NEW_IN_H, _NEW_OUT_H = 6.0 + 2 * _SPREADS, 19.0 + 2 * _SPREADS
_NEW_KWH = np.array([3.0, 5.0, 7.5, 11.0, 18.0])
PLANNED = "FROM aggregator_evseforecast AS session WHERE session.forecast_id = {forecast}"


def load_usual_visits(*, forecast: AvailabilityForecast, fleet: Fleet, grid: TimeGrid) -> UsualVisits:
    """Visits of every EVSE of a fleet; one the forecast doesn't plan for is taken as the middle of those it does."""
    n_quantile = len(forecast.quantiles)
    known = load_columns(
        source=PLANNED,
        block="session.evse_id / 2000",
        fields={
            "evse_pk": Field("session.evse_id", "i8"),
            "probability": Field("session.probability", "f8"),
            "plug_in_h": Field("session.plug_in_h", "f8", n_quantile),
            "plug_out_h": Field("session.plug_out_h", "f8", n_quantile),
            "energy_kwh": Field("session.energy_quantiles_kwh", "f8", n_quantile),
        },
        values={"forecast": forecast.pk},
    )
    row = index_of(known["evse_pk"], fleet.evse_pks)
    quantiles = np.array(forecast.quantiles)

    def of_fleet(name: str, unknown: FloatArray) -> FloatArray:
        values = known[name]
        middle = (
            np.median(values, axis=0) if len(values) else np.interp(quantiles, (0.1, 0.25, 0.5, 0.75, 0.9), unknown)
        )
        return np.concatenate([values, middle[np.newaxis]])[np.where(row == NOWHERE, len(values), row)]

    probability = np.append(known["probability"], 0.0)[np.where(row == NOWHERE, len(known["probability"]), row)]
    return UsualVisits(
        evse_ids=fleet.evse_ids,
        quantiles=quantiles,
        plug_in=grid_position(of_fleet("plug_in_h", _NEW_IN_H), grid, "first"),
        plug_out=grid_position(of_fleet("plug_out_h", _NEW_OUT_H), grid, "last"),
        energy_kwh=of_fleet("energy_kwh", _NEW_KWH),
        probability=probability,
    )
