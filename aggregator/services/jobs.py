"""Work to be done, as rows: who leases a row does it, and only who still holds the lease may finish it.

A worker that dies or hangs stops extending its lease; another takes the row over, and the first one's late
finish is refused. So a job is done at least once and its outcome written once: every handler must be safe
to run twice. The clocks of all workers may differ by much less than a lease. Source: docs/adr/0001-jobs-are-rows.md

Jobs are the platform's own work, whoever's process does them or asks for them: rows and handlers see every tenant.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeAlias

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from aggregator.core.errors import FlexError
from aggregator.models import Job, as_platform, known_as

logger = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], datetime]
JsonObject: TypeAlias = dict[str, object]

FIRST_RETRY_S = 10
LAST_RETRY_S = 900
LONGEST_MESSAGE = 2_000


class UnknownJobKind(FlexError):
    code = "job.unknown_kind"


class PayloadNotJson(FlexError):
    code = "job.payload_not_json"


class JobKeyReused(FlexError):
    code = "job.key_reused"


class LeaseLost(FlexError):
    code = "job.lease_lost"


def worker_name() -> str:
    """Name this process for the rows it leases."""
    return f"{socket.gethostname()[:80]}:{os.getpid()}"


@as_platform()
def enqueue(
    *,
    kind: str,
    payload: Mapping[str, object],
    now: datetime,
    unique_key: str | None = None,
    due_at: datetime | None = None,
) -> Job:
    """Write a job, to be done from ``due_at`` (now) on; asking again with the same ``unique_key`` returns the same row.

    Raises:
        UnknownJobKind: no handler is named for this kind.
        PayloadNotJson: the payload holds something JSON cannot.
        JobKeyReused: the key stands for another kind or payload.
    """
    if kind not in settings.JOB_HANDLERS:
        known = ", ".join(sorted(settings.JOB_HANDLERS))
        raise UnknownJobKind(f"asked for a job of kind {kind!r}, found handlers for {known}", kind=kind)
    try:
        asked = _as_json(payload)
    except (TypeError, ValueError) as error:
        raise PayloadNotJson(f"the payload of a {kind} job must be plain JSON: {error}", kind=kind) from error
    fields = {"kind": kind, "payload": asked, "due_at": due_at or now, "created_at": now}
    if unique_key is None:
        return Job.objects.create(**fields)
    job, is_new = Job.objects.get_or_create(unique_key=unique_key, defaults=fields)
    if not is_new and (job.kind, job.payload) != (kind, asked):
        raise JobKeyReused(
            f"key {unique_key!r} stands for job {job.pk} ({job.kind}) with another payload, asked for {kind}",
            unique_key=unique_key,
            job_id=job.pk,
        )
    return job


def lease(*, now: datetime, worker: str, lease_s: float, job_id: int | None = None) -> Job | None:
    """Take the job (or the one due longest) for ``lease_s``; None where there is none to take.

    To take: due, of a kind this version knows, and queued or left with its lease over. One whose attempts are used
    up is failed here, because nobody else is left to say so. A row another worker is just taking is passed over.
    """
    while True:
        with transaction.atomic():
            job = _open_jobs(now=now, job_id=job_id).select_for_update(skip_locked=True).first()
            if job is None:
                return None
            if job.attempts < job.max_attempts:
                job.state = Job.State.LEASED
                job.leased_by, job.leased_until = worker, now + timedelta(seconds=lease_s)
                job.attempts += 1
                job.save(update_fields=["state", "leased_by", "leased_until", "attempts"])
                return job
            _give_up(job, now=now)


def extend(*, job: Job, now: datetime, lease_s: float) -> None:
    """Hold the job until ``lease_s`` from now.

    Raises:
        LeaseLost: another worker took the job over, or it is finished.
    """
    _change_held(job, leased_until=now + timedelta(seconds=lease_s))


def finish(*, job: Job, outcome: Mapping[str, object], now: datetime) -> None:
    """Write the outcome of a job done.

    Raises:
        LeaseLost: another worker took the job over, or it is finished.
    """
    _change_held(job, state=Job.State.DONE, outcome=_as_json(outcome), leased_until=None, finished_at=now)


def fail(*, job: Job, error: Exception, now: datetime) -> None:
    """Write what went wrong; the job waits for its next attempt, or has failed when this was the last.

    Raises:
        LeaseLost: another worker took the job over, or it is finished.
    """
    outcome = {"error": describe_error(error)}
    if job.attempts < job.max_attempts:
        due_at = now + timedelta(seconds=retry_after_s(job.attempts))
        _change_held(job, state=Job.State.QUEUED, outcome=outcome, leased_until=None, due_at=due_at)
    else:
        _change_held(job, state=Job.State.FAILED, outcome=outcome, leased_until=None, finished_at=now)


@as_platform()
def run(*, job_id: int, clock: Clock, worker: str, lease_s: float | None = None) -> Job | None:
    """Lease one job, do it, write its outcome; None where it was not to be had (done, held, or not yet due).

    Whatever the handler raises becomes the row's outcome. Where the lease was lost meanwhile, the row returned
    is the new holder's.
    """
    held_s = settings.JOB_LEASE_S if lease_s is None else lease_s
    job = lease(now=clock(), worker=worker, lease_s=held_s, job_id=job_id)
    return None if job is None else _carry_out(job, clock=clock, lease_s=held_s)


@as_platform()
def run_due(
    *,
    clock: Clock,
    worker: str,
    lease_s: float | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> list[Job]:
    """Do every job that is due, the one due longest first, until none is left or ``is_stopping`` says so."""
    held_s = settings.JOB_LEASE_S if lease_s is None else lease_s
    carried_out: list[Job] = []
    while not is_stopping():
        job = lease(now=clock(), worker=worker, lease_s=held_s)
        if job is None:
            break
        carried_out.append(_carry_out(job, clock=clock, lease_s=held_s))
    return carried_out


def retry_after_s(attempts: int) -> int:
    """Return the wait before the next attempt: 10, 40, 160, 640, then 900 s."""
    return int(min(FIRST_RETRY_S * 4 ** (attempts - 1), LAST_RETRY_S))


def describe_error(error: Exception) -> JsonObject:
    """Return an error as its row keeps it: class, code (``job.crashed`` for a bug), message, a FlexError's facts."""
    kind = type(error)
    described: JsonObject = {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "code": error.code if isinstance(error, FlexError) else "job.crashed",
        "message": (error.message if isinstance(error, FlexError) else str(error)).replace("\x00", "")[
            :LONGEST_MESSAGE
        ],
    }
    if isinstance(error, FlexError) and error.details:
        # as text where JSON has no word for it (NaN), so that no fact keeps the error from its row
        described["details"] = {name: _fact(value) for name, value in error.details.items()}
    return described


