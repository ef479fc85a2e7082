"""What kept energy from a session: a set of limits none of which can be spared.

The session may take what others do not need, and from sessions worth less than it; those worth as much or more keep
what they have. If even so some of its energy cannot be had, a deletion filter takes one limit after another away and
puts back each without which it could: what is left is irreducible, every one of it a cause.

Source: docs/methods/dispatch.md
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import highspy
import numpy as np
from scipy import sparse

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray
from dispatch.core.greedy import never
from dispatch.core.network import Network
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.sessions import connected

# Energy this near to all of it is all of it: HiGHS keeps rows to 1e-7.
NEAR_KWH = 1e-5
_NEAR_KW = 1e-3

Verdict = Literal["served", "limits", "not_forced"]
ElementKind = Literal["limit", "turn_down", "turn_up", "tariff", "equals", "betters"]


class CauseNotFound(FlexError):
    code = "dispatch.cause_not_found"


@dataclass(frozen=True, slots=True)
class Element:
    """One thing that may keep energy from a session.

    Attributes:
        kind: a node's limit through ``[start, end)``; a request; a tariff above what the energy is worth; or what
            sessions worth as much (``equals``) or more (``betters``) are left.
        node, request: indices, -1 where there is none.
        sessions: other sessions meant, for equals and betters.
    """

    kind: ElementKind
    start: int
    end: int
    node: int = -1
    request: int = -1
    sessions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a session goes without some of its serveable energy.

    Attributes:
        verdict: ``served`` if it goes without none; ``limits`` if ``elements`` kept it; ``not_forced`` if it could
            have all of it within every limit: ramps, rounding or the plan's gap took it.
        elements: irreducible where ``is_reduced``: without any one of them the session could have all its energy.
        most_kwh: what it could have at most with all in place.
        is_reduced: every element was tried; False where time ran out first.
    """

    verdict: Verdict
    elements: tuple[Element, ...]
    most_kwh: float
    is_reduced: bool


def find_cause(
    problem: DispatchProblem,
    network: Network,
    *,
    session: int,
    power_kw: FloatArray,
    held_kw: FloatArray | None = None,
    least_kw: float = 0.0,
    is_late: Callable[[], bool] = never,
) -> Cause:
    """Find an irreducible set of limits that keeps energy from a session.

    Args:
        session: index.
        power_kw: (n_session, n_period) the plan: what the others keep, and where limits stand.
        held_kw: (n_node, n_period) what EVs outside the problem draw, held as it is; none if not given.
        least_kw: the least the session can draw at all, 0 if it may draw anything: where a limit is lower, it can't.
        is_late: asked before each try; once it says yes what is left stands as it is.

    Raises:
        CauseNotFound: HiGHS did not prove an optimum; a bug, since the plan itself fits.
    """
    power = np.asarray(power_kw, dtype=np.float64)
    served_kwh = problem.step_h * float(power[session].sum())
    wanted_kwh = float(network.serveable_kwh[session])
    if wanted_kwh - served_kwh <= NEAR_KWH:
        return Cause("served", (), served_kwh, is_reduced=True)
    held = np.zeros((problem.n_node, problem.n_period)) if held_kw is None else held_kw
    elements = candidates(problem, network, session=session, power_kw=power, held_kw=held)
    model = ServiceModel(
        problem, network, session=session, power_kw=power, held_kw=held, least_kw=least_kw, elements=elements
    )
    most_kwh = model.most_kwh(elements)
    if most_kwh >= wanted_kwh - NEAR_KWH:
        return Cause("not_forced", (), most_kwh, is_reduced=True)
    kept, is_reduced = list(elements), True
    for element in elements:
        if is_late():
            is_reduced = False
            break
        without = [other for other in kept if other is not element]
        if model.most_kwh(without) < wanted_kwh - NEAR_KWH:
            kept = without
    return Cause("limits", tuple(sorted(kept, key=_by_place)), most_kwh, is_reduced)


def _by_place(element: Element) -> tuple[bool, int, int]:
    return element.node < 0, element.node, element.start


