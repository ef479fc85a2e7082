import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from aggregator.core.errors import FlexError
from aggregator.models import Job
from aggregator.services import jobs

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)  # seen by other connections; slower, the tables are emptied after

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE_S = 60.0
SEEN: list[object] = []  # what the handlers below were called with


class NoForecast(FlexError):
    code = "test.no_forecast"


def notes(*, now: datetime, **payload: object) -> dict[str, object]:
    SEEN.append(payload)
    return {"noted_on": now.date(), **payload}


def refuses(*, now: datetime) -> None:
    raise NoForecast("asked for 1 March, found no forecast", day="2026-03-01", age_h=float("nan"))


def crashes(*, now: datetime) -> None:
    raise ZeroDivisionError("a \x00 in the message")


def answers_nan(*, now: datetime) -> dict[str, float]:
    return {"energy_kwh": float("nan")}


def is_overtaken(*, now: datetime) -> dict[str, object]:
    """Be so slow that a second worker takes the job over and finishes it first."""
    late = now + timedelta(hours=1)
    second = jobs.lease(now=late, worker="second", lease_s=LEASE_S)
    assert second is not None
    jobs.finish(job=second, outcome={"by": "second"}, now=late)
    return {"by": "first"}


def waits_for_a_beat(*, now: datetime) -> dict[str, bool]:
    """Work until the lease has been extended once, seen in the row; give up after 10 s."""
    first = Job.objects.get().leased_until
    pause = threading.Event()
    for _ in range(1_000):
        if Job.objects.get().leased_until != first:
            return {"was_extended": True}
        pause.wait(0.01)
    return {"was_extended": False}


def loses_its_connection(*, now: datetime) -> None:
    """Have the server end this connection in the middle, as a restart does."""
    with other_session() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    Job.objects.count()


HANDLERS = (notes, refuses, crashes, answers_nan, is_overtaken, waits_for_a_beat, loses_its_connection)


@pytest.fixture(autouse=True)
def handlers(settings) -> Iterator[None]:
    settings.JOB_HANDLERS = {function.__name__: f"{__name__}.{function.__name__}" for function in HANDLERS}
    SEEN.clear()
    return


def other_session() -> psycopg.Connection:
    """Open a second connection as the same role, for the same work."""
    options = {"cursor_factory": psycopg.Cursor, "options": "-c headroom.kind=work"}
    return psycopg.connect(**connection.get_connection_params() | options, autocommit=True)


def queued(kind: str = "notes", **fields: object) -> Job:
    job = jobs.enqueue(kind=kind, payload=fields.pop("payload", {}), now=NOW, due_at=fields.pop("due_at", None))
    Job.objects.filter(pk=job.pk).update(**fields)
    job.refresh_from_db()
    return job


def leased(*, now: datetime = NOW, worker: str = "first", **options: int) -> Job:
    job = jobs.lease(now=now, worker=worker, lease_s=LEASE_S, **options)
    assert job is not None
    return job


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def in_threads(n: int, work: Callable[[int], T]) -> list[T]:
    """Run ``work`` in ``n`` threads that start together, each with a connection of its own."""
    start = threading.Barrier(n)

    def one(number: int) -> T:
        try:
            connection.ensure_connection()
            start.wait(timeout=60)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


class TestEnqueue:
    def test_writes_a_row_that_is_due_at_once(self):
        job = jobs.enqueue(kind="notes", payload={"charging_day": date(2026, 3, 2)}, now=NOW)
        job.refresh_from_db()
        assert (job.state, job.due_at, job.created_at, job.attempts) == ("queued", NOW, NOW, 0)
        assert job.payload == {"charging_day": "2026-03-02"}

    def test_returns_the_same_row_for_the_same_key(self):
        asked = [jobs.enqueue(kind="notes", payload={"n": 1}, now=later(s), unique_key="one") for s in (0, 5)]
        assert asked[0].pk == asked[1].pk
        assert Job.objects.get().created_at == NOW

    @committed
    def test_writes_one_row_when_twenty_ask_at_once(self):
        asked = in_threads(20, lambda _: jobs.enqueue(kind="notes", payload={}, now=NOW, unique_key="one").pk)
        assert len(set(asked)) == Job.objects.count() == 1

    def test_refuses_a_key_that_stands_for_another_payload(self):
        jobs.enqueue(kind="notes", payload={"n": 1}, now=NOW, unique_key="one")
        with pytest.raises(jobs.JobKeyReused) as refusal:
            jobs.enqueue(kind="notes", payload={"n": 2}, now=NOW, unique_key="one")
        assert refusal.value.code == "job.key_reused"
        assert Job.objects.get().payload == {"n": 1}

    def test_refuses_a_kind_nobody_handles(self):
        with pytest.raises(jobs.UnknownJobKind):
            jobs.enqueue(kind="bake", payload={}, now=NOW)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
    def test_refuses_what_json_cannot_hold(self, value):
        with pytest.raises(jobs.PayloadNotJson):
            jobs.enqueue(kind="notes", payload={"value": value}, now=NOW)

    def test_is_undone_with_the_transaction_it_belongs_to(self):
        with transaction.atomic():
            queued()
            transaction.set_rollback(True)
        assert Job.objects.count() == 0


