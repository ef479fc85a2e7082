"""Plans made safe without a solver: scale down to the limits, fill what can be filled, least slack first."""

from collections.abc import Callable, Iterable

import numpy as np

from aggregator.core.types import Float32Array, FloatArray
from dispatch.core.ledger import Ledger
from dispatch.core.network import Network
from dispatch.core.problem import DispatchProblem
from dispatch.core.sessions import by_need, connected

# A request's or ramp's price changes where its target is met, so a session may want to look again.
_PASSES = 4


def never() -> bool:
    return False


def greedy_power_kw(problem: DispatchProblem, network: Network, is_late: Callable[[], bool] = never) -> Float32Array:
    """Fill every session's cheapest periods within all hard limits, dearest unserved and least slack first.

    Args:
        is_late: asked before each session; once true the rest is left unserved, so the answer is safe at any time.

    Returns:
        (n_session, n_period) power.
    """
    power_kw = np.zeros((problem.n_session, problem.n_period), dtype=np.float32)
    fill(problem, network, power_kw, network.serveable_kwh, by_need(problem).tolist(), is_late)
    return power_kw


def safe_power_kw(
    problem: DispatchProblem, network: Network, power_kw: FloatArray, is_late: Callable[[], bool] = never
) -> Float32Array:
    """Cut any (n_session, n_period) power down to what keeps every hard limit, then refill what the cut took.

    A proven optimum loses some 1e-8 of itself to tolerances and storage; an old plan loses what no longer fits.
    """
    wanted_kw = np.clip(np.nan_to_num(power_kw), 0.0, problem.session_max_kw[:, np.newaxis]) * connected(problem)
    energy_kwh = problem.step_h * wanted_kw.sum(axis=1)
    wanted_kw *= _part(network.serveable_kwh, energy_kwh)[:, np.newaxis]
    kept_kw = towards_zero(wanted_kw * _tightest(network, wanted_kw))
    wanted_kwh = np.minimum(problem.step_h * wanted_kw.sum(axis=1), network.serveable_kwh)
    lost_gbp = problem.session_unserved_gbp_per_kwh * (wanted_kwh - problem.step_h * kept_kw.sum(axis=1, dtype=float))
    order = [index for index in by_need(problem).tolist() if lost_gbp[index] > 1e-12]
    fill(problem, network, kept_kw, wanted_kwh, order, is_late)
    return kept_kw


def towards_zero(values: FloatArray) -> Float32Array:
    """Store float64 as float32 without ever growing: a plan inside its limits stays inside."""
    stored: Float32Array = values.astype(np.float32)
    grown = np.abs(stored.astype(np.float64)) > np.abs(values)
    stored[grown] = np.nextafter(stored[grown], np.float32(0))
    return stored


def _stored(value: float) -> np.float32:
    """One number as ``towards_zero`` stores it, for not negative values."""
    stored = np.float32(value)
    return stored if float(stored) <= value else np.nextafter(stored, np.float32(0))


def fill(
    problem: DispatchProblem,
    network: Network,
    power_kw: Float32Array,
    wanted_kwh: FloatArray,
    order: Iterable[int],
    is_late: Callable[[], bool],
) -> None:
    """Raise ``power_kw`` in place towards each session's wanted energy, cheapest room first, session after session."""
    ledger = Ledger(problem, network, power_kw)
    for session in order:
        if is_late():
            return
        for _ in range(_PASSES):
            if not _fill_session(problem, ledger, power_kw, session, float(wanted_kwh[session])):
                break


def _fill_session(
    problem: DispatchProblem, ledger: Ledger, power_kw: Float32Array, session: int, wanted_kwh: float
) -> bool:
    """One pass over the session's periods; whether another could add more."""
    window, step_h = ledger.window(session), problem.step_h
    row = power_kw[session, window]
    max_kw, unserved = float(problem.session_max_kw[session]), float(problem.session_unserved_gbp_per_kwh[session])
    need_kwh = wanted_kwh - step_h * float(row.sum(dtype=np.float64))
    room, price = ledger.offers(session)
    added = False
    for k in np.argsort(price, kind="stable").tolist():
        if need_kwh <= 0 or price[k] >= unserved:
            break
        before = float(row[k])
        after = _stored(before + min(max_kw - before, room[k], need_kwh / step_h))
        gain_kw = float(after) - before
        if gain_kw > 0:
            row[k] = after
            ledger.book(session, window.start + k, gain_kw)
            need_kwh -= step_h * gain_kw
            added = added or gain_kw > 1e-6
    return added and need_kwh > 0


def _part(allowed: FloatArray, found: FloatArray) -> FloatArray:
    """Factor, not above 1, that brings ``found`` down to ``allowed``."""
    return np.divide(allowed, found, out=np.ones_like(found), where=found > allowed)


def _tightest(network: Network, power_kw: FloatArray) -> FloatArray:
    """(n_session, n_period) the least factor of any node the session loads.

    Each node scales its whole load to its cap, and no session takes more than its worst node leaves: all caps hold.
    """
    part = _part(network.cap_kw, network.node_power_kw(power_kw))
    shares = network.tree.shares
    factor = np.ones((network.tree.n_place, power_kw.shape[1]))
    for node in np.flatnonzero((part < 1).any(axis=1)).tolist():
        places = shares.indices[shares.indptr[node] : shares.indptr[node + 1]]
        factor[places] = np.minimum(factor[places], part[node])
    return factor[network.tree.session_place]
