"""Parts of one problem solved by whichever workers there are: rows are the questions, jobs only wake.

A question whose job nobody takes is answered here; one whose worker does not answer in time is given out again, and
whichever answer comes first counts. So a worker that is killed costs time and nothing else, and so does having none.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from time import monotonic
from uuid import UUID, uuid4

from aggregator.models import Job, as_platform
from aggregator.services import jobs
from aggregator.services.wake import wake
from dispatch.arrays.parts import (
    load_answers,
    load_asked,
    load_plan,
    remove_parts,
    store_answer,
    store_asks,
    store_parts,
)
from dispatch.core.combine import Runners
from dispatch.core.parts import PartAnswer, PartAsk, PartRunner, answer_part
from dispatch.core.problem import DispatchPlan, DispatchProblem

logger = logging.getLogger(__name__)

SOLVE_PART = "solve_part"
LOOK_S = 0.02  # between two looks for answers
UNTAKEN_S = 1.0  # without any answer, until what nobody took is done here
LATE_S = 5.0  # without any answer, until what somebody took is given out again; and never under
LATE_FACTOR = 3.0  # times the longest that an answer took


def parts_on_workers(*, clock: jobs.Clock, n_worker: int) -> Runners:
    """Have parts solved by Celery's workers, of which there are about ``n_worker``."""
    return partial(_open, clock=clock, n_worker=n_worker)


@contextmanager
def _open(problems: Sequence[DispatchProblem], *, clock: jobs.Clock, n_worker: int) -> Iterator[PartRunner]:
    solve = uuid4()
    with as_platform():
        try:
            yield PartsOnWorkers(solve, store_parts(solve=solve, problems=problems, now=clock()), clock, n_worker)
        finally:
            remove_parts(solve=solve)
            Job.objects.filter(kind=SOLVE_PART, payload__solve=str(solve)).delete()


def solve_part_job(*, solve: str, round_id: int, now: datetime) -> jobs.JsonObject:
    """Answer one question to one part; the handler of ``solve_part`` jobs, safe to run twice and at once."""
    asked = load_asked(round_pk=round_id)
    if asked is None:
        return {"solve": solve, "is_first": False}
    plan, answer = answer_part(asked.problem, asked.ask, asked.start)
    is_first = store_answer(round_pk=round_id, answer=answer, plan=plan, worker=jobs.worker_name(), now=now)
    return {"solve": solve, "is_first": is_first}


class PartsOnWorkers:
    """A solve's parts as rows, answered by workers; plans stay in the rows."""

    def __init__(self, solve: UUID, part_pks: Sequence[int], clock: jobs.Clock, n_worker: int) -> None:
        self.n_at_once = n_worker
        self._solve, self._part_pks, self._clock = str(solve), part_pks, clock
        self._longest_s = 0.0

    def answers(self, asks: Sequence[PartAsk], *, within_s: float) -> Iterator[PartAnswer]:
        started = quiet_since = monotonic()
        left = set(store_asks(part_pks=self._part_pks, asks=asks))
        self._give_out(left)
        n_given_out = 1
        while left and monotonic() - started < within_s:
            found = load_answers(round_pks=sorted(left))
            quiet_s = monotonic() - quiet_since
            if found:
                left -= set(found)
                self._longest_s, quiet_since = max(self._longest_s, quiet_s), monotonic()
                yield from found.values()
            elif quiet_s > UNTAKEN_S and self._answer_here(left):
                quiet_since = monotonic()
            elif quiet_s > n_given_out * max(LATE_S, LATE_FACTOR * self._longest_s):
                logger.warning("%d parts of solve %s are late and given out again", len(left), self._solve)
                self._give_out(left)
                n_given_out, quiet_since = n_given_out + 1, monotonic()
            else:
                threading.Event().wait(LOOK_S)

    def plan(self, part: int, round_: int) -> DispatchPlan:
        return load_plan(part_pk=self._part_pks[part], round_=round_)

    def _give_out(self, round_pks: Iterable[int]) -> None:
        for round_pk in sorted(round_pks):
            payload = {"solve": self._solve, "round_id": round_pk}
            job = jobs.enqueue(kind=SOLVE_PART, payload=payload, now=self._clock())
            wake(job_id=job.pk, clock=self._clock)

    def _answer_here(self, round_pks: set[int]) -> bool:
        """Answer one of these questions that no worker is at; whether there was one. Its errors are the caller's."""
        held = Job.objects.filter(kind=SOLVE_PART, state=Job.State.LEASED, leased_until__gt=self._clock())
        taken = held.filter(payload__solve=self._solve).values_list("payload__round_id", flat=True)
        untaken = sorted(round_pks - set(taken))
        if untaken:
            solve_part_job(solve=self._solve, round_id=untaken[-1], now=self._clock())
        return bool(untaken)
