"""Who is plugged in now, from the sessions and readings known by then."""

from datetime import datetime

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.arrays.sessions import load_session_history
from aggregator.core.fleet import Fleet
from aggregator.core.fleet_state import FleetState, declared
from aggregator.core.timegrid import TimeGrid


def load_fleet_state(*, fleet: Fleet, grid: TimeGrid, at: datetime) -> FleetState:
    """The state of a fleet at an instant of its charging day, as it was known then.

    A session that is open then was announced: its energy is what the EV asked for, its plug-out when it means to
    leave. What it has drawn is what its asset meter is known to have read; a reading that isn't in yet counts as
    nothing drawn. Overrides and lost connections leave no rows, so nobody is taken for either.
    """
    known = load_session_history(evse_pks=fleet.evse_pks, evse_ids=fleet.evse_ids, as_of=at)
    energy = load_energy_kwh(
        meter_pks=fleet.meter_pks, first_day=grid.starts_at.date(), last_day=grid.ends_at.date(), as_of=at
    )
    return declared(known, metered_kwh=np.nan_to_num(energy.on_grid(grid)), grid=grid, at=at)