class TestLease:
    def test_takes_the_job_due_longest_and_counts_the_attempt(self):
        queued(due_at=later(-1))
        oldest = queued(due_at=later(-2))
        job = leased()
        job.refresh_from_db()
        assert (job.pk, job.state, job.leased_by, job.attempts) == (oldest.pk, "leased", "first", 1)
        assert job.leased_until == later(LEASE_S)

    def test_takes_the_job_asked_for(self):
        queued(due_at=later(-2))
        asked = queued(due_at=later(-1))
        assert leased(job_id=asked.pk).pk == asked.pk

    @pytest.mark.parametrize("is_named", [True, False])
    def test_leaves_a_job_that_is_not_due(self, is_named):
        job = queued(due_at=later(1))
        job_id = job.pk if is_named else None
        assert jobs.lease(now=NOW, worker="first", lease_s=LEASE_S, job_id=job_id) is None
        assert jobs.lease(now=later(1), worker="first", lease_s=LEASE_S, job_id=job_id) is not None

    def test_leaves_a_kind_only_a_newer_version_knows(self):
        queued(kind="notes", due_at=later(-1))
        Job.objects.update(kind="from_next_year")
        assert jobs.lease(now=NOW, worker="first", lease_s=LEASE_S) is None
        assert Job.objects.get().state == "queued"

    def test_leaves_a_job_whose_lease_still_runs(self):
        queued()
        leased()
        assert jobs.lease(now=later(LEASE_S - 1), worker="second", lease_s=LEASE_S) is None

    def test_takes_over_when_the_lease_is_over(self):
        queued()
        leased()
        job = leased(now=later(LEASE_S), worker="second")
        assert (job.leased_by, job.attempts, job.leased_until) == ("second", 2, later(2 * LEASE_S))

    def test_fails_a_job_whose_attempts_are_used_up_and_goes_on_to_the_next(self):
        dead = queued(due_at=later(-5), max_attempts=1)
        leased()
        alive = queued()
        assert leased(now=later(LEASE_S), worker="second").pk == alive.pk
        dead.refresh_from_db()
        assert (dead.state, dead.finished_at, dead.leased_until) == ("failed", later(LEASE_S), None)
        assert dead.outcome["error"]["code"] == "job.attempts_used_up"
        assert "first last held it until 2026-03-01T12:01:00+00:00" in dead.outcome["error"]["message"]

    @committed
    def test_passes_over_a_row_another_worker_is_just_taking_without_waiting(self):
        taken, free = queued(due_at=later(-2)), queued(due_at=later(-1))
        with connection.cursor() as cursor, other_session() as other:
            cursor.execute("SET lock_timeout = '2s'")  # waiting would be an error
            with other.transaction():
                other.execute("SELECT FROM aggregator_job WHERE id = %s FOR UPDATE", [taken.pk])
                assert leased(worker="second").pk == free.pk
                assert jobs.lease(now=NOW, worker="second", lease_s=LEASE_S, job_id=taken.pk) is None
            assert leased(worker="second").pk == taken.pk
            cursor.execute("RESET lock_timeout")

    @committed
    @pytest.mark.parametrize("commits", [True, False])
    def test_gives_the_job_to_the_second_only_if_the_first_one_rolls_back(self, commits):
        queued()
        with other_session() as other, other.transaction() as first:
            other.execute(
                "UPDATE aggregator_job SET state = 'leased', leased_by = 'first', attempts = 1, leased_until = %s",
                [later(LEASE_S)],
            )
            assert jobs.lease(now=NOW, worker="second", lease_s=LEASE_S) is None
            if not commits:
                raise psycopg.Rollback(first)
        second = jobs.lease(now=NOW, worker="second", lease_s=LEASE_S)
        assert (second is None) == commits
        assert Job.objects.get().leased_by == ("first" if commits else "second")

    @committed
    def test_gives_each_of_fifty_jobs_to_one_of_two_racing_workers(self):
        asked = [queued().pk for _ in range(50)]
        together = threading.Barrier(2)

        def take_all(number: int) -> list[int]:
            taken = []
            for job_id in asked:
                together.wait(timeout=60)
                if jobs.lease(now=NOW, worker=f"worker {number}", lease_s=LEASE_S, job_id=job_id):
                    taken.append(job_id)
            return taken

        first, second = in_threads(2, take_all)
        assert sorted(first + second) == asked
        assert set(Job.objects.values_list("attempts", flat=True)) == {1}


