"""What a coordinator asks of a part and what it hears; how a part answers, and parts that are answered right here.

Source: docs/methods/dispatch.md
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray
from dispatch.core.problem import DispatchPlan, DispatchProblem
from dispatch.core.solve import solve
from dispatch.core.split import charged


class NoSuchAnswer(FlexError):
    code = "dispatch.no_such_answer"


@dataclass(frozen=True, slots=True, eq=False)
class PartAsk:
    """One question to one part.

    Attributes:
        charge_gbp_per_kw: (n_period,) added to what its power costs in each period, for what is above the cut.
        ceiling_kw: (n_period,) on its power at the cut; +inf for none.
        gap: asked of its solve, as ``solve`` takes it.
        start_round: an earlier round whose plan it starts from, -1 for none.
    """

    part: int
    round: int
    charge_gbp_per_kw: FloatArray
    ceiling_kw: FloatArray
    method: str
    gap: float
    time_limit_s: float
    start_round: int


@dataclass(frozen=True, slots=True, eq=False)
class PartAnswer:
    """What a coordinator hears: a plan of the part as seen from above, and what no plan under these charges undercuts.

    Attributes:
        profile_kw: (n_period,) power at the cut.
        cost_gbp: of the part alone, without the charges.
        lower_bound_gbp: charges included.
        ceiling_price_gbp_per_kwh: (n_period,) what one more kW of the ceiling is worth; 0 where the part's own limit is
            the tighter one.
        method: that made the plan.
    """

    part: int
    round: int
    profile_kw: FloatArray
    cost_gbp: float
    lower_bound_gbp: float
    ceiling_price_gbp_per_kwh: FloatArray
    method: str


class PartRunner(Protocol):
    """Whoever solves the parts: this process, or workers elsewhere. It keeps every plan it made until it is closed.

    Attributes:
        n_at_once: parts it can be expected to solve at the same time.
    """

    n_at_once: int

    def answers(self, asks: Sequence[PartAsk], *, within_s: float) -> Iterator[PartAnswer]:
        """Answers as they come, each ask's once; those that take longer than ``within_s`` are left out."""
        ...

    def plan(self, part: int, round_: int) -> DispatchPlan:
        """The plan behind an answer.

        Raises:
            NoSuchAnswer: there was none.
        """
        ...


def answer_part(problem: DispatchProblem, ask: PartAsk, start: DispatchPlan | None) -> tuple[DispatchPlan, PartAnswer]:
    """Solve a part under the charges and the ceiling asked."""
    asked = charged(problem, ask.charge_gbp_per_kw, ask.ceiling_kw)
    plan = solve(asked, method=ask.method, gap=ask.gap, time_limit_s=ask.time_limit_s, start=start)
    profile_kw = plan.node_power_kw[0]
    is_held = ask.ceiling_kw < np.maximum(problem.node_limit_kw[0], 0.0)
    return plan, PartAnswer(
        part=ask.part,
        round=ask.round,
        profile_kw=profile_kw,
        cost_gbp=plan.cost_gbp - float(ask.charge_gbp_per_kw @ profile_kw),
        lower_bound_gbp=plan.lower_bound_gbp,
        ceiling_price_gbp_per_kwh=np.where(is_held, plan.node_price_gbp_per_kwh[0], 0.0),
        method=plan.method,
    )


class PartsHere:
    """Parts solved one after another in this process; their plans stay in memory."""

    n_at_once = 1

    def __init__(self, problems: Sequence[DispatchProblem]) -> None:
        self._problems = problems
        self._plans: dict[tuple[int, int], DispatchPlan] = {}

    def answers(self, asks: Sequence[PartAsk], *, within_s: float) -> Iterator[PartAnswer]:
        started = perf_counter()
        for ask in asks:
            if perf_counter() - started > within_s:
                return
            start = self._plans.get((ask.part, ask.start_round))
            plan, answer = answer_part(self._problems[ask.part], ask, start)
            self._plans[ask.part, ask.round] = plan
            yield answer

    def plan(self, part: int, round_: int) -> DispatchPlan:
        if (part, round_) not in self._plans:
            raise NoSuchAnswer(f"part {part} has no plan of round {round_}", part=part, round=round_)
        return self._plans[part, round_]


@contextmanager
def parts_here(problems: Sequence[DispatchProblem]) -> Iterator[PartRunner]:
    """Solve parts in this process."""
    yield PartsHere(problems)
