"""The loops behind ``steady.py``: put one session's ceilings back after the other, all sums kept as it goes."""

from typing import NamedTuple

import numpy as np
from numba import njit

from aggregator.core.types import FloatArray, Int16Array, IntArray

EPS_KW = 1e-9


class Sessions(NamedTuple):
    """(n_session,) each: what a session may be told, and what its energy is worth."""

    unit_kw: FloatArray
    least_a: IntArray
    most_a: IntArray
    end: IntArray
    energy_kwh: FloatArray
    unserved_gbp_per_kwh: FloatArray
    tariff: IntArray
    place: IntArray


class Network(NamedTuple):
    """Nodes each place loads (CSR), caps and what requests and ramps cost at each node."""

    place_at: IntArray
    node: IntArray
    share: FloatArray
    cap_kw: FloatArray
    ramp_kw: FloatArray
    ramp_gbp_per_kwh: float
    request_node: IntArray
    request_start: IntArray
    request_end: IntArray
    request_sign: FloatArray
    request_kw: FloatArray
    request_gbp_per_kwh: FloatArray


class Prices(NamedTuple):
    """(n_tariff, n_period) energy prices, and the periods of each in order of price."""

    gbp_per_kwh: FloatArray
    cheapest: IntArray
    step_h: float


class Loads(NamedTuple):
    """(n_node, n_period) if every ceiling is drawn, and as EVs are believed to draw. Kept in place."""

    ceiling_kw: FloatArray
    drawn_kw: FloatArray


@njit(cache=True, nogil=True)
def put_back(
    order: IntArray,
    told_a: Int16Array,
    setpoint_a: Int16Array,
    sessions: Sessions,
    network: Network,
    prices: Prices,
    loads: Loads,
    most_gbp: float,
) -> int:
    """One pass: sessions in ``order`` get back what they were told where it fits and costs no more than ``most_gbp``.

    Args:
        told_a: (n_session, n_told) what each was told for the first periods; -1 where nothing.
        setpoint_a: (n_session, n_period), changed in place, and the loads with it.

    Returns:
        How many were put back.
    """
    n_period = setpoint_a.shape[1]
    row, old_kw, new_kw = np.empty(n_period, np.int64), np.empty(n_period), np.empty(n_period)
    n_back = 0
    for i in order:
        if not differs(told_a[i], setpoint_a[i]):
            continue
        served_kwh = draw(i, setpoint_a[i], sessions, prices.step_h, old_kw)
        for t in range(n_period):
            row[t] = setpoint_a[i, t]
            if t < told_a.shape[1] and told_a[i, t] >= 0:
                row[t] = told_a[i, t]
        if not _fits(i, row, setpoint_a[i], sessions, network, loads):
            continue
        _catch_up(i, row, setpoint_a[i], served_kwh, told_a.shape[1], sessions, network, prices, loads)
        draw(i, row, sessions, prices.step_h, new_kw)
        if _dearer_gbp(i, old_kw, new_kw, sessions, network, prices, loads) > most_gbp:
            continue
        _book(i, row, setpoint_a[i], old_kw, new_kw, sessions, network, loads)
        for t in range(n_period):
            setpoint_a[i, t] = row[t]
        n_back += 1
    return n_back


@njit(cache=True, nogil=True)
def differs(told_a: Int16Array, setpoint_a: Int16Array) -> bool:
    for t in range(len(told_a)):  # noqa: SIM110 - numba has no generators
        if told_a[t] >= 0 and told_a[t] != setpoint_a[t]:
            return True
    return False


@njit(cache=True, nogil=True)
def draw(i: int, row_a: IntArray, sessions: Sessions, step_h: float, drawn_kw: FloatArray) -> float:
    """Power an EV draws under ceilings until it is full or leaves; the energy it has then."""
    left_kwh, served_kwh = sessions.energy_kwh[i], 0.0
    for t in range(len(row_a)):
        power_kw = 0.0
        if t < sessions.end[i] and left_kwh > 0.0:
            power_kw = min(row_a[t] * sessions.unit_kw[i], left_kwh / step_h)
        drawn_kw[t] = power_kw
        left_kwh -= step_h * power_kw
        served_kwh += step_h * power_kw
    return served_kwh


@njit(cache=True, nogil=True)
def _fits(i: int, row_a: IntArray, now_a: Int16Array, sessions: Sessions, network: Network, loads: Loads) -> bool:
    for link in range(network.place_at[sessions.place[i]], network.place_at[sessions.place[i] + 1]):
        v, share_kw = network.node[link], network.share[link] * sessions.unit_kw[i]
        for t in range(len(row_a)):
            more_kw = share_kw * (row_a[t] - now_a[t])
            if more_kw > 0.0 and loads.ceiling_kw[v, t] + more_kw > network.cap_kw[v, t] + EPS_KW:
                return False
    return True


