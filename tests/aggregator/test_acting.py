"""For whom a connection acts: through blocks, transactions, threads and connections that break."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import Error, IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from aggregator import tasks
from aggregator.models import Job, Organisation, acting_for, actor, as_nobody, as_platform, known_as, work_as_platform
from aggregator.models import acting as module
from aggregator.services import jobs
from tests.factories import make_dno, make_organisation

NOBODY, WORK = ("", ""), ("work", "")


def told() -> tuple[str, str]:
    """What the server holds this session to be."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(current_setting('headroom.kind', true), ''), "
            "coalesce(current_setting('headroom.organisation', true), '')"
        )
        return cursor.fetchone()


def fail_a_statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")


def who(organisation: Organisation) -> tuple[str, str]:
    return (organisation.kind, str(organisation.pk))


@pytest.fixture
def nobody_by_default(monkeypatch) -> Iterator[None]:
    """A process that was told nothing, as a web server's is."""
    with as_nobody():  # tells the connection, and goes back to the suite's default at the end
        monkeypatch.setattr(module, "_default", NOBODY)
        token = module._acting.set(None)
        yield
        module._acting.reset(token)
        monkeypatch.undo()


@pytest.fixture
def amber(db) -> Organisation:
    return make_organisation("amber")


@pytest.mark.django_db
class TestActingFor:
    def test_tells_kind_and_key_and_goes_back(self, amber):
        assert told() == WORK
        with acting_for(amber):
            assert told() == ("dsrsp", str(amber.pk))
        assert told() == WORK

    def test_nests(self, amber):
        north = make_dno("north")
        with acting_for(amber):
            with acting_for(north):
                with as_nobody():
                    assert told() == NOBODY
                assert told() == who(north)
            with as_platform():
                assert told() == WORK
            assert told() == who(amber)

    def test_goes_back_after_an_exception(self, amber):
        with pytest.raises(ValueError, match="no"), acting_for(amber):
            raise ValueError("no")
        assert told() == WORK

    def test_goes_back_to_nobody_where_nothing_is_the_default(self, amber, nobody_by_default):
        assert told() == NOBODY
        with acting_for(amber):
            assert told() == who(amber)
        assert told() == NOBODY

    def test_asks_the_server_for_two_statements_only(self, amber, django_assert_num_queries):
        with django_assert_num_queries(2), acting_for(amber):
            pass


@pytest.mark.django_db
class TestInATransaction:
    """The test's own transaction stands around each; these stand in savepoints."""

    def test_a_rollback_within_a_block_leaves_the_block_standing(self, amber):
        with acting_for(amber):
            with contextlib.suppress(ValueError), transaction.atomic(), as_platform():
                assert told() == WORK
                raise ValueError
            assert told() == who(amber)

    def test_a_rollback_around_a_block_goes_back(self, amber):
        with acting_for(amber):
            with contextlib.suppress(ValueError), transaction.atomic():
                with as_platform():
                    pass
                raise ValueError
            assert told() == who(amber)

    def test_a_failed_statement_within_goes_back(self, amber):
        with acting_for(amber):
            with contextlib.suppress(Error), transaction.atomic(), as_platform():
                fail_a_statement()
            assert told() == who(amber)

    def test_a_failed_statement_in_a_savepoint_of_the_block_leaves_the_block_standing(self, amber):
        with acting_for(amber), as_platform():
            with contextlib.suppress(Error), transaction.atomic():
                fail_a_statement()
            assert told() == WORK
        assert told() == WORK

    def test_a_failure_swallowed_inside_does_not_go_on_under_the_blocks_name(self, amber):
        """The block cannot be left properly, so nothing may be asked until the transaction is rolled back."""
        with acting_for(amber):
            with transaction.atomic():
                with contextlib.suppress(Error), as_platform():
                    fail_a_statement()
                with pytest.raises(transaction.TransactionManagementError):
                    told()
            assert told() == who(amber)

    def test_a_rollback_asked_for_goes_back(self, amber):
        with acting_for(amber):
            with transaction.atomic(), as_platform():
                transaction.set_rollback(True)
            assert told() == who(amber)

    def test_a_released_savepoint_keeps_what_counts(self, amber):
        with acting_for(amber), transaction.atomic():
            with transaction.atomic(), as_platform():
                Organisation.objects.create(code="blue", name="Blue", kind="dsrsp")
            assert told() == who(amber)

    def test_a_block_is_not_begun_in_a_transaction_that_failed(self, amber):
        entered = []
        with acting_for(amber):
            with contextlib.suppress(Error), transaction.atomic():
                with contextlib.suppress(Error):
                    fail_a_statement()
                with as_platform():
                    entered.append(True)
            assert told() == who(amber)
        assert not entered


