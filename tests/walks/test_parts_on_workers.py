"""One problem solved in parts by two Celery workers, one of them killed while it has a question in hand.

What holds the workers there is a lock on the rows of a round, which they have solved and cannot answer.
"""

import logging
import math
import threading
import time

import psycopg
import pytest
from django.utils import timezone

from dispatch.core.combine import solve_in_parts
from dispatch.core.solve import solve
from dispatch.models import PartRound, SolvePart
from dispatch.services import part_work
from dispatch.services.part_work import parts_on_workers
from tests.benchmarks.fleets import Shape, national_fleet
from tests.dispatch.core.assertions import assert_safe_and_accounted
from tests.walks.test_worker import (  # noqa: F401 - fixtures
    WITHIN_S,
    Worker,
    broker,
    eventually,
    start,
    start_celery,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.broker]

EXACT = {"method": "sparse", "gap": 1e-4, "time_limit_s": math.inf}
OPEN_ROWS = "SELECT id FROM dispatch_partround WHERE answered_at IS NULL AND number >= 1 ORDER BY id FOR UPDATE"
# What a session waits for, pg_stat_activity tells its own role only; pg_locks tells everybody.
WAITING = """SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE NOT granted AND datname = current_database()"""
HOLDERS = "SELECT count(DISTINCT leased_by) FROM aggregator_job WHERE kind = 'solve_part' AND state = 'leased'"


@pytest.fixture
def fleet(monkeypatch):
    """Four primaries of 200 EVSEs under one grid point, whose limit they share."""
    monkeypatch.setattr("tests.benchmarks.fleets.FEEDERS_PER_SUBSTATION", 2)
    monkeypatch.setattr("tests.benchmarks.fleets.SUBSTATIONS_PER_PRIMARY", 2)
    return national_fleet(Shape(800, n_period=24))


@pytest.fixture
def answered_by(monkeypatch) -> set[str]:
    """Who answered questions, kept from the rows before they go."""
    names: set[str] = set()
    remove = part_work.remove_parts

    def keep_and_remove(*, solve):
        names.update(PartRound.objects.values_list("answered_by", flat=True))
        remove(solve=solve)

    monkeypatch.setattr(part_work, "remove_parts", keep_and_remove)
    monkeypatch.setattr(part_work, "UNTAKEN_S", math.inf)  # the workers do it, or nobody
    return names


class Killer(threading.Thread):
    """Hold a round's rows until both workers wait to answer, kill one, let go."""

    def __init__(self, login, victim) -> None:
        super().__init__(daemon=True)
        self.login, self.victim, self.has_killed = login, victim, False

    def run(self) -> None:
        deadline = time.monotonic() + WITHIN_S
        with psycopg.connect(**self.login) as session, psycopg.connect(**self.login, autocommit=True) as onlooker:
            while len(session.execute(OPEN_ROWS).fetchall()) < 4 and time.monotonic() < deadline:
                session.rollback()
                threading.Event().wait(0.001)
            while time.monotonic() < deadline:
                (n_waiting,), (n_holder,) = (onlooker.execute(one).fetchone() for one in (WAITING, HOLDERS))
                if n_waiting >= 2 and n_holder >= 2:
                    self.victim.end()
                    self.has_killed = True
                    return
                threading.Event().wait(0.01)


def ready(*workers: Worker) -> None:
    for worker in workers:
        eventually(lambda worker=worker: worker.says(" ready."), "a worker that is ready")


class TestTwoWorkers:
    def test_find_what_one_process_finds(self, start_celery, fleet, answered_by):  # noqa: F811
        ready(start_celery("one"), start_celery("two"))
        plan = solve_in_parts(fleet, level=1, runners=parts_on_workers(clock=timezone.now, n_worker=2), **EXACT)
        whole = solve(fleet, **EXACT)
        assert len(answered_by - {""}) == 2, "one worker did it all"
        assert plan.rung == "certified"
        assert plan.iterations > 5
        assert abs(plan.cost_gbp - whole.cost_gbp) <= 1e-4 * abs(whole.cost_gbp)
        assert_safe_and_accounted(fleet, plan)
        assert SolvePart.objects.count() == 0

    def test_find_it_although_one_is_killed_in_the_middle(
        self,
        start_celery,  # noqa: F811
        fleet,
        answered_by,
        owner_login,
        monkeypatch,
        caplog,
    ):
        monkeypatch.setattr(part_work, "LATE_S", 2.0)
        doomed, other = start_celery("one"), start_celery("two")
        ready(doomed, other)
        killer = Killer(owner_login, doomed)
        killer.start()
        with caplog.at_level(logging.WARNING, logger=part_work.logger.name):
            plan = solve_in_parts(fleet, level=1, runners=parts_on_workers(clock=timezone.now, n_worker=2), **EXACT)
        killer.join(timeout=WITHIN_S)
        assert killer.has_killed, f"{doomed.log.read_text()}\n{other.log.read_text()}"
        assert "late and given out again" in caplog.text
        whole = solve(fleet, **EXACT)
        assert plan.rung == "certified"
        assert abs(plan.cost_gbp - whole.cost_gbp) <= 1e-4 * abs(whole.cost_gbp)
        assert_safe_and_accounted(fleet, plan)
