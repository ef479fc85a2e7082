"""Deliver a charging day: the sessions that really happened obey the setpoints, and their meters report.

Stands in for the fleet until devices are connected; the readings come in through the service that every other
reading comes in through.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from aggregator.arrays.sessions import load_session_history
from aggregator.core.behaviour import Behaviour, BehaviourDraws, draw_behaviour
from aggregator.core.digest import digest
from aggregator.core.errors import FlexError
from aggregator.core.fleet import Fleet
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.network_area import NetworkArea
from aggregator.core.sessions import SessionHistory
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray
from aggregator.core.virtual_evse import Delivery, deliver, plugged_in_at_start, uncontrolled_energy_kwh
from aggregator.models import Batch, Organisation
from aggregator.services.batches import IngestResult
from aggregator.services.ingest_readings import ingest_readings
from dispatch.models import DispatchRun
from dispatch.services.issue import issue_anew, issue_setpoints
from dispatch.services.run_facts import facts_of

logger = logging.getLogger(__name__)

SEED = 20_260_115
READ_AFTER = timedelta(hours=1)


class DayNotOver(FlexError):
    code = "delivery.day_not_over"


@dataclass(frozen=True, slots=True)
class DeliveredDay:
    """What happened, and what would have happened without dispatch.

    Attributes:
        delivery: per session and EVSE.
        uncontrolled_kwh: (n_evse, n_period) the same sessions charging on their own.
        batches: the meter readings, one batch a DSRSP.
    """

    grid: TimeGrid
    area: NetworkArea
    fleet: Fleet
    sessions: SessionHistory
    delivery: Delivery
    uncontrolled_kwh: FloatArray
    batches: tuple[Batch, ...]


def deliver_day(
    *, run: DispatchRun, as_of: datetime, behaviour: Behaviour | None = None, seed: int = SEED
) -> DeliveredDay:
    """Simulate the virtual EVSEs of a run through its charging day and take in their half-hourly readings.

    At the start of every half-hour the rest of the day is dispatched anew with the cars that are there, or, where the
    run doesn't ask for that, EVSEs without a car give way to those with one (``issue.py``). A car that plugs in within
    a half-hour waits for the next.

    Draws come from the seed and the sessions' ids, so the same day again gives the same readings, which change
    nothing when they are taken in twice. They count as known ``READ_AFTER`` the day's end.

    Args:
        as_of: sessions known by then are the ones that happened.

    Raises:
        DayNotOver: ``as_of`` is before the day's end; sessions still to come would be metered as nothing.
    """
    facts, parameters = facts_of(run=run)
    grid, area, fleet = facts.grid, facts.area, facts.fleet
    if as_of < grid.ends_at:
        raise DayNotOver(
            f"charging day {run.charging_day} ends at {grid.ends_at.isoformat()}, asked as of {as_of.isoformat()}",
            charging_day=str(run.charging_day),
        )
    sessions = _sessions_of(fleet, grid, as_of)
    rated_kw = fleet.rated_kw[sessions.evse]
    draws = draw_behaviour(sessions, behaviour=behaviour or Behaviour(), seed=seed)
    if parameters.rolling:
        issued = issue_anew(run=run, facts=facts, parameters=parameters, sessions=sessions, draws=draws)
    else:
        is_present = plugged_in_at_start(sessions, draws=draws, grid=grid)
        issued = issue_setpoints(run=run, facts=facts, parameters=parameters, is_present=is_present)
    delivery = deliver(sessions, setpoint_kw=issued.setpoint_kw, rated_kw=rated_kw, grid=grid, draws=draws)
    results = _take_in_readings(run, fleet, grid, delivery.energy_kwh, grid.ends_at + READ_AFTER)
    logger.info(
        "read setpoints of run %s and %d sessions (%d overridden, %d absent); wrote %s: %.1f of %.1f kWh delivered",
        run.pk,
        len(sessions),
        int(delivery.is_overridden.sum()),
        int(delivery.is_absent.sum()),
        ", ".join(f"{result.n_accepted} readings of {result.batch.organisation.code}" for result in results),
        delivery.delivered_kwh.sum(),
        delivery.asked_kwh.sum(),
    )
    uncontrolled_kwh = _uncontrolled(sessions, draws, rated_kw, grid)
    return DeliveredDay(
        grid, area, fleet, sessions, delivery, uncontrolled_kwh, tuple(result.batch for result in results)
    )


def _sessions_of(fleet: Fleet, grid: TimeGrid, as_of: datetime) -> SessionHistory:
    """Sessions that plugged in during the charging day."""
    known = load_session_history(evse_pks=fleet.evse_pks, evse_ids=fleet.evse_ids, as_of=as_of)
    first, last = grid.period_starts()[0], grid.period_starts()[-1] + np.timedelta64(grid.period_minutes, "m")
    return known.select((known.plug_in_at >= first) & (known.plug_in_at < last))


def _uncontrolled(sessions: SessionHistory, draws: BehaviourDraws, rated_kw: FloatArray, grid: TimeGrid) -> FloatArray:
    came = ~draws.is_absent
    return uncontrolled_energy_kwh(sessions.select(came), rated_kw=rated_kw[came], grid=grid)


def _take_in_readings(
    run: DispatchRun, fleet: Fleet, grid: TimeGrid, energy_kwh: FloatArray, received_at: datetime
) -> tuple[IngestResult, ...]:
    """One batch a DSRSP, a value for every meter and half-hour: zero is a reading too."""
    results = []
    for dsrsp_pk in np.unique(fleet.dsrsp_pks):
        own = fleet.dsrsp_pks == dsrsp_pk
        values = ReadingValues(
            meter_pks=np.repeat(fleet.meter_pks[own], grid.n_period),
            starts_at=np.tile(grid.period_starts(), int(own.sum())),
            energy_kwh=energy_kwh[own].ravel(),
        )
        result = ingest_readings(
            organisation=Organisation.objects.get(pk=int(dsrsp_pk)),
            source=f"virtual EVSEs, {run.charging_day}",
            sha256=digest(values.meter_pks, values.starts_at, values.energy_kwh),
            received_at=received_at,
            values=values,
        )
        results.append(result)
    return tuple(results)