@njit(cache=True, nogil=True)
def _catch_up(
    i: int,
    row_a: IntArray,
    now_a: Int16Array,
    served_kwh: float,
    n_told: int,
    sessions: Sessions,
    network: Network,
    prices: Prices,
    loads: Loads,
) -> None:
    """Raise later ceilings, cheapest first, until the session has what it had before; as far as they fit."""
    unit_kwh = sessions.unit_kw[i] * prices.step_h
    missing_kwh = served_kwh
    for t in range(min(sessions.end[i], len(row_a))):
        missing_kwh -= row_a[t] * unit_kwh
    for t in prices.cheapest[sessions.tariff[i]]:
        if missing_kwh <= 1e-9:
            return
        if t < n_told or t >= sessions.end[i]:
            continue
        added_a = min(sessions.most_a[i] - row_a[t], int(np.ceil(missing_kwh / unit_kwh - 1e-9)))
        if row_a[t] == 0:
            added_a = max(added_a, sessions.least_a[i])
        added_a = min(
            added_a, _room_a(i, t, row_a[t] - now_a[t], sessions, network, loads), sessions.most_a[i] - row_a[t]
        )
        if added_a > 0 and row_a[t] + added_a >= sessions.least_a[i]:
            row_a[t] += added_a
            missing_kwh -= added_a * unit_kwh


@njit(cache=True, nogil=True)
def _room_a(i: int, t: int, more_a: int, sessions: Sessions, network: Network, loads: Loads) -> int:
    """Whole amperes that fit on top of ``more_a`` beyond what is booked."""
    room_a = float(sessions.most_a[i])
    for link in range(network.place_at[sessions.place[i]], network.place_at[sessions.place[i] + 1]):
        v, share_kw = network.node[link], network.share[link] * sessions.unit_kw[i]
        left_kw = network.cap_kw[v, t] + EPS_KW - loads.ceiling_kw[v, t] - share_kw * more_a
        room_a = min(room_a, left_kw / share_kw)
    return int(np.floor(max(room_a, 0.0)))


@njit(cache=True, nogil=True)
def _dearer_gbp(
    i: int,
    old_kw: FloatArray,
    new_kw: FloatArray,
    sessions: Sessions,
    network: Network,
    prices: Prices,
    loads: Loads,
) -> float:
    """What the objective rises by when the session draws ``new_kw`` in place of ``old_kw``."""
    gbp, price = 0.0, prices.gbp_per_kwh[sessions.tariff[i]]
    for t in range(len(old_kw)):
        gbp += (price[t] - sessions.unserved_gbp_per_kwh[i]) * (new_kw[t] - old_kw[t])
    for link in range(network.place_at[sessions.place[i]], network.place_at[sessions.place[i] + 1]):
        v, share = network.node[link], network.share[link]
        for r in range(len(network.request_node)):
            if network.request_node[r] == v:
                gbp += network.request_gbp_per_kwh[r] * _more_shortfall_kw(r, v, share, old_kw, new_kw, network, loads)
        if network.ramp_gbp_per_kwh > 0.0 and np.isfinite(network.ramp_kw[v]):
            gbp += network.ramp_gbp_per_kwh * _more_ramp_kw(v, share, old_kw, new_kw, network, loads)
    return gbp * prices.step_h


@njit(cache=True, nogil=True)
def _more_shortfall_kw(
    r: int, v: int, share: float, old_kw: FloatArray, new_kw: FloatArray, network: Network, loads: Loads
) -> float:
    more, sign, target_kw = 0.0, network.request_sign[r], network.request_kw[r]
    for t in range(network.request_start[r], network.request_end[r]):
        before_kw = loads.drawn_kw[v, t]
        after_kw = before_kw + share * (new_kw[t] - old_kw[t])
        more += max(sign * (target_kw - after_kw), 0.0) - max(sign * (target_kw - before_kw), 0.0)
    return more


@njit(cache=True, nogil=True)
def _more_ramp_kw(
    v: int, share: float, old_kw: FloatArray, new_kw: FloatArray, network: Network, loads: Loads
) -> float:
    more, free_kw = 0.0, network.ramp_kw[v]
    for t in range(1, len(old_kw)):
        rise_kw = loads.drawn_kw[v, t] - loads.drawn_kw[v, t - 1]
        change_kw = share * (new_kw[t] - old_kw[t] - new_kw[t - 1] + old_kw[t - 1])
        more += max(abs(rise_kw + change_kw) - free_kw, 0.0) - max(abs(rise_kw) - free_kw, 0.0)
    return more


@njit(cache=True, nogil=True)
def _book(
    i: int,
    row_a: IntArray,
    now_a: Int16Array,
    old_kw: FloatArray,
    new_kw: FloatArray,
    sessions: Sessions,
    network: Network,
    loads: Loads,
) -> None:
    for link in range(network.place_at[sessions.place[i]], network.place_at[sessions.place[i] + 1]):
        v, share = network.node[link], network.share[link]
        for t in range(len(row_a)):
            loads.ceiling_kw[v, t] += share * sessions.unit_kw[i] * (row_a[t] - now_a[t])
            loads.drawn_kw[v, t] += share * (new_kw[t] - old_kw[t])