@pytest.mark.django_db(transaction=True)
class TestAcrossTransactions:
    @pytest.fixture(autouse=True)
    def nobody(self, nobody_by_default) -> None:
        """As in a web server, where a slip would show as rows for nobody."""

    def test_a_commit_within_a_block_keeps_it_and_its_end_goes_back(self, amber):
        with acting_for(amber):
            with transaction.atomic(), as_platform():
                assert told() == WORK
            assert told() == who(amber)
        assert told() == NOBODY

    def test_a_block_around_a_transaction_that_fails_goes_back(self, amber):
        with acting_for(amber):
            with contextlib.suppress(IntegrityError), as_platform(), transaction.atomic():
                Organisation.objects.create(code="amber", name="Again", kind="dsrsp")
            assert told() == who(amber)

    def test_a_transaction_that_fails_around_a_block_goes_back(self, amber):
        with acting_for(amber):
            with contextlib.suppress(IntegrityError), transaction.atomic():
                with as_platform():
                    assert told() == WORK
                Organisation.objects.create(code="amber", name="Again", kind="dsrsp")
            assert told() == who(amber)

    def test_a_commit_that_fails_goes_back(self, amber):
        """A deferred constraint speaks up at COMMIT, when the block is over."""
        missing = "INSERT INTO auth_user_groups (user_id, group_id) VALUES (-1, -1)"
        with acting_for(amber):
            with pytest.raises(IntegrityError), transaction.atomic(), as_platform(), connection.cursor() as cursor:
                cursor.execute(missing)
            assert told() == who(amber)

    def test_a_connection_closed_within_is_told_anew(self, amber):
        with acting_for(amber):
            with as_platform():
                connection.close()
                assert told() == WORK
            connection.close()
            assert told() == who(amber)
        connection.close()
        assert told() == NOBODY

    def test_no_connection_is_opened_only_to_tell_it(self, amber):
        connection.close()
        with acting_for(amber):
            assert connection.connection is None
        assert connection.connection is None

    def test_a_session_kept_for_the_next_request_is_nobodys(self, amber):
        with acting_for(amber):
            told()
        kept = connection.connection
        assert told() == NOBODY
        assert connection.connection is kept

    def test_a_connection_lost_within_is_told_anew(self, amber):
        with acting_for(amber):
            with as_platform():
                lose_connection()
                with pytest.raises(OperationalError):
                    fail_a_statement()
            assert told() == who(amber)

    def test_a_connection_lost_before_a_block_is_told_anew(self, amber):
        lose_connection()
        with acting_for(amber):
            assert told() == who(amber)

    def test_a_connection_lost_in_a_transaction_is_told_anew(self, amber):
        with acting_for(amber):
            with contextlib.suppress(OperationalError), transaction.atomic(), as_platform():
                lose_connection()
                assert told() is None, "the connection was not lost"
            connection.close_if_unusable_or_obsolete()  # as the end of a request does
            assert told() == who(amber)

    def test_a_server_that_is_away_is_no_hindrance_to_a_block(self, amber, monkeypatch):
        """A page that asks the database nothing is still answered, and one that asks says what is wrong."""
        lose_connection()
        monkeypatch.setitem(connection.settings_dict, "PORT", "1")
        with acting_for(amber), pytest.raises(OperationalError):
            told()
        monkeypatch.undo()
        assert told() == WORK  # the suite's default again: undo took back the fixture's


