"""Rounds of prices: a coordinator asks parts at charges, mixes their answers, and asks again until the gap is proven.

Round 0 asks each part for a plan under its share of every cap and turn-down above the cut, so that all of them together
are a plan of the whole from the first round on; what the shares are worth to the parts makes the first prices. From
then on parts are charged for what they load above the cut and not limited. The sum of their bounds at one set of
prices, with what the rows above are worth at these, is the Lagrangian value of the whole problem: the certificate of
``bound``, part by part.

Source: docs/methods/dispatch.md
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray, IntArray
from dispatch.core.bound import Prices, legal_prices, lower_bound_gbp, node_charge
from dispatch.core.master import Column, Master
from dispatch.core.parts import PartAnswer, PartAsk, PartRunner
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.reference import SolverFailed
from dispatch.core.split import Split

logger = logging.getLogger(__name__)

MOST_ROUNDS = 200
# Of the gap asked: where rounds end, so that repair and storage find room; what a part is asked for in the end.
_ENOUGH, _PART_GAP = 0.8, 0.25
# Of the gap found: what a part is asked for while the prices are far off, where exact answers are wasted; what all
# parts' own gaps may take before they are asked for less.
_ROUGH, _LOOSE = 0.05, 0.15
_LEAST_PART_GAP = 1e-8
# How far from the best prices known the next are looked for, GBP per kWh, to begin with: from guesses, from near ones.
_FIRST_REACH, _NEAR_REACH = 0.03, 0.004
# Of the gap found: what the next prices promise at the least.
_LEAST_PROMISE = 0.2
_TIME_OF_ROUND_0 = 0.5


class PartsUnanswered(FlexError):
    """Some part gave no plan in time, so that there is none of the whole."""

    code = "dispatch.parts_unanswered"


@dataclass(frozen=True, slots=True, eq=False)
class Coordination:
    """What the rounds came to.

    Attributes:
        columns: all plans shown; ``weight`` (n_column,) mixes them.
        lower_bound_gbp: of the whole problem, -inf where no round at prices was answered by every part.
        prices: of the rows above the cut, at that bound.
        answered: by part, the round of its answer at these prices; empty where there is no bound.
        n_round: asked, round 0 included.
    """

    columns: tuple[Column, ...]
    weight: FloatArray
    lower_bound_gbp: float
    prices: Prices
    answered: tuple[int, ...]
    methods: frozenset[str]
    n_round: int


@dataclass(slots=True)
class _Rounds:
    """The state of one coordination."""

    split: Split
    runner: PartRunner
    method: str
    left_s: Callable[[], float]
    gap: float
    part_gap: float
    finest_gap: float
    loose_gbp: float = 0.0
    n_round: int = 0
    columns: list[Column] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    newest: dict[int, tuple[PartAsk, PartAnswer]] = field(default_factory=dict)

    def ask(self, charge: FloatArray, ceiling_kw: FloatArray, *, time_share: float = 1.0) -> list[PartAnswer]:
        """One round: (n_part, n_period) charges and ceilings; answers by part.

        Raises:
            PartsUnanswered: not all of them came in time.
        """
        number, n_part = self.n_round, len(self.split.parts)
        within_s = time_share * self.left_s()
        each_s = within_s * min(1.0, self.runner.n_at_once / max(1, n_part))
        asks = [
            PartAsk(
                part=part,
                round=number,
                charge_gbp_per_kw=charge[part],
                ceiling_kw=ceiling_kw[part],
                method=self.method,
                gap=self.part_gap,
                time_limit_s=max(each_s, 1e-3),
                start_round=self.newest[part][1].round if part in self.newest else -1,
            )
            for part in range(n_part)
        ]
        self.n_round += 1
        known = {ask.part: self.newest[ask.part][1] for ask in asks if self._is_answered(ask)}
        open_asks = {ask.part: ask for ask in asks if ask.part not in known}
        for answer in self.runner.answers(list(open_asks.values()), within_s=within_s):
            self._take(open_asks[answer.part], answer)
            known[answer.part] = answer
        if len(known) < n_part:
            late = sorted(set(range(n_part)) - set(known))
            raise PartsUnanswered(f"{len(late)} of {n_part} parts gave no answer in round {number}", first=late[0])
        return [known[part] for part in range(n_part)]

    def _is_answered(self, ask: PartAsk) -> bool:
        """Whether the part was asked this very question last: nothing binds above it."""
        if ask.part not in self.newest:
            return False
        before, _ = self.newest[ask.part]
        same = [(before.charge_gbp_per_kw, ask.charge_gbp_per_kw), (before.ceiling_kw, ask.ceiling_kw)]
        return before.gap <= ask.gap and all(np.array_equal(*pair) for pair in same)

    def _take(self, ask: PartAsk, answer: PartAnswer) -> None:
        self.newest[answer.part] = ask, answer
        self.columns.append(Column(answer.part, answer.round, answer.profile_kw, answer.cost_gbp))
        self.methods.add(answer.method)

    def sharpen(self, missing_gbp: float, total_gbp: float) -> None:
        """Set the gap parts are asked for: rough while ``missing_gbp`` is much, finer where they make much of it."""
        scale_gbp = max(1.0, abs(total_gbp))
        if self.loose_gbp > _LOOSE * missing_gbp and self.part_gap <= self.finest_gap:
            self.finest_gap = max(_LEAST_PART_GAP, self.finest_gap / 4)
        self.part_gap = max(self.finest_gap, _ROUGH * missing_gbp / scale_gbp)


@dataclass(slots=True)
class _Search:
    """The best prices known, and how far from them the next are looked for.

    Attributes:
        centre: (n_row,) the best prices.
        answered: by part, the round of its answer at these prices; empty before the first.
        promised_gbp: the bound the master held possible at the prices asked last.
    """

    centre: FloatArray
    reach: float
    bound_gbp: float = -np.inf
    answered: tuple[int, ...] = ()
    promised_gbp: float = np.inf

    def hear(self, price: FloatArray, bound_gbp: float, answers: list[PartAnswer]) -> None:
        """Take better prices; reach further where the master's promise held, and less far where it was a dream."""
        if np.isfinite(self.promised_gbp):
            kept = (bound_gbp - self.bound_gbp) / max(self.promised_gbp - self.bound_gbp, 1e-12)
            self.reach *= 3.0 if kept > 0.5 else 1.0 if kept > 0.1 else 0.5 if kept > -1.0 else 0.15
        if bound_gbp > self.bound_gbp:
            self.centre, self.bound_gbp = price, bound_gbp
            self.answered = tuple(answer.round for answer in answers)

    def next(self, master: Master, columns: list[Column], missing_gbp: float) -> FloatArray:
        """The next prices: as near as promises a part of what is missing; less drowns in the parts' own gaps."""
        price, self.promised_gbp = master.prices_near(columns, self.centre, self.reach)
        while self.promised_gbp - self.bound_gbp < _LEAST_PROMISE * missing_gbp and self.reach < _FIRST_REACH:
            self.reach *= 2.0
            price, self.promised_gbp = master.prices_near(columns, self.centre, self.reach)
        return price