def candidates(
    problem: DispatchProblem, network: Network, *, session: int, power_kw: FloatArray, held_kw: FloatArray
) -> tuple[Element, ...]:
    """Everything that may keep energy from a session, what we would rather do without first.

    Others' energy is tried before limits, so that a limit too small for the session alone is named alone; limits with
    room in the plan go before those without.
    """
    node_kw = network.node_power_kw(power_kw) + held_kw
    cap_kw = np.maximum(network.cap_kw, node_kw)  # a plan keeps its limits; what is over is rounding of sums
    may_bind = cap_kw < network.rated_kw + held_kw
    is_full = may_bind & (node_kw >= cap_kw - _NEAR_KW - 1e-6 * np.where(may_bind, cap_kw, 0.0))
    return (
        *_others(problem, session),
        *_requests(problem),
        *_tariffs(problem, session),
        *_limits(may_bind & ~is_full),
        *_limits(is_full),
    )


def _others(problem: DispatchProblem, session: int) -> list[Element]:
    worth = problem.session_unserved_gbp_per_kwh
    others = np.arange(problem.n_session) != session
    kinds: tuple[tuple[ElementKind, BoolArray], ...] = (
        ("equals", others & (worth == worth[session])),
        ("betters", others & (worth > worth[session])),
    )
    span = (int(problem.session_start[session]), int(problem.session_end[session]))
    return [Element(kind, *span, sessions=tuple(np.flatnonzero(who).tolist())) for kind, who in kinds if who.any()]


def _requests(problem: DispatchProblem) -> list[Element]:
    return [
        Element(
            "turn_down" if request.direction == TURN_DOWN else "turn_up",
            request.start,
            request.end,
            request.node,
            index,
        )
        for index, request in enumerate(problem.requests)
        if request.shortfall_gbp_per_kwh > 0
    ]


def _tariffs(problem: DispatchProblem, session: int) -> list[Element]:
    worth = problem.session_unserved_gbp_per_kwh[session]
    is_dear = problem.price_gbp_per_kwh[problem.session_tariff[session]] >= worth
    is_dear &= connected(problem)[session]
    return [Element("tariff", *run) for run in runs(is_dear)]


def _limits(cells: BoolArray) -> list[Element]:
    """Runs of neighbouring periods, the nodes nearest to the root first: the nearest to the EV is kept in doubt."""
    return [Element("limit", *run, node) for node in range(len(cells)) for run in runs(cells[node])]