def lose_connection() -> None:
    """End the session from the server's side, as a restart does; a role may end its own sessions."""
    told()
    same_role = connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}
    with psycopg.connect(**same_role, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])


def in_a_thread(work: Callable[[], object]) -> object:
    """Do it in a thread with a connection of its own, and return what it returned."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.django_db(transaction=True)
class TestThreads:
    def test_a_thread_starts_with_the_processs_default(self, amber):
        with acting_for(amber):
            assert in_a_thread(told) == WORK

    def test_a_thread_of_a_web_server_starts_as_nobody(self, amber, nobody_by_default):
        with as_platform():
            assert in_a_thread(told) == NOBODY

    def test_threads_do_not_disturb_each_other(self, amber):
        blue = make_organisation("blue")
        both = threading.Barrier(2, timeout=30)

        def other() -> tuple[str, str]:
            with acting_for(blue):
                both.wait()
                found = told()
                both.wait()
                return found

        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(in_a_thread(other)))
        with acting_for(amber):
            thread.start()
            both.wait()
            assert told() == who(amber)
            both.wait()
            thread.join()
        assert found == [who(blue)]


@pytest.mark.django_db(transaction=True)
class TestWorkAsPlatform:
    def test_tells_an_open_connection_and_those_to_come(self, nobody_by_default, monkeypatch):
        assert told() == NOBODY
        work_as_platform()
        assert told() == WORK
        connection.close()
        assert told() == WORK
        assert in_a_thread(told) == WORK

    def test_does_not_reach_into_a_request(self, nobody_by_default):
        with as_nobody():
            work_as_platform()
            assert told() == NOBODY
        assert told() == WORK


class TestKnownAs:
    def test_is_the_system_where_nobody_said_more(self):
        assert actor() == "system"

    def test_names_who_acts_and_goes_back(self):
        with known_as("person:amber.operator"):
            with known_as("job:12 run_cycle"):
                assert actor() == "job:12 run_cycle"
            assert actor() == "person:amber.operator"
        assert actor() == "system"


@pytest.mark.django_db(transaction=True)
class TestJobs:
    """A web server does jobs beside the site: each is the platform's work, and known by its number."""

    @pytest.fixture(autouse=True)
    def seen(self, nobody_by_default, settings) -> Iterator[dict[str, object]]:
        settings.JOB_HANDLERS = settings.JOB_HANDLERS | {"look": "tests.aggregator.test_acting.look"}
        SEEN.clear()
        yield SEEN
        SEEN.clear()

    @pytest.mark.parametrize("do", [tasks.run_job, tasks.sweep], ids=["message", "sweep"])
    def test_are_done_as_the_platforms_work(self, seen, do):
        job = jobs.enqueue(kind="look", payload={"wait_s": 0}, now=timezone.now())
        do(job_id=job.pk)
        assert (seen["told"], seen["actor"]) == (WORK, f"job:{job.pk} look")
        with as_platform():
            assert Job.objects.get(pk=job.pk).state == "done"
        assert told() == NOBODY

    def test_are_held_by_a_thread_that_may_write_them(self, seen):
        """The lease is extended from a thread of its own while the handler works."""
        jobs.enqueue(kind="look", payload={"wait_s": 1}, now=timezone.now())
        jobs.run_due(clock=timezone.now, worker="one", lease_s=0.6)
        assert seen["held_at_last"] > seen["held_at_first"]


SEEN: dict[str, object] = {}


def look(*, wait_s: float, now: object) -> dict[str, object]:
    """A job's handler that notes who it is, and until when its job is held before and after it works."""
    SEEN.update(told=told(), actor=actor(), held_at_first=_held_until())
    threading.Event().wait(wait_s)
    SEEN["held_at_last"] = _held_until()
    return {}


def _held_until() -> object:
    return Job.objects.get(kind="look").leased_until
