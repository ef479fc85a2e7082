"""Whether the database and the jobs are well; the last cycle is for a higher floor to say."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Count, Q

from aggregator.models import Job
from aggregator.services.jobs import JsonObject

OVERDUE_AFTER_S = 120
FAILED_WITHIN_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class JobsHealth:
    """How many jobs are in trouble.

    Attributes:
        n_overdue: queued, and due for longer than the grace: nobody is doing jobs.
        n_abandoned: leased, and the lease over for longer than the grace: their workers died and nobody took over.
        n_failed: failed for good within the last day.
    """

    n_overdue: int
    n_abandoned: int
    n_failed: int

    @property
    def is_well(self) -> bool:
        return not (self.n_overdue or self.n_abandoned or self.n_failed)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Database and jobs at one moment.

    Attributes:
        checked_at: the moment asked about.
        is_database_up: it answered.
        n_migrations_missing: migrations of this version the database has not had; None while it is away.
        jobs: None while the database is away or its tables are not there.
    """

    checked_at: datetime
    is_database_up: bool
    n_migrations_missing: int | None
    jobs: JobsHealth | None

    @property
    def is_database_well(self) -> bool:
        return self.is_database_up and self.n_migrations_missing == 0

    @property
    def is_well(self) -> bool:
        return self.is_database_well and self.jobs is not None and self.jobs.is_well

    def as_json(self) -> JsonObject:
        return {**asdict(self), "checked_at": self.checked_at.isoformat(), "is_well": self.is_well}


def health(*, now: datetime, overdue_after_s: float = OVERDUE_AFTER_S) -> HealthReport:
    """Say how database and jobs are; a database that is away is an answer, not an error."""
    try:
        n_missing = _count_missing_migrations()
    except (DatabaseError, InterfaceError):
        return HealthReport(checked_at=now, is_database_up=False, n_migrations_missing=None, jobs=None)
    try:
        jobs = _count_jobs(now=now, overdue_after_s=overdue_after_s)
    except (DatabaseError, InterfaceError):  # the table is not there before the first migration
        jobs = None
    return HealthReport(checked_at=now, is_database_up=True, n_migrations_missing=n_missing, jobs=jobs)


def check_health_job(*, now: datetime) -> JsonObject:
    """Do the job kind ``check_health``: what the workers' side sees of database and jobs."""
    return health(now=now).as_json()


def _count_missing_migrations() -> int:
    loader = MigrationLoader(connection)
    return len(set(loader.disk_migrations) - set(loader.applied_migrations))


def _count_jobs(*, now: datetime, overdue_after_s: float) -> JobsHealth:
    too_old = now - timedelta(seconds=overdue_after_s)
    failed_since = now - timedelta(seconds=FAILED_WITHIN_S)
    counts = Job.objects.aggregate(
        n_overdue=Count("pk", filter=Q(state=Job.State.QUEUED, due_at__lt=too_old)),
        n_abandoned=Count("pk", filter=Q(state=Job.State.LEASED, leased_until__lt=too_old)),
        n_failed=Count("pk", filter=Q(state=Job.State.FAILED, finished_at__gte=failed_since)),
    )
    return JobsHealth(**counts)