class TestFence:
    CHANGES = {
        "extend": lambda job, at: jobs.extend(job=job, now=at, lease_s=LEASE_S),
        "finish": lambda job, at: jobs.finish(job=job, outcome={"by": "first"}, now=at),
        "fail": lambda job, at: jobs.fail(job=job, error=NoForecast("none"), now=at),
    }

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("second", ["second", "first"], ids=["another worker", "the same worker again"])
    def test_refuses_a_late_worker_once_the_job_was_taken_over(self, change, second):
        queued()
        stale = leased()
        leased(now=later(LEASE_S), worker=second)
        before = Job.objects.values().get()
        with pytest.raises(jobs.LeaseLost) as refusal:
            self.CHANGES[change](stale, later(LEASE_S + 1))
        assert refusal.value.code == "job.lease_lost"
        assert Job.objects.values().get() == before

    @pytest.mark.parametrize("change", CHANGES)
    def test_refuses_a_job_that_is_finished(self, change):
        queued()
        job = leased()
        jobs.finish(job=job, outcome={"by": "first"}, now=later(1))
        before = Job.objects.values().get()
        with pytest.raises(jobs.LeaseLost):
            self.CHANGES[change](job, later(2))
        assert Job.objects.values().get() == before

    def test_refuses_a_late_worker_after_the_attempts_were_reset_by_hand(self):
        queued()
        stale = leased()
        Job.objects.update(state="queued", attempts=0)
        assert leased(worker="second").attempts == stale.attempts
        with pytest.raises(jobs.LeaseLost):
            jobs.finish(job=stale, outcome={"by": "first"}, now=later(1))

    def test_accepts_a_late_finish_while_nobody_took_over(self):
        queued()
        jobs.finish(job=leased(), outcome={"n": 1}, now=later(LEASE_S + 100))
        job = Job.objects.get()
        assert (job.state, job.outcome, job.leased_until) == ("done", {"n": 1}, None)

    def test_extends_from_the_moment_it_is_asked(self):
        queued()
        jobs.extend(job=leased(), now=later(20), lease_s=LEASE_S)
        assert Job.objects.get().leased_until == later(20 + LEASE_S)