def runs(marked: BoolArray) -> list[tuple[int, int]]:
    """Half-open runs of neighbouring marks in (n_period,)."""
    edges = np.flatnonzero(np.diff(marked.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


class ServiceModel:
    """The most energy a session can have with some elements in place: one model, its rows opened and closed.

    Columns are the power of each session in each period of its window. Rows are the sessions' energies, then each
    limit and request period that an element speaks of.
    """

    def __init__(
        self,
        problem: DispatchProblem,
        network: Network,
        *,
        session: int,
        power_kw: FloatArray,
        held_kw: FloatArray,
        least_kw: float,
        elements: Sequence[Element],
    ) -> None:
        self._problem, self._network, self._session = problem, network, session
        self._power_kw, self._held_kw, self._least_kw = power_kw, held_kw, least_kw
        self._planned_kw = network.node_power_kw(power_kw)
        self._owner, self._period = np.nonzero(connected(problem))
        self._highs = highspy.Highs()
        self._highs.setOptionValue("output_flag", False)
        self._rows: dict[Element, list[tuple[int, float, float]]] = {}
        self._columns: dict[Element, IntArray] = {}
        self._pass(elements)

    def most_kwh(self, elements: Sequence[Element]) -> float:
        """Energy the session can have at most with only these elements in place.

        Raises:
            CauseNotFound: HiGHS did not prove an optimum.
        """
        wanted = set(elements)
        for element, rows in self._rows.items():
            for row, lower, upper in rows:
                free = self._free(element, row)
                self._highs.changeRowBounds(row, *((lower, upper) if element in wanted else free))
        self._close([columns for element, columns in self._columns.items() if element in wanted])
        self._highs.run()
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise CauseNotFound(f"HiGHS ended with {status.name}; expected an optimum", status=status.name)
        return -float(self._highs.getInfo().objective_function_value)

    def _close(self, closed: Sequence[IntArray]) -> None:
        """Let the session draw in every column of its own but these."""
        max_kw = float(self._problem.session_max_kw[self._session])
        shut = set(np.concatenate([*closed, np.zeros(0, dtype=np.int64)]).tolist())
        for column in sorted(set(np.concatenate([*self._columns.values(), np.zeros(0, dtype=np.int64)]).tolist())):
            self._highs.changeColBounds(column, 0.0, 0.0 if column in shut else max_kw)

    def _free(self, element: Element, row: int) -> tuple[float, float]:
        if element.kind in ("equals", "betters"):
            return 0.0, float(self._network.serveable_kwh[row])
        return -highspy.kHighsInf, highspy.kHighsInf

    def _pass(self, elements: Sequence[Element]) -> None:
        problem, step_h = self._problem, self._problem.step_h
        n_column, n_session = len(self._owner), problem.n_session
        at = np.arange(n_column)
        blocks = [sparse.csr_matrix((np.full(n_column, step_h), (self._owner, at)), shape=(n_session, n_column))]
        lower, upper = np.zeros(n_session), np.maximum(self._network.serveable_kwh, self._served_kwh())
        n_row = n_session
        for element in elements:
            if element.kind in ("equals", "betters"):
                served_kwh = self._served_kwh()
                self._rows[element] = [(i, float(served_kwh[i]), float(upper[i])) for i in element.sessions]
            elif element.kind == "tariff":
                self._columns[element] = self._own(element, np.ones(problem.n_period, dtype=np.bool_))
            else:
                if element.kind == "limit":
                    self._columns[element] = self._own(element, self._is_below_least(element.node))
                bounds = self._bounds(element)
                self._rows[element] = [(n_row + k, *bound) for k, bound in enumerate(bounds)]
                n_row += len(bounds)
                blocks.append(self._loads(element))
        matrix = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        free = np.full(n_row - n_session, highspy.kHighsInf)
        self._hand_over(matrix, np.concatenate([lower, -free]), np.concatenate([upper, free]))

    def _own(self, element: Element, marked: BoolArray) -> IntArray:
        """Columns in which the session draws nothing, of the marked periods of an element."""
        own = (self._owner == self._session) & (self._period >= element.start) & (self._period < element.end)
        idle = self._power_kw[self._session] == 0
        return np.flatnonzero(own & (idle & marked)[self._period]).astype(np.int64)

    def _is_below_least(self, node: int) -> BoolArray:
        """(n_period,) where a node's limit is below the least the session can put on it."""
        tree = self._network.tree
        share = float(tree.shares[node, tree.session_place[self._session]])
        below: BoolArray = self._network.cap_kw[node] < share * self._least_kw - _NEAR_KW
        return below

    def _served_kwh(self) -> FloatArray:
        served: FloatArray = self._problem.step_h * self._power_kw.sum(axis=1)
        return served

    def _bounds(self, element: Element) -> list[tuple[float, float]]:
        """(lower, upper) kW of an element's rows: never tighter than the plan, which stands."""
        window, inf = slice(element.start, element.end), highspy.kHighsInf
        planned_kw, held_kw = self._planned_kw[element.node, window], self._held_kw[element.node, window]
        if element.kind == "limit":
            cap_kw = self._network.cap_kw[element.node, window]
            return [(-inf, float(kw)) for kw in np.maximum(cap_kw - held_kw, planned_kw)]
        target_kw = self._problem.requests[element.request].target_kw - held_kw
        if element.kind == "turn_down":
            return [(-inf, float(kw)) for kw in np.maximum(target_kw, planned_kw)]
        return [(float(kw), inf) for kw in np.minimum(target_kw, planned_kw)]

    def _loads(self, element: Element) -> sparse.csr_matrix:
        """(n_period of the element, n_column) shares of the node."""
        tree = self._network.tree
        share = np.asarray(tree.shares[[element.node]].todense()).ravel()[tree.session_place[self._owner]]
        used = np.flatnonzero((share > 0) & (self._period >= element.start) & (self._period < element.end))
        rows = self._period[used] - element.start
        return sparse.csr_matrix((share[used], (rows, used)), shape=(element.end - element.start, len(self._owner)))

    def _hand_over(self, matrix: sparse.csr_matrix, lower: FloatArray, upper: FloatArray) -> None:
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = matrix.shape
        lp.col_cost_ = np.where(self._owner == self._session, -self._problem.step_h, 0.0)
        lp.col_lower_ = np.zeros(matrix.shape[1])
        lp.col_upper_ = self._problem.session_max_kw[self._owner]
        lp.row_lower_, lp.row_upper_ = lower, upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
        lp.a_matrix_.value_ = matrix.data
        if self._highs.passModel(lp) == highspy.HighsStatus.kError:
            raise CauseNotFound("HiGHS refused the model")
