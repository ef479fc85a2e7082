"""Parts of a solve in and out of rows: npz bytes, nothing pickled."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from dispatch.core.parts import NoSuchAnswer, PartAnswer, PartAsk
from dispatch.core.portable import (
    NamedArrays,
    from_bytes,
    plan_from_arrays,
    plan_to_arrays,
    problem_from_arrays,
    problem_to_arrays,
    to_bytes,
)
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.models import PartRound, SolvePart

# What a coordinator left that was killed: no solve takes as long.
LEFT_AFTER = timedelta(days=1)


class AskedPart(NamedTuple):
    """Everything a worker needs for an answer."""

    problem: DispatchProblem
    ask: PartAsk
    start: DispatchPlan | None


def store_parts(*, solve: UUID, problems: Sequence[DispatchProblem], now: datetime) -> list[int]:
    """Write a solve's parts, and clear away those of solves long dead; returns their keys."""
    SolvePart.objects.filter(created_at__lt=now - LEFT_AFTER).delete()
    rows = [
        SolvePart(solve=solve, number=number, problem=to_bytes(problem_to_arrays(problem)), created_at=now)
        for number, problem in enumerate(problems)
    ]
    return [part.pk for part in SolvePart.objects.bulk_create(rows, batch_size=1)]


def remove_parts(*, solve: UUID) -> None:
    SolvePart.objects.filter(solve=solve).delete()


def store_asks(*, part_pks: Sequence[int], asks: Sequence[PartAsk]) -> dict[int, PartAsk]:
    """Write questions; returns them by the key of their round."""
    rows = [PartRound(part_id=part_pks[ask.part], number=ask.round, ask=to_bytes(_to_arrays(ask))) for ask in asks]
    return {row.pk: ask for row, ask in zip(PartRound.objects.bulk_create(rows), asks, strict=True)}


def load_asked(*, round_pk: int) -> AskedPart | None:
    """What a round asks; None where it is answered, or its solve is over."""
    row = PartRound.objects.filter(pk=round_pk, answered_at=None).select_related("part").defer("answer", "plan").first()
    if row is None:
        return None
    ask = PartAsk(**_from_arrays(bytes(row.ask)))
    problem = problem_from_arrays(from_bytes(bytes(row.part.problem)))
    start = load_plan(part_pk=row.part_id, round_=ask.start_round) if ask.start_round >= 0 else None
    return AskedPart(problem, ask, start)


def store_answer(*, round_pk: int, answer: PartAnswer, plan: DispatchPlan, worker: str, now: datetime) -> bool:
    """Write an answer unless there is one already, or nobody waits for it any more; whether it was written."""
    written = PartRound.objects.filter(pk=round_pk, answered_at=None).update(
        answer=to_bytes(_to_arrays(answer)),
        plan=to_bytes(plan_to_arrays(plan)),
        answered_by=worker,
        answered_at=now,
    )
    return written > 0


def load_answers(*, round_pks: Sequence[int]) -> dict[int, PartAnswer]:
    """Those of these rounds that are answered, by key."""
    rows = PartRound.objects.filter(pk__in=round_pks).values_list("pk", "answer")
    return {pk: PartAnswer(**_from_arrays(bytes(answer))) for pk, answer in rows if answer is not None}


def load_plan(*, part_pk: int, round_: int) -> DispatchPlan:
    """The plan behind a part's answer in a round.

    Raises:
        NoSuchAnswer: there was none.
    """
    plan = PartRound.objects.filter(part_id=part_pk, number=round_).values_list("plan", flat=True).first()
    if plan is None:
        raise NoSuchAnswer(f"part {part_pk} has no plan of round {round_}", part=part_pk, round=round_)
    return plan_from_arrays(from_bytes(bytes(plan)))


def _to_arrays(one: PartAsk | PartAnswer) -> NamedArrays:
    return {field.name: np.asarray(getattr(one, field.name)) for field in fields(one)}


def _from_arrays(archive: bytes) -> dict[str, Any]:
    """Fields by name; numbers and words as such."""
    return {name: array if array.ndim else array.item() for name, array in from_bytes(archive).items()}
