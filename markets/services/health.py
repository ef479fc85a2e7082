"""Whether the whole is well: database and jobs as the ground floor sees them, and the last cycle."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import DatabaseError, InterfaceError

from aggregator.services.health import health
from markets.models import CycleRun
from markets.queries import last_cycle

STUCK_AFTER = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class CycleHealth:
    """The newest cycle. A cycle that stopped, or has run for longer than two hours, is not well."""

    charging_day: date
    state: str
    finished_at: datetime | None
    is_well: bool


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """What a monitor may know without a log-in: no names, hosts, counts or messages.

    Attributes:
        last_cycle: None before the first one, which is no fault.
    """

    is_database_well: bool
    are_jobs_well: bool
    last_cycle: CycleHealth | None

    @property
    def is_well(self) -> bool:
        is_cycle_well = self.last_cycle is None or self.last_cycle.is_well
        return self.is_database_well and self.are_jobs_well and is_cycle_well


def system_health(*, now: datetime) -> SystemHealth:
    """Say how database, jobs and last cycle are; a database that is away is an answer, not an error."""
    ground = health(now=now)
    is_database_well = ground.is_database_well
    cycle: CycleHealth | None = None
    if ground.is_database_up:
        try:
            cycle = _cycle_health(last_cycle(), now=now)
        except (DatabaseError, InterfaceError):  # it went away in between, or its tables are not there yet
            is_database_well = False
    jobs = ground.jobs
    return SystemHealth(
        is_database_well=is_database_well, are_jobs_well=jobs is not None and jobs.is_well, last_cycle=cycle
    )


def _cycle_health(cycle: CycleRun | None, *, now: datetime) -> CycleHealth | None:
    if cycle is None:
        return None
    is_stuck = cycle.state == CycleRun.State.RUNNING and now - cycle.started_at > STUCK_AFTER
    return CycleHealth(
        charging_day=cycle.charging_day,
        state=cycle.state,
        finished_at=cycle.finished_at,
        is_well=cycle.state != CycleRun.State.FAILED and not is_stuck,
    )