# --- rows -----------------------------------------------------------------------------------------


def _open_jobs(*, now: datetime, job_id: int | None) -> QuerySet[Job]:
    is_free = Q(state=Job.State.QUEUED) | Q(state=Job.State.LEASED, leased_until__lte=now)
    # A kind only a newer version knows is left to a worker of that version.
    jobs = Job.objects.filter(is_free, due_at__lte=now, kind__in=list(settings.JOB_HANDLERS))
    return (jobs if job_id is None else jobs.filter(pk=job_id)).order_by("due_at", "pk")


def _give_up(job: Job, *, now: datetime) -> None:
    last = "" if job.leased_until is None else f"; {job.leased_by} last held it until {job.leased_until.isoformat()}"
    error = {"class": "", "code": "job.attempts_used_up", "message": f"{job.attempts} attempts were not finished{last}"}
    job.state, job.finished_at, job.leased_until = Job.State.FAILED, now, None
    job.outcome = {"error": error}
    job.save(update_fields=["state", "finished_at", "leased_until", "outcome"])
    logger.error("job %d (%s) failed: %s", job.pk, job.kind, error["message"])


def _change_held(job: Job, **changes: object) -> None:
    """Change the row only while this lease stands: the worker's name and the attempt's number are the fence."""
    held = Job.objects.filter(pk=job.pk, state=Job.State.LEASED, leased_by=job.leased_by, attempts=job.attempts)
    if not held.update(**changes):
        raise LeaseLost(
            f"{job.leased_by} no longer holds job {job.pk} ({job.kind}): attempt {job.attempts} is over or taken over",
            job_id=job.pk,
            attempt=job.attempts,
        )
    for name, value in changes.items():
        setattr(job, name, value)


# --- doing ----------------------------------------------------------------------------------------


def _carry_out(job: Job, *, clock: Clock, lease_s: float) -> Job:
    logger.info("job %d (%s) starts, attempt %d of %d", job.pk, job.kind, job.attempts, job.max_attempts)
    try:
        error, outcome = None, _handle(job, clock=clock, lease_s=lease_s)
    except Exception as caught:
        logger.warning("job %d (%s) raised", job.pk, job.kind, exc_info=True)
        error, outcome = caught, {}
    if not connection.in_atomic_block:
        close_old_connections()  # one the handler saw break would take the outcome with it
    try:
        if error is None:
            finish(job=job, outcome=outcome, now=clock())
        else:
            fail(job=job, error=error, now=clock())
    except LeaseLost as lost:
        logger.warning("%s; what it did here is not recorded", lost)
        job.refresh_from_db()
    logger.info("job %d (%s) is %s", job.pk, job.kind, job.state)
    return job


def _handle(job: Job, *, clock: Clock, lease_s: float) -> JsonObject:
    with _kept_alive(job, clock=clock, lease_s=lease_s), known_as(f"job:{job.pk} {job.kind}"):
        handler: Callable[..., Mapping[str, object] | None] = import_string(settings.JOB_HANDLERS[job.kind])
        return _as_json(handler(**job.payload, now=clock()) or {})


@contextmanager
def _kept_alive(job: Job, *, clock: Clock, lease_s: float) -> Iterator[None]:
    """Extend the lease from a thread of its own while the handler works."""
    is_over = threading.Event()

    def beat() -> None:
        try:
            with as_platform():  # a thread knows nothing of who started it
                while not is_over.wait(lease_s / 3):
                    if not _try_to_extend(job, now=clock(), lease_s=lease_s):
                        return
        finally:
            connection.close()  # this thread's own

    heart = threading.Thread(target=beat, name=f"lease of job {job.pk}", daemon=True)
    heart.start()
    try:
        yield
    finally:
        is_over.set()
        heart.join(timeout=lease_s)  # a beat that hangs in a dead network may not hold the outcome back


def _try_to_extend(job: Job, *, now: datetime, lease_s: float) -> bool:
    """Extend, and say whether it is worth trying again; a database that is away for a moment may be back in time."""
    try:
        extend(job=job, now=now, lease_s=lease_s)
    except LeaseLost as lost:
        logger.warning("%s", lost)
        return False
    except (OperationalError, InterfaceError) as error:
        logger.warning("job %d: the lease could not be extended: %s", job.pk, error)
        connection.close()
    return True


def _as_json(value: Mapping[str, object]) -> JsonObject:
    """Return the value as the row will give it back: dates and Decimals as text; NaN and unknown types refused."""
    text = json.dumps(dict(value), cls=DjangoJSONEncoder, allow_nan=False)
    plain: JsonObject = json.loads(text)
    return plain


def _fact(value: object) -> object:
    try:
        return json.loads(json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)