def coordinate(
    split: Split,
    runner: PartRunner,
    *,
    method: str,
    gap: float,
    left_s: Callable[[], float],
    prices: Prices | None = None,
) -> Coordination:
    """Exchange prices until the mixed plan is proven within the gap, or time is up.

    Args:
        prices: of ``split.upper``, to begin with, where some are known that are likely near; else what the parts
            would have paid for more than their shares.
        left_s: seconds the rounds may still take.

    Raises:
        PartsUnanswered: not even round 0 was answered by every part.
    """
    rounds = _Rounds(split, runner, method, left_s, gap, part_gap=_PART_GAP * gap, finest_gap=_PART_GAP * gap)
    master = Master.of(split)
    held_kw, asked_by = _held(split)
    share_kw, tightest = shares(split, held_kw)
    first = rounds.ask(np.zeros_like(share_kw), share_kw, time_share=_TIME_OF_ROUND_0)
    guess = _by_row(split, _first_prices(split, first, tightest), asked_by)
    to_try = [master.row_prices(guess), *([] if prices is None else [master.row_prices(prices)])]
    price = to_try.pop()
    search = _Search(price, reach=_FIRST_REACH if prices is None else _NEAR_REACH)
    try:
        while rounds.n_round <= MOST_ROUNDS and left_s() > 0:
            n_known = len(rounds.columns)
            search.hear(price, *_at_prices(rounds, master.prices(price)))
            missing_gbp = master.mix(rounds.columns).cost_gbp - search.bound_gbp
            if missing_gbp <= _ENOUGH * gap * max(1.0, abs(search.bound_gbp)):
                break
            rounds.sharpen(missing_gbp, search.bound_gbp)
            before, price = price, to_try.pop() if to_try else search.next(master, rounds.columns, missing_gbp)
            if len(rounds.columns) == n_known and np.array_equal(before, price):
                break  # the same question again: what is left of the gap is the parts' own
    except (PartsUnanswered, SolverFailed) as failure:
        logger.warning("the rounds of a split problem end early: %s", failure)
    return Coordination(
        columns=tuple(rounds.columns),
        weight=_weights(master, rounds.columns),
        lower_bound_gbp=search.bound_gbp,
        prices=master.prices(search.centre),
        answered=search.answered,
        methods=frozenset(rounds.methods),
        n_round=rounds.n_round,
    )


