"""What earlier runs of an area left each EVSE without, as fairness reads it."""

from datetime import date, datetime, timedelta

import numpy as np

from aggregator.arrays.copy_out import Field, load_columns
from aggregator.core.align import NOWHERE, index_of
from aggregator.core.fleet import Fleet
from dispatch.core.fairness import PastShortfall
from dispatch.models import DispatchRun

PLANNED = """
FROM dispatch_setpoint AS setpoint JOIN unnest({runs}::bigint[]) AS wanted (id) ON wanted.id = setpoint.run_id
WHERE setpoint.energy_kwh > 0
"""
FIELDS = {
    "run_pk": Field("setpoint.run_id", "i8"),
    "evse_pk": Field("setpoint.evse_id", "i8"),
    "energy_kwh": Field("setpoint.energy_kwh", "f8"),
    "unserved_kwh": Field("setpoint.unserved_kwh", "f8"),
}


def load_past_shortfall(*, area_pk: int, fleet: Fleet, day: date, n_day: int, as_of: datetime) -> PastShortfall:
    """Load the plans of the ``n_day`` charging days before ``day``, each as its last run known at ``as_of`` left it.

    Returns:
        (n_evse, n_day) in the fleet's order; zero where no run, or no session, was planned.
    """
    first = day - timedelta(days=n_day)
    runs = DispatchRun.objects.filter(
        area=area_pk, charging_day__gte=first, charging_day__lt=day, as_of__lte=as_of
    ).order_by("as_of", "pk")
    run_of = dict(runs.values_list("charging_day", "pk"))  # of a day's runs the last one stays
    if not run_of:
        return PastShortfall(np.zeros((fleet.n_evse, n_day)), np.zeros((fleet.n_evse, n_day)))
    days, pks = np.array([(one - first).days for one in run_of]), np.array(list(run_of.values()), dtype=np.int64)
    rows = load_columns(source=PLANNED, block="setpoint.id / 2000", fields=FIELDS, values={"runs": pks.tolist()})
    evse, at_day = index_of(fleet.evse_pks, rows["evse_pk"]), days[index_of(pks, rows["run_pk"])]
    here = evse != NOWHERE
    energy_kwh, unserved_kwh = np.zeros((fleet.n_evse, n_day)), np.zeros((fleet.n_evse, n_day))
    energy_kwh[evse[here], at_day[here]] = rows["energy_kwh"][here]
    unserved_kwh[evse[here], at_day[here]] = rows["unserved_kwh"][here]
    return PastShortfall(energy_kwh, np.minimum(unserved_kwh, energy_kwh))
