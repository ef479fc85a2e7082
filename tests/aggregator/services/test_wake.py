import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import packages_distributions

import pytest
from django.conf import settings
from django.db import transaction

from aggregator.models import Job
from aggregator.services import jobs
from aggregator.services.wake import wake

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONGEST_S = 2.0  # of which a step of one delivery may take 0.5 s


def succeeds(*, now: datetime) -> dict[str, str]:
    return {"done_at": now.isoformat()}


def crashes(*, now: datetime) -> None:
    raise ZeroDivisionError("a bug")


@pytest.fixture(autouse=True)
def handlers(settings) -> None:
    settings.CELERY_BROKER_URL = ""
    settings.JOB_HANDLERS = {name: f"{__name__}.{name}" for name in ("succeeds", "crashes")}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word, as a suspended broker does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def enqueue(kind: str = "succeeds") -> Job:
    return jobs.enqueue(kind=kind, payload={}, now=NOW)


@pytest.fixture
def state_after_waking(django_capture_on_commit_callbacks) -> Callable[[Job], str]:
    def wake_and_look(job: Job) -> str:
        with django_capture_on_commit_callbacks(execute=True):
            wake(job_id=job.pk, clock=lambda: NOW)
        return Job.objects.get(pk=job.pk).state

    return wake_and_look


class TestWakeWithoutABroker:
    @pytest.mark.django_db(transaction=True)
    def test_does_the_job_here_and_only_after_the_commit(self):
        with transaction.atomic():
            wake(job_id=enqueue().pk, clock=lambda: NOW)
            assert Job.objects.get().state == "queued"
        assert Job.objects.get().outcome == {"done_at": NOW.isoformat()}

    @pytest.mark.django_db(transaction=True)
    def test_does_nothing_for_a_transaction_that_is_undone(self):
        job = enqueue()
        with transaction.atomic():
            wake(job_id=job.pk, clock=lambda: NOW)
            transaction.set_rollback(True)
        assert Job.objects.get().state == "queued"

    def test_leaves_an_error_to_the_row(self, state_after_waking):
        assert state_after_waking(enqueue("crashes")) == "queued"
        assert Job.objects.get().outcome["error"]["code"] == "job.crashed"

    def test_leaves_a_job_another_worker_holds(self, state_after_waking):
        job = enqueue()
        jobs.lease(now=NOW, worker="first", lease_s=60)
        assert state_after_waking(job) == "leased"


class TestWakeWithABrokerThatIsDown:
    @pytest.mark.parametrize("scheme", ["redis", "amqp"])
    @pytest.mark.parametrize("port", ["closed_port", "silent_port"])
    def test_gives_up_at_once_and_leaves_the_job_to_the_sweep(
        self, settings, request, caplog, state_after_waking, scheme, port
    ):
        settings.CELERY_BROKER_URL = f"{scheme}://127.0.0.1:{request.getfixturevalue(port)}/"
        job = enqueue()
        asked_at = time.monotonic()
        assert state_after_waking(job) == "queued"
        assert time.monotonic() - asked_at < LONGEST_S
        assert f"job {job.pk} waits for the next sweep" in caplog.text
        assert [done.pk for done in jobs.run_due(clock=lambda: NOW, worker="sweep")] == [job.pk]


class TestBrokerTransports:
    """Workers have the runtime's packages only; the suite has more, and would not miss what they lack."""

    @pytest.mark.parametrize("module", ["kombu.transport.redis", "kombu.transport.pyamqp"])
    def test_need_nothing_beyond_the_pinned_runtime(self, module):
        pinned = {
            line.split("==")[0].lower().replace("_", "-")
            for line in (settings.BASE_DIR / "requirements.txt").read_text().splitlines()
            if "==" in line and not line.startswith((" ", "#"))
        }
        code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        owners = packages_distributions()
        foreign = {
            owner
            for name in loaded
            for owner in owners.get(name, [])
            if owner.lower().replace("_", "-") not in pinned | {"pip", "setuptools"}
        }

        assert foreign == set()