def _held(split: Split) -> tuple[FloatArray, IntArray]:
    """(n_upper, n_period) what nodes are first held to, caps or targets of turn-downs; the request, -1 for a cap."""
    held_kw, asked_by = split.network.cap_kw.copy(), np.full(split.network.cap_kw.shape, -1)
    for index, request in enumerate(split.upper.requests):
        if request.direction == TURN_DOWN and request.shortfall_gbp_per_kwh > 0:
            cell = request.node, slice(request.start, request.end)
            asked_by[cell] = np.where(request.target_kw < held_kw[cell], index, asked_by[cell])
            held_kw[cell] = np.minimum(held_kw[cell], request.target_kw)
    return held_kw, asked_by


def shares(split: Split, held_kw: FloatArray) -> tuple[FloatArray, IntArray]:
    """(n_part, n_period) each part's share of what the nodes above it are held to, by the ratings connected.

    All shares drawn at once hold every node to its (n_upper, n_period) ``held_kw``.

    Returns:
        The shares, +inf where nothing above a part can bind; the node of the tightest, -1 there.
    """
    n_period = split.upper.n_period
    rated_kw = np.array([_connected_kw(part.problem) for part in split.parts]).reshape(-1, n_period)
    share_kw, tightest = np.full_like(rated_kw, np.inf), np.full(rated_kw.shape, -1)
    for v in range(split.upper.n_node):
        all_kw = split.network.rated_kw[v]
        binds = held_kw[v] < all_kw
        part = np.divide(held_kw[v], all_kw, out=np.zeros(n_period), where=binds)
        mine_kw = np.where(binds, part * rated_kw, np.inf)
        tighter = np.array([one.loads[v] for one in split.parts])[:, np.newaxis] & (mine_kw < share_kw)
        share_kw, tightest = np.where(tighter, mine_kw, share_kw), np.where(tighter, v, tightest)
    return share_kw, tightest


def _by_row(split: Split, price: FloatArray, asked_by: IntArray) -> Prices:
    """(n_upper, n_period) prices in GBP per kWh, given to the caps or the turn-downs that held the nodes.

    A target is missed rather than met at more than its shortfall costs.
    """
    prices, step_h = Prices.zero(split.upper), split.upper.step_h
    for index, request in enumerate(split.upper.requests):
        here = asked_by[request.node] == index
        prices.request[index, here] = step_h * np.minimum(price[request.node, here], request.shortfall_gbp_per_kwh)
    prices.cap[:] = np.where(asked_by < 0, step_h * price, 0.0)
    return prices


def _connected_kw(problem: DispatchProblem) -> FloatArray:
    """(n_period,) ratings of the sessions plugged in."""
    change = np.zeros(problem.n_period + 1)
    np.add.at(change, problem.session_start, problem.session_max_kw)
    np.subtract.at(change, problem.session_end, problem.session_max_kw)
    connected_kw: FloatArray = np.maximum(np.cumsum(change[:-1]), 0.0)
    return connected_kw


def _first_prices(split: Split, answers: list[PartAnswer], tightest: IntArray) -> FloatArray:
    """(n_upper, n_period) what shares were worth to the parts on average, weighed by how much of a cap they held."""
    worth, weight = np.zeros((2, split.upper.n_node, split.upper.n_period))
    for part, answer in enumerate(answers):
        period = np.flatnonzero(tightest[part] >= 0)
        cell, held_kw = (tightest[part, period], period), _connected_kw(split.parts[part].problem)[period]
        weight[cell] += held_kw
        worth[cell] += held_kw * answer.ceiling_price_gbp_per_kwh[period]
    return np.divide(worth, weight, out=worth, where=weight > 0)


def _at_prices(rounds: _Rounds, prices: Prices) -> tuple[float, list[PartAnswer]]:
    """Ask every part at these prices above the cut; the Lagrangian value of the whole there, and the answers."""
    split = rounds.split
    prices = legal_prices(split.upper, split.network, prices)
    charge = split.network.tree.place_charge(node_charge(split.upper, prices))
    answers = rounds.ask(charge, np.full_like(charge, np.inf))
    above_gbp = lower_bound_gbp(split.upper, split.network, prices)
    rounds.loose_gbp = sum(
        answer.cost_gbp + float(charge[answer.part] @ answer.profile_kw) - answer.lower_bound_gbp for answer in answers
    )
    return above_gbp + sum(answer.lower_bound_gbp for answer in answers), answers


def _weights(master: Master, columns: list[Column]) -> FloatArray:
    """The best mix, or round 0 alone should HiGHS break."""
    try:
        return master.mix(columns).weight
    except SolverFailed as failure:
        logger.warning("plans of parts could not be mixed, the first ones stand: %s", failure)
        return np.array([float(column.round == 0) for column in columns])
