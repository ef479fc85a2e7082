"""The state of the fast engine and how it moves: anchored steps, restarts, two threads.

A primal-dual hybrid gradient whose next iterate is the reflection of the operator's image, drawn towards an anchor by
a part that shrinks with the steps taken since (Halpern); when enough has been gained the anchor is set anew.
Source: docs/methods/dispatch.md
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np

from aggregator.core.types import Float32Array, FloatArray, IntArray
from dispatch.core.bound import Prices
from dispatch.core.fast import kernels
from dispatch.core.fast.bundles import Dual, Primal, Step, Work
from dispatch.core.fast.layout import Layout

# A new anchor: the residual fell to two fifths; it fell and rises again; a quarter of all steps was taken since.
_ENOUGH, _SOME, _LONG = 0.4, 0.8, 0.25
# Below this many cells a second thread costs more than it brings.
_CELLS_A_THREAD = 200_000
_IMAGE = (1.0, 0.0, 0.0)


class Machine:
    """Power fractions and prices of a laid-out problem, moved in place.

    Attributes:
        n_step: steps taken.
        residual: length of the last step in the norm the method contracts in; goes to 0 at an optimum.
    """

    def __init__(self, layout: Layout, *, n_period: int, weight: float, threads: int) -> None:
        self.layout, self.weight = layout, weight
        self.n_step, self.residual = 0, np.inf
        self._age, self._first_residual, self._last_residual = 0, np.inf, np.inf
        n_node, nodes = len(layout.node), layout.nodes
        shapes = ((n_node, n_period), nodes.request_step.shape, nodes.ramp_step.shape, (n_node, n_period))
        self._work = Work(
            layout.sessions,
            layout.chunks,
            nodes,
            layout.base,
            top_charge=np.zeros((n_node - nodes.n_low, n_period)),
            primal=Primal(
                *(np.zeros(n, dtype=np.float32) for n in (layout.n_cell, layout.n_cell, len(layout.session)))
            ),
            dual=Dual(*(np.zeros(shape) for shape in shapes)),
            old=Dual(*(np.zeros(shape) for shape in shapes)),
            out=np.zeros((len(layout.chunks.node_first), n_period)),
        )
        self._primal, self._dual, self._old = self._work.primal, self._work.dual, self._work.old
        n_thread = max(1, min(threads, layout.n_cell // _CELLS_A_THREAD))
        self._parts = _shares(layout, n_thread)
        self._pool = ThreadPoolExecutor(n_thread, thread_name_prefix="dispatch") if n_thread > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def start_at(self, power_kw: Float32Array | None, prices: Prices | None) -> None:
        """Start from an earlier plan's power and prices, whichever are given."""
        layout, nodes = self.layout, self.layout.nodes
        if power_kw is not None:
            self._each(lambda a, b: kernels.read_power(a, b, layout.session, layout.sessions, power_kw, self._primal.x))
        if prices is not None:
            self._dual.cap[:] = np.where(nodes.cap_step > 0, prices.cap[layout.node], 0.0)
            self._dual.request[:] = prices.request
            ramped = layout.node[nodes.ramp >= 0]
            self._dual.ramp[:] = prices.ramp_up[ramped] - prices.ramp_down[ramped]
        self._load_anew()

    def advance(self, n_step: int) -> bool:
        """Take anchored steps; where it is time, settle on the operator's image as the new anchor, and say so."""
        moved = self._take(n_step)
        residual = np.sqrt(np.maximum(moved[:, 0] + moved[:, 1] - 2.0 * moved[:, 2], 0.0))
        if self._age == 0:
            self._first_residual = float(residual[0])
        self._age += n_step
        self.n_step += n_step
        self._last_residual, self.residual = self.residual, float(residual[-1])
        if not self._is_time():
            return False
        self.settle()
        return True

    def settle(self) -> None:
        """Replace the iterate by its image, which keeps every session's own limits and all signs; anchor there."""
        self._step(Step(self.weight, *_IMAGE), np.zeros(3))
        self.n_step += 1
        self._each_cell(self._primal.anchor, self._primal.x)
        for anchor, now in zip(self._old, self._dual, strict=True):
            anchor[:] = now
        self._age = 0

    def prices(self) -> Prices:
        """The prices as they are, in the problem's order; legal once settled."""
        layout, n_period = self.layout, self._dual.cap.shape[1]
        shape = (len(layout.node), n_period)
        cap = np.zeros(shape)
        cap[layout.node] = self._dual.cap
        ramped = layout.node[layout.nodes.ramp >= 0]
        ramp_up, ramp_down = np.zeros((2, shape[0], max(n_period - 1, 0)))
        ramp_up[ramped], ramp_down[ramped] = np.maximum(self._dual.ramp, 0.0), np.maximum(-self._dual.ramp, 0.0)
        return Prices(cap, self._dual.request.copy(), ramp_up, ramp_down)

    def write_power_kw(self, table: Float32Array) -> None:
        """Write power as it is into (n_session, n_period) ``table``, in the problem's order.

        Network limits may be broken a little. Cells outside the sessions' windows are left as they are.
        """
        layout = self.layout
        self._each(lambda a, b: kernels.write_power(a, b, layout.session, layout.sessions, self._primal.x, table))

    def _is_time(self) -> bool:
        gained = self.residual <= _ENOUGH * self._first_residual
        turned = self.residual <= _SOME * self._first_residual and self.residual > self._last_residual
        return gained or turned or self._age >= max(_LONG * self.n_step, 20)

    def _take(self, n_step: int) -> FloatArray:
        moved = np.zeros((n_step, 3))
        if self._pool is None:
            kernels.advance(n_step, self._age, self.weight, self._work, moved)
            return moved
        for k in range(n_step):
            self._step(kernels.anchored_step(self.weight, self._age + k), moved[k])
        return moved

    def _step(self, step: Step, moved: FloatArray) -> None:
        """One step of all chunks, a share of them a thread, and of the top."""
        by_thread = np.zeros((len(self._parts) - 1, 3))

        def sweep(part: int) -> None:
            kernels.sweep(self._parts[part], self._parts[part + 1], self._work, step, by_thread[part])

        self._run(sweep, range(len(by_thread)))
        kernels.move_top(self._work, step, moved)
        moved += by_thread.sum(axis=0)

    def _load_anew(self) -> None:
        """Add loads and charges up from power and prices as they are, and anchor there."""
        layout = self.layout
        kernels.add_loads(layout.chunks, layout.sessions, layout.nodes.n_low, self._primal.x, self._dual.load_kw)
        kernels.charge_top(self._work)
        self._each_cell(self._primal.anchor, self._primal.x)
        for anchor, now in zip(self._old, self._dual, strict=True):
            anchor[:] = now
        self._age = 0

    def _each(self, work: Callable[[int, int], None]) -> None:
        """Do work on ranges of sessions, a range a thread."""
        cuts = np.linspace(0, len(self.layout.session), len(self._parts)).astype(np.int64)
        self._run(lambda part: work(int(cuts[part]), int(cuts[part + 1])), range(len(cuts) - 1))

    def _each_cell(self, target: Float32Array, source: Float32Array) -> None:
        cuts = np.linspace(0, len(source), len(self._parts)).astype(np.int64)

        def copy(part: int) -> None:
            target[cuts[part] : cuts[part + 1]] = source[cuts[part] : cuts[part + 1]]

        self._run(copy, range(len(cuts) - 1))

    def _run(self, work: Callable[[int], None], parts: Sequence[int]) -> None:
        if self._pool is None:
            for part in parts:
                work(part)
        else:
            list(self._pool.map(work, parts))


def _shares(layout: Layout, n_thread: int) -> IntArray:
    """(n_thread + 1,) chunks at which the threads' shares of the sessions begin."""
    chunks = layout.chunks
    last = chunks.session_last[chunks.run_first[1:] - 1] if len(chunks.node_first) else np.zeros(0, dtype=np.int64)
    cuts = np.searchsorted(last, np.linspace(0, len(layout.session), n_thread + 1)[1:-1], side="right")
    return np.concatenate([[0], cuts, [len(last)]]).astype(np.int64)
