"""Jobs done by real worker processes on the suite's database: woken, killed, suspended, cut off, told to stop.

What holds a worker in the middle of a job is a lock on the one table the job ``check_health`` reads and the
worker itself does not: nothing in the product knows of these tests.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from aggregator.models import Job
from aggregator.services import jobs
from aggregator.services.wake import wake

pytestmark = pytest.mark.django_db(transaction=True)

REDIS = "redis://127.0.0.1:6379"
LEASE_S = 2
WITHIN_S = 60.0  # for anything waited for; a worker starts in 2 to 10 s on a busy machine


def eventually(is_so: Callable[[], object], what: str) -> None:
    """Look until it is so; a bound, not a pause."""
    pause, deadline = threading.Event(), time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {WITHIN_S:.0f} s in vain for: {what}")
        pause.wait(0.05)


def app_url() -> str:
    """Name the suite's database and the application's role as the environment does."""
    login = connection.get_connection_params()
    place = urlencode({name: login[name] for name in ("host", "port") if login.get(name)})
    return f"postgres://{quote(login['user'])}:{quote(login.get('password', ''))}@/{login['dbname']}?{place}"


class Worker:
    """One worker process, in a process group of its own, with its log in a file."""

    def __init__(self, log: Path, *command: str, **environment: str) -> None:
        url = app_url()
        ours = {"DATABASE_URL": url, "DATABASE_APP_URL": url, "HEADROOM_DB_ROLE": "app", "JOB_LEASE_S": str(LEASE_S)}
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=settings.BASE_DIR,
                env={**os.environ, **ours, "JOB_SWEEP_S": "1", "SECRET_KEY": settings.SECRET_KEY, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self.process.wait(timeout=WITHIN_S)


@pytest.fixture
def start(transactional_db, tmp_path) -> Iterator[Callable[..., Worker]]:
    """Start workers; at the end none is left, so that the tables can be emptied."""
    workers: list[Worker] = []

    def start_one(*command: str, **environment: str) -> Worker:
        workers.append(Worker(tmp_path / f"worker-{len(workers)}.log", *command, **environment))
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.end()


@pytest.fixture
def broker(settings) -> Iterator[str]:
    """Claim an empty database of the Redis at 127.0.0.1 and leave it empty: ask for it before the workers."""
    try:
        redis.Redis.from_url(REDIS, socket_connect_timeout=5).ping()
    except redis.ConnectionError as error:
        reason = f"no Redis answers at {REDIS}: {error}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    for number in range(15, 0, -1):
        with redis.Redis.from_url(f"{REDIS}/{number}") as client:
            if client.dbsize() == 0 and client.set("claimed-by-a-test", "1", nx=True):
                settings.CELERY_BROKER_URL = f"{REDIS}/{number}"
                yield settings.CELERY_BROKER_URL
                client.flushdb()
                return
    pytest.fail(f"no empty database at {REDIS}")


@pytest.fixture
def start_celery(broker, start) -> Callable[..., Worker]:
    def start_one(name: str, *options: str) -> Worker:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        command = ("-m", "celery", "-A", "flex", "worker", "-n", name, "--concurrency", "1", "-l", "INFO", *quiet)
        return start(*command, *options, CELERY_BROKER_URL=broker)

    return start_one


@pytest.fixture
def sweeping(tmp_path) -> tuple[str, ...]:
    """Options that make a Celery worker send the sweep too."""
    return ("--beat", "--schedule", str(tmp_path / "beat"))


@pytest.fixture
def held_up(owner_login) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Keep ``check_health`` waiting for the table of applied migrations, as a running migration would."""

    @contextlib.contextmanager
    def hold() -> Iterator[None]:
        with psycopg.connect(**owner_login) as session:
            session.execute("LOCK TABLE django_migrations IN ACCESS EXCLUSIVE MODE")
            yield
            session.rollback()

    return hold


