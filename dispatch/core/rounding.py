"""From continuous power to what an EVSE can be told: whole amperes, 0 or at least the minimum (IEC 61851: 6 A).

A setpoint is a ceiling. The EV stops by itself when it has its energy, so the period that completes a session may
offer more than is needed, where limits hold.

Source: docs/methods/dispatch.md
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from aggregator.core.types import Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core import rounding_kernels as kernels
from dispatch.core.costs import Costs, ramp_excess_kw, shortfall_kw
from dispatch.core.greedy import never
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.regions import side_by_side, split_by_region
from dispatch.core.rounding_account import account_of
from dispatch.core.rounding_paths import serve_by_swaps
from dispatch.core.sessions import by_need

PHASE_KV = 0.23
LEAST_A = 6
_MOST_A = int(np.iinfo(np.int16).max)
_EPS_A = 1e-6
# Sessions, and places, between two looks at the clock.
CHUNK, PLACE_CHUNK = 20_000, 500
# Sessions looked at in search of a swap, some 10 ns each: where a whole country is short, swaps stop before time does.
MOST_VISITS = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Rounding:
    """Setpoints and what they cost beside the continuous plan.

    Attributes:
        setpoint_a: (n_session, n_period) amperes per phase.
        unserved_kwh: (n_session,) serveable energy the ceilings leave out.
        costs: of the power EVs draw under the ceilings.
    """

    setpoint_a: Int16Array
    unserved_kwh: FloatArray
    costs: Costs


def ampere_kw(problem: DispatchProblem) -> FloatArray:
    """(n_session,) kW of one ampere per phase."""
    kw: FloatArray = PHASE_KV * problem.session_phases.astype(np.float64)
    return kw


def least_a(problem: DispatchProblem) -> IntArray:
    """(n_session,) the smallest current the device accepts, never under 6 A."""
    amperes = np.ceil(problem.session_min_kw / ampere_kw(problem) - _EPS_A)
    return np.clip(amperes, LEAST_A, _MOST_A).astype(np.int64)


def most_a(problem: DispatchProblem) -> IntArray:
    """(n_session,) whole amperes within the rating; 0 where that is under the device's minimum: it can't be used."""
    amperes = np.minimum(np.floor(problem.session_max_kw / ampere_kw(problem) + _EPS_A), _MOST_A).astype(np.int64)
    return np.where(amperes >= least_a(problem), amperes, 0)


def round_plan(
    problem: DispatchProblem,
    network: Network,
    power_kw: Float32Array,
    is_late: Callable[[], bool] = never,
    *,
    threads: int = 1,
) -> Rounding:
    """Round down everywhere, then give back whole amperes where limits allow, least slack first.

    First each session gets back the energy rounding down took from it; then whatever room is left serves what is
    still missing, and amperes move to cheaper periods. Rounding down alone is safe, so stopping at any time is too.

    Args:
        power_kw: (n_session, n_period) a plan within every hard limit.
        is_late: asked between chunks of sessions.
        threads: at most; each works whole regions, so the answer does not depend on it.
    """
    rounder = _Rounder(problem, network, power_kw)
    rounder.improve(is_late, threads)
    return price_setpoints(problem, network, rounder.setpoint_a)


def price_setpoints(problem: DispatchProblem, network: Network, setpoint_a: Int16Array) -> Rounding:
    """What (n_session, n_period) setpoints cost, from what EVs draw under them."""
    unserved_kwh = np.zeros(problem.n_session)
    place_kw = np.zeros((network.tree.n_place, problem.n_period))
    energy_gbp = kernels.draw(_devices(problem, network), setpoint_a, unserved_kwh, place_kw)
    node_kw = network.tree.node_kw(place_kw)
    shortfall = shortfall_kw(problem, node_kw)
    request_price = np.array([request.shortfall_gbp_per_kwh for request in problem.requests])
    costs = Costs(
        energy_gbp=float(energy_gbp),
        unserved_gbp=float(problem.session_unserved_gbp_per_kwh @ unserved_kwh),
        shortfall_gbp=float(problem.step_h * (request_price @ shortfall.sum(axis=1))),
        ramp_gbp=float(problem.step_h * problem.ramp_gbp_per_kwh * ramp_excess_kw(problem, node_kw).sum()),
        unserved_kwh=unserved_kwh,
        shortfall_kw=shortfall,
        node_power_kw=node_kw,
    )
    return Rounding(setpoint_a=setpoint_a, unserved_kwh=unserved_kwh, costs=costs)


class _Rounder:
    """The setpoints while they are raised and moved, with what every node carries of them."""

    def __init__(self, problem: DispatchProblem, network: Network, power_kw: Float32Array) -> None:
        self._problem, self._network = problem, network
        self._devices = _devices(problem, network)
        self.setpoint_a = np.zeros((problem.n_session, problem.n_period), dtype=np.int16)
        self._planned_a = np.zeros(problem.n_session)
        place_kw = np.zeros((network.tree.n_place, problem.n_period))
        kernels.round_down(
            self._devices, np.asarray(power_kw, dtype=np.float32), self.setpoint_a, self._planned_a, place_kw
        )
        self._account = account_of(problem, network, place_kw)

    def improve(self, is_late: Callable[[], bool], threads: int) -> None:
        """Give back, swap and move until nothing is left to gain, or time is up."""

        def work(order: IntArray) -> None:
            for step in self._steps(order):
                if is_late():
                    return
                step()

        parts = split_by_region(self._problem, by_need(self._problem), threads)
        side_by_side([partial(work, part) for part in parts])

    def _steps(self, order: IntArray) -> Iterator[Callable[[], None]]:
        """Small enough to look at the clock between two; each leaves every hard limit kept."""
        devices, account, setpoint_a = self._devices, self._account, self.setpoint_a
        serveable_a = devices.serveable_kwh / (devices.step_h * devices.unit_kw)
        for wanted_a, is_last in ((self._planned_a, False), (serveable_a, False), (serveable_a, True)):
            for begin, end in _chunks(len(order), CHUNK):
                chunk = order[begin:end]
                yield partial(kernels.give_back, devices, account, chunk, wanted_a, is_last, setpoint_a)
        yield from self._swaps(order)
        for begin, end in _chunks(len(order), CHUNK):
            yield partial(kernels.move_to_cheaper, devices, account, order[begin:end], setpoint_a)

    def _swaps(self, order: IntArray) -> Iterator[Callable[[], None]]:
        """Chains of sessions that step aside, place by place; for whole amperes first, then for what is left."""
        n_place = self._network.tree.n_place
        by_place = order[np.argsort(self._devices.place[order], kind="stable")]
        begin = np.searchsorted(self._devices.place[by_place], np.arange(n_place + 1))
        visits = np.array([MOST_VISITS])
        for is_last in (False, True):
            for first, last in _chunks(n_place, PLACE_CHUNK):
                part = begin[first : last + 1]
                yield partial(
                    serve_by_swaps, self._devices, self._account, by_place, part, is_last, self.setpoint_a, visits
                )


def _chunks(length: int, size: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + size, length)) for begin in range(0, length, size))


def _devices(problem: DispatchProblem, network: Network) -> kernels.Devices:
    return kernels.Devices(
        place=network.tree.session_place,
        start=problem.session_start,
        end=problem.session_end,
        least_a=least_a(problem).astype(np.int16),
        most_a=most_a(problem).astype(np.int16),
        unit_kw=ampere_kw(problem),
        serveable_kwh=network.serveable_kwh,
        unserved_gbp_per_kwh=problem.session_unserved_gbp_per_kwh,
        tariff=problem.session_tariff,
        price_gbp_per_kwh=problem.price_gbp_per_kwh,
        step_h=problem.step_h,
    )
