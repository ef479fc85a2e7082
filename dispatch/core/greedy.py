"""Plans made safe without a solver: cut down to the limits, fill what can be filled, least slack first."""

from collections.abc import Callable
from functools import partial

import numpy as np

from aggregator.core.types import Float32Array, FloatArray, IntArray
from dispatch.core import filling
from dispatch.core.filling import Fleet, fleet_of
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.regions import side_by_side, split_by_region
from dispatch.core.rounding_account import Account, account_of
from dispatch.core.sessions import by_need
from dispatch.core.tree import readable

# Sessions between two looks at the clock: some 20 ms.
_CHUNK = 20_000
# A loss below this is storage's, not a limit's.
_LEAST_GBP = 1e-12


def never() -> bool:
    return False


def greedy_power_kw(
    problem: DispatchProblem, network: Network, is_late: Callable[[], bool] = never, *, threads: int = 1
) -> Float32Array:
    """Fill every session's cheapest periods within all hard limits, dearest unserved and least slack first.

    Args:
        is_late: asked now and then; once true the rest is left unserved, so the answer is safe at any time.

    Returns:
        (n_session, n_period) power.
    """
    power_kw = np.zeros((problem.n_session, problem.n_period), dtype=np.float32)
    account = _account(problem, network, np.zeros((network.tree.n_place, problem.n_period)))
    wanted_kw = network.serveable_kwh / problem.step_h
    parts = split_by_region(problem, by_need(problem), threads)
    _fill(fleet_of(problem, network.tree), account, wanted_kw, parts, power_kw, is_late)
    return power_kw


def safe_power_kw(
    problem: DispatchProblem,
    network: Network,
    power_kw: FloatArray | Float32Array,
    is_late: Callable[[], bool] = never,
    *,
    threads: int = 1,
) -> Float32Array:
    """Cut any (n_session, n_period) power down to what keeps every hard limit, then refill what the cut took.

    A proven optimum loses some 1e-8 of itself to tolerances and storage; an old plan loses what no longer fits.
    The answer is a new table, the only large array made.
    """
    fleet, kept_kw = fleet_of(problem, network.tree), np.zeros(power_kw.shape, dtype=np.float32)
    place_kw, wanted_kw = np.zeros((network.tree.n_place, problem.n_period)), np.zeros(problem.n_session)
    account = _account(problem, network, place_kw)
    need_kw = network.serveable_kwh / problem.step_h
    filling.cut_sessions(fleet, account, readable(power_kw), need_kw, kept_kw, wanted_kw, place_kw)
    account.load_kw[:] = network.tree.node_kw(place_kw)
    _cut_to_caps(network, fleet, account, kept_kw, place_kw)
    parts = split_by_region(problem, _short(problem, fleet, wanted_kw, kept_kw), threads)
    _fill(fleet, account, wanted_kw, parts, kept_kw, is_late)
    return kept_kw


def refill(
    problem: DispatchProblem,
    network: Network,
    power_kw: Float32Array,
    is_late: Callable[[], bool] = never,
    *,
    threads: int = 1,
) -> None:
    """Lower a safe plan's cost in place, step by safe step: serve what is unserved where there is room, then move
    power into cheaper periods with room (of sessions with neither request nor ramp on their path).

    Args:
        power_kw: (n_session, n_period), every hard limit kept.
    """
    fleet = fleet_of(problem, network.tree)
    account = _account(problem, network, network.tree.place_power_kw(power_kw))
    wanted_kw = network.serveable_kwh / problem.step_h
    _fill(
        fleet,
        account,
        wanted_kw,
        split_by_region(problem, _short(problem, fleet, wanted_kw, power_kw), threads),
        power_kw,
        is_late,
    )
    is_full = np.zeros((network.tree.n_place, problem.n_period), dtype=np.bool_)
    _by_chunks(
        split_by_region(problem, np.arange(problem.n_session), threads),
        lambda chunk: filling.move_to_cheaper(fleet, account, chunk, power_kw, is_full),
        is_late,
    )


def _by_chunks(parts: list[IntArray], work: Callable[[IntArray], None], is_late: Callable[[], bool]) -> None:
    """Work orders of sessions side by side, each by chunks, and stop between two once it is late."""

    def through(order: IntArray) -> None:
        for first in range(0, len(order), _CHUNK):
            if is_late():
                return
            work(order[first : first + _CHUNK])

    side_by_side([partial(through, order) for order in parts])


def towards_zero(values: FloatArray) -> Float32Array:
    """Store float64 as float32 without ever growing: a plan inside its limits stays inside."""
    stored: Float32Array = values.astype(np.float32)
    grown = np.abs(stored.astype(np.float64)) > np.abs(values)
    stored[grown] = np.nextafter(stored[grown], np.float32(0))
    return stored


def _account(problem: DispatchProblem, network: Network, place_kw: FloatArray) -> Account:
    """The books with (n_place, n_period) kW booked.

    Caps are lowered by what adding so many sessions up could round away, where that is more than a tenth of the check's
    tolerance: a region's, never a feeder's.
    """
    account = account_of(problem, network, place_kw)
    most_kw = np.minimum(network.cap_kw, network.rated_kw)
    return account._replace(cap_kw=network.cap_kw - np.maximum(2.0**-51 * problem.n_session * most_kw - 1e-7, 0.0))


def _fill(
    fleet: Fleet,
    account: Account,
    wanted_kw: FloatArray,
    parts: list[IntArray],
    power_kw: Float32Array,
    is_late: Callable[[], bool],
) -> None:
    """Raise ``power_kw`` in place towards each session's wanted energy, cheapest room first, session after session."""
    is_full = np.zeros((int(fleet.place.max(initial=-1)) + 1, power_kw.shape[1]), dtype=np.bool_)
    _by_chunks(parts, lambda chunk: filling.fill_sessions(fleet, account, wanted_kw, chunk, power_kw, is_full), is_late)


def _short(problem: DispatchProblem, fleet: Fleet, wanted_kw: FloatArray, power_kw: Float32Array) -> IntArray:
    """Sessions that draw less than wanted, in the order of need."""
    served_kw = np.zeros(problem.n_session)
    filling.served_kw(fleet, power_kw, served_kw)
    lost_gbp = problem.step_h * problem.session_unserved_gbp_per_kwh * (wanted_kw - served_kw)
    return by_need(problem, np.flatnonzero(lost_gbp > _LEAST_GBP))


def _cut_to_caps(
    network: Network, fleet: Fleet, account: Account, power_kw: Float32Array, place_kw: FloatArray
) -> None:
    """Each node scales its whole load to its cap, no session takes more than its worst node leaves: all caps hold."""
    load_kw = account.load_kw
    part = np.divide(network.cap_kw, load_kw, out=np.ones_like(load_kw), where=load_kw > network.cap_kw)
    if part.min(initial=1.0) == 1.0:
        return
    factor = np.ones_like(place_kw)
    filling.least_parts(account, part, factor)
    place_kw[:] = 0.0
    filling.cut_places(fleet, factor, power_kw, place_kw)
    load_kw[:] = network.tree.node_kw(place_kw)