def n_waiting() -> int:
    """Count the sessions that wait for the table of applied migrations."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'django_migrations'::regclass")
        return cursor.fetchone()[0]


def enqueue() -> Job:
    return jobs.enqueue(kind="check_health", payload={}, now=timezone.now())


def now_in(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def is_done(job: Job) -> Callable[[], bool]:
    return lambda: now_in(job).state == Job.State.DONE


def wait_until_in_the_middle(job: Job, *, attempt: int) -> Job:
    """Wait until a worker holds the job, waits inside it, and has extended its lease from there."""
    eventually(lambda: now_in(job).attempts == attempt, f"attempt {attempt}")
    eventually(lambda: n_waiting() >= 1, "a worker inside the job")
    first = now_in(job)
    eventually(lambda: now_in(job).leased_until != first.leased_until, "an extended lease")
    return first


@pytest.mark.broker
class TestCeleryWorker:
    def test_does_the_job_it_is_woken_for(self, start_celery):
        start_celery("one")
        job = enqueue()
        wake(job_id=job.pk, clock=timezone.now)
        eventually(is_done(job), "the job done by a worker")
        found = now_in(job)
        assert (found.attempts, found.outcome["is_well"], found.outcome["n_migrations_missing"]) == (1, True, 0)
        assert found.leased_by != jobs.worker_name()

    def test_finishes_what_a_killed_worker_left(self, start_celery, sweeping, held_up):
        first = start_celery("one")
        job = enqueue()
        with held_up():
            wake(job_id=job.pk, clock=timezone.now)
            killed = wait_until_in_the_middle(job, attempt=1)
            first.end()
            assert (now_in(job).state, now_in(job).leased_by) == ("leased", killed.leased_by)
            start_celery("two", *sweeping)
            eventually(lambda: now_in(job).attempts == 2, "a second worker")
        eventually(is_done(job), "the job done by the second worker")
        assert now_in(job).attempts == 2
        assert now_in(job).leased_by not in {killed.leased_by, ""}

    def test_refuses_the_late_finish_of_a_suspended_worker(self, start_celery, sweeping, held_up):
        first = start_celery("one")
        job = enqueue()
        with held_up():
            wake(job_id=job.pk, clock=timezone.now)
            suspended = wait_until_in_the_middle(job, attempt=1)
            first.send(signal.SIGSTOP)
        start_celery("two", *sweeping)
        eventually(is_done(job), "the job done by the second worker")
        before = Job.objects.values().get(pk=job.pk)
        assert (before["attempts"], before["leased_by"] == suspended.leased_by) == (2, False)
        first.send(signal.SIGCONT)
        eventually(lambda: first.says(f"{suspended.leased_by} no longer holds job {job.pk}"), "the refusal")
        assert Job.objects.values().get(pk=job.pk) == before


class TestRunJobs:
    COMMAND = ("manage.py", "run_jobs")

    def test_does_jobs_until_told_to_stop(self, start):
        worker = start(*self.COMMAND)
        for _ in range(2):
            job = enqueue()
            eventually(is_done(job), "the job done")
        worker.send(signal.SIGTERM)
        assert worker.process.wait(timeout=WITHIN_S) == 0
        assert worker.says("3 done, 0 queued, 0 failed")  # the day's anchor among them

    def test_finishes_the_job_at_hand_first(self, start, held_up):
        first, second = enqueue(), enqueue()
        with held_up():
            worker = start(*self.COMMAND)
            wait_until_in_the_middle(first, attempt=1)
            worker.send(signal.SIGTERM)
        assert worker.process.wait(timeout=WITHIN_S) == 0
        assert (now_in(first).state, now_in(second).state) == ("done", "queued")

    def test_ends_by_itself_when_asked_for_one_round(self, start):
        job = enqueue()
        worker = start(*self.COMMAND, "--once")
        assert worker.process.wait(timeout=WITHIN_S) == 0
        assert now_in(job).state == "done"

    def test_goes_on_after_the_server_cut_it_off(self, start):
        worker = start(*self.COMMAND)
        eventually(is_done(enqueue()), "the first job done")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchone()[0] >= 1
        eventually(is_done(enqueue()), "the second job done")
        assert worker.process.poll() is None

    def test_waits_for_a_database_that_is_away(self, start):
        worker = start(*self.COMMAND, DATABASE_APP_URL="postgres://nobody@127.0.0.1:1/nothing")
        eventually(lambda: worker.says("the database is away, asked again in 2 s"), "a second try")
        worker.send(signal.SIGINT)
        assert worker.process.wait(timeout=WITHIN_S) == 0