class TestRun:
    def run(self, kind: str, **fields: object) -> Job:
        job = jobs.run(job_id=queued(kind, **fields).pk, clock=lambda: NOW, worker="first")
        assert job is not None
        stored = Job.objects.get(pk=job.pk)
        assert (job.state, job.outcome, job.leased_until) == (stored.state, stored.outcome, stored.leased_until)
        return stored

    def test_calls_the_handler_with_the_payload_and_stores_what_it_returns(self):
        job = self.run("notes", payload={"fleet": "Ayr", "n": 2})
        assert SEEN == [{"fleet": "Ayr", "n": 2}]
        assert job.outcome == {"fleet": "Ayr", "n": 2, "noted_on": "2026-03-01"}
        assert (job.state, job.finished_at, job.leased_by) == ("done", NOW, "first")

    def test_does_a_job_once_however_often_it_is_woken(self):
        job = self.run("notes")
        assert jobs.run(job_id=job.pk, clock=lambda: later(900), worker="second") is None
        assert len(SEEN) == 1

    def test_keeps_the_code_and_the_facts_of_a_flex_error_and_tries_again_later(self):
        job = self.run("refuses")
        error = job.outcome["error"]
        assert (error["code"], error["message"]) == ("test.no_forecast", "asked for 1 March, found no forecast")
        assert error["class"].endswith(".NoForecast")
        assert error["details"] == {"day": "2026-03-01", "age_h": "nan"}
        assert (job.state, job.due_at, job.finished_at) == ("queued", later(10), None)

    @pytest.mark.parametrize(("kind", "name"), [("crashes", "ZeroDivisionError"), ("answers_nan", "ValueError")])
    def test_keeps_a_bug_as_an_error_of_the_job(self, kind, name):
        job = self.run(kind)
        assert (job.state, job.outcome["error"]["class"]) == ("queued", f"builtins.{name}")
        assert job.outcome["error"]["code"] == "job.crashed"

    def test_fails_for_good_on_the_last_attempt(self):
        asked = queued("refuses")
        clock = itertools.count(0, 1_000).__next__
        states = [jobs.run(job_id=asked.pk, clock=lambda: later(clock()), worker="first").state for _ in range(3)]
        assert states == ["queued", "queued", "failed"]
        assert jobs.run(job_id=asked.pk, clock=lambda: later(10**6), worker="first") is None

    def test_leaves_the_outcome_of_the_worker_that_took_over(self):
        job = self.run("is_overtaken")
        assert (job.state, job.leased_by, job.attempts, job.outcome) == ("done", "second", 2, {"by": "second"})

    @committed
    def test_extends_the_lease_while_the_handler_works(self):
        ticks = itertools.count()
        job = jobs.run(
            job_id=queued("waits_for_a_beat").pk, clock=lambda: later(next(ticks)), worker="first", lease_s=0.03
        )
        assert (job.state, job.outcome) == ("done", {"was_extended": True})

    def test_ends_the_thread_that_extends(self):
        self.run("crashes")
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("lease of job")]

    @committed
    def test_keeps_the_error_of_a_handler_whose_connection_broke(self):
        job = self.run("loses_its_connection")
        assert job.state == "queued"
        assert job.outcome["error"]["class"] == "django.db.utils.OperationalError"


class TestTryToExtend:
    @committed
    def test_tries_again_after_the_database_was_away(self):
        queued()
        job = leased()
        with pytest.raises(OperationalError):
            loses_its_connection(now=NOW)
        assert jobs._try_to_extend(job, now=later(1), lease_s=LEASE_S)
        assert jobs._try_to_extend(job, now=later(2), lease_s=LEASE_S)
        assert Job.objects.get().leased_until == later(2 + LEASE_S)

    def test_stops_once_the_lease_is_lost(self):
        queued()
        job = leased()
        leased(now=later(LEASE_S), worker="second")
        assert not jobs._try_to_extend(job, now=later(LEASE_S + 1), lease_s=LEASE_S)


class TestRunDue:
    def test_does_what_is_due_in_order_and_leaves_the_rest(self):
        for n, due_at in enumerate((later(1), later(-2), later(-1))):
            queued(payload={"n": n}, due_at=due_at)
        done = jobs.run_due(clock=lambda: NOW, worker="first")
        assert SEEN == [{"n": 1}, {"n": 2}]
        assert [job.state for job in done] == ["done", "done"]

    def test_ends_between_two_jobs_when_told_to_stop(self):
        for n in range(3):
            queued(payload={"n": n})
        jobs.run_due(clock=lambda: NOW, worker="first", is_stopping=lambda: len(SEEN) == 2)
        assert len(SEEN) == 2
        assert Job.objects.filter(state="queued").count() == 1

    def test_is_not_held_up_by_a_job_that_crashes(self):
        queued("crashes", due_at=later(-1))
        queued("notes")
        assert [job.state for job in jobs.run_due(clock=lambda: NOW, worker="first")] == ["queued", "done"]

    @committed
    def test_does_each_of_twenty_jobs_once_with_fifty_workers(self):
        for n in range(20):
            queued(payload={"n": n})
        in_threads(50, lambda number: jobs.run_due(clock=lambda: NOW, worker=f"worker {number}"))
        assert sorted(payload["n"] for payload in SEEN) == list(range(20))
        assert set(Job.objects.values_list("state", "attempts")) == {("done", 1)}


class TestRetryAfterS:
    def test_waits_four_times_longer_each_time_up_to_a_quarter_of_an_hour(self):
        assert [jobs.retry_after_s(n) for n in (1, 2, 3, 4, 5, 60)] == [10, 40, 160, 640, 900, 900]
