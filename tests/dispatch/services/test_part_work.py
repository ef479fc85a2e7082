"""Parts answered through rows: here where no worker comes, once where two answer, again where one is late."""

import math
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from django.utils import timezone

from aggregator.models import Job
from aggregator.services import jobs
from dispatch.arrays.parts import load_answers, load_asked, load_plan, store_answer, store_asks, store_parts
from dispatch.core.combine import solve_in_parts
from dispatch.core.parts import NoSuchAnswer, PartAsk, answer_part
from dispatch.core.solve import MethodNotAvailable, solve
from dispatch.models import PartRound, SolvePart
from dispatch.services import part_work
from dispatch.services.part_work import parts_on_workers, solve_part_job
from tests.dispatch.core.assertions import assert_safe_and_accounted
from tests.dispatch.core.problems import Ev, make_problem

EXACT = {"method": "sparse", "gap": 1e-4, "time_limit_s": math.inf}


def problem():
    """One shared cap that proportional shares would waste: the second EV's energy is dearer."""
    limits = {"parents": (-1, 0, 0), "limit_kw": np.array([[7.0], [np.inf], [np.inf]]), "prices": (0.1,)}
    return make_problem(Ev(7.0, node=1), Ev(7.0, node=2, unserved=4.0), **limits)


def ask(number=0, part=0, start=-1):
    return PartAsk(part, number, np.array([0.05]), np.array([np.inf]), "sparse", 1e-5, math.inf, start)


@pytest.fixture
def impatient(monkeypatch):
    """Do not wait for workers that are not there."""
    monkeypatch.setattr(part_work, "UNTAKEN_S", 0.0)


@pytest.mark.django_db
class TestRows:
    def test_give_a_part_its_question_and_an_earlier_plan_back(self):
        (pk,) = store_parts(solve=uuid4(), problems=[problem()], now=timezone.now())
        (first,) = store_asks(part_pks=[pk], asks=[ask()])
        asked = load_asked(round_pk=first)
        assert asked.start is None
        assert asked.ask.charge_gbp_per_kw.tolist() == [0.05]
        assert (asked.ask.method, asked.ask.time_limit_s, asked.ask.start_round) == ("sparse", math.inf, -1)
        plan, answer = answer_part(asked.problem, asked.ask, None)
        assert store_answer(round_pk=first, answer=answer, plan=plan, worker="w", now=timezone.now())
        (second,) = store_asks(part_pks=[pk], asks=[ask(1, start=0)])
        np.testing.assert_array_equal(load_asked(round_pk=second).start.power_kw, plan.power_kw)
        found = load_answers(round_pks=[first, second])
        assert list(found) == [first]
        assert found[first].cost_gbp == answer.cost_gbp
        np.testing.assert_array_equal(found[first].profile_kw, answer.profile_kw)

    def test_keep_the_first_answer(self):
        (pk,) = store_parts(solve=uuid4(), problems=[problem()], now=timezone.now())
        (round_pk,) = store_asks(part_pks=[pk], asks=[ask()])
        now = timezone.now()
        assert solve_part_job(solve="x", round_id=round_pk, now=now)["is_first"]
        before = PartRound.objects.values().get(pk=round_pk)
        plan, answer = answer_part(problem(), ask(), None)
        assert not store_answer(round_pk=round_pk, answer=answer, plan=plan, worker="late", now=now)
        assert not solve_part_job(solve="x", round_id=round_pk, now=now)["is_first"]
        assert PartRound.objects.values().get(pk=round_pk) == before

    def test_know_of_no_plan_that_was_not_made(self):
        (pk,) = store_parts(solve=uuid4(), problems=[problem()], now=timezone.now())
        with pytest.raises(NoSuchAnswer):
            load_plan(part_pk=pk, round_=3)

    def test_of_a_dead_coordinator_go_with_the_next_solve(self):
        now = timezone.now()
        store_parts(solve=uuid4(), problems=[problem()], now=now - timedelta(hours=25))
        store_parts(solve=uuid4(), problems=[problem()], now=now)
        assert SolvePart.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestPartsOnWorkers:
    def test_costs_what_one_process_finds_and_leaves_no_rows(self, settings):
        settings.CELERY_BROKER_URL = ""  # a job asked for is done by who asks
        plan = solve_in_parts(problem(), runners=parts_on_workers(clock=timezone.now, n_worker=2), **EXACT)
        assert plan.rung == "certified"
        assert plan.cost_gbp == pytest.approx(solve(problem(), **EXACT).cost_gbp, rel=1e-4)
        assert_safe_and_accounted(problem(), plan)
        assert (SolvePart.objects.count(), PartRound.objects.count(), Job.objects.count()) == (0, 0, 0)

    def test_answers_itself_what_no_worker_takes(self, monkeypatch, impatient):
        monkeypatch.setattr(part_work, "wake", lambda **_job: None)
        plan = solve_in_parts(problem(), runners=parts_on_workers(clock=timezone.now, n_worker=2), **EXACT)
        assert plan.rung == "certified"

    def test_gives_a_late_question_out_again(self, monkeypatch):
        """The first job given out is taken by one who never answers, as a killed worker does."""
        monkeypatch.setattr(part_work, "LATE_S", 0.1)
        woken = []

        def wake(*, job_id, clock):
            woken.append(job_id)
            if len(woken) == 1:
                assert jobs.lease(now=clock(), worker="killed", lease_s=3600, job_id=job_id)
            else:
                jobs.run(job_id=job_id, clock=clock, worker="alive")

        monkeypatch.setattr(part_work, "wake", wake)
        monkeypatch.setattr(part_work, "UNTAKEN_S", math.inf)
        plan = solve_in_parts(problem(), runners=parts_on_workers(clock=timezone.now, n_worker=2), **EXACT)
        assert plan.rung == "certified"
        assert plan.cost_gbp == pytest.approx(solve(problem(), **EXACT).cost_gbp, rel=1e-4)

    def test_says_what_is_wrong_with_a_part_that_no_worker_can_answer(self, monkeypatch, impatient):
        monkeypatch.setattr(part_work, "wake", lambda **_job: None)
        with pytest.raises(MethodNotAvailable):
            solve_in_parts(
                problem(), runners=parts_on_workers(clock=timezone.now, n_worker=2), **(EXACT | {"method": "wishes"})
            )
        assert SolvePart.objects.count() == 0
