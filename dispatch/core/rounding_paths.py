"""Swaps between sessions of one place: an ampere goes where it is missed along a chain of sessions that step aside.

Where a session misses energy in its own periods while another has room, a session that charges in both can move an
ampere over and leave its own to the first; two or three may have to. All sessions of a place load the same nodes by
the same share, so such a chain changes the network's load only where it ends. The shortest chains from a period to
every period it can reach are one breadth-first search over periods, with each session's periods as the bits of words.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from aggregator.core.types import FloatArray, Int16Array, IntArray
from dispatch.core.rounding_account import EPS_KW, Account, book, room_kw, soft_cost
from dispatch.core.rounding_kernels import EPS_A, Devices, trim

_EPS_GBP = 1e-9
_NOBODY = -1
_LOG_ROWS = 16  # a minimum current's chains, each through every period at most


class _Search(NamedTuple):
    """One search's marks by period, (n_period,) each, and a log of what was moved, to take it back.

    Attributes:
        via: the session that steps aside into the period, -1 where the search has not been.
        before: the period it steps aside from, -1 where the search began.
        price: GBP per kWh of the chain so far.
        log: (n_log, 3) session, period and amperes added; the first of ``n_log`` is its length.
    """

    via: IntArray
    before: IntArray
    price: FloatArray
    queue: IntArray
    log: IntArray
    n_log: IntArray


@njit(cache=True, nogil=True)
def serve_by_swaps(
    devices: Devices,
    account: Account,
    by_place: IntArray,
    begin: IntArray,
    is_last: bool,
    setpoint_a: Int16Array,
    visits: IntArray,
) -> None:
    """Serve what sessions still miss, ampere by ampere.

    Args:
        by_place: sessions, those of one place together and in the order they are served.
        begin: where each of some places' sessions begin in it, and the end.
        is_last: also the ampere that only completes a session's energy.
        visits: (1,) sessions that may still be looked at in a search; counted down.
    """
    n_period = setpoint_a.shape[1]
    search = _Search(
        np.empty(n_period, np.int64),
        np.empty(n_period, np.int64),
        np.empty(n_period),
        np.empty(n_period, np.int64),
        np.empty((_LOG_ROWS * n_period, 3), np.int64),
        np.zeros(1, np.int64),
    )
    for place in range(len(begin) - 1):
        members = by_place[begin[place] : begin[place + 1]]
        visits[0] = _serve_place(devices, account, members, is_last, setpoint_a, search, visits[0])


@njit(cache=True, nogil=True)
def _serve_place(
    devices: Devices,
    account: Account,
    members: IntArray,
    is_last: bool,
    setpoint_a: Int16Array,
    search: _Search,
    budget: int,
) -> int:
    for i in members:
        while budget > 0 and devices.most_a[i] > 0:
            need_a = _missing_a(devices, i, setpoint_a)
            if need_a < (EPS_A if is_last else 1.0 - EPS_A):
                break
            budget -= _search_from(devices, members, i, _NOBODY, setpoint_a, search)
            goal = _cheapest_goal(devices, account, i, _NOBODY, search)
            worth = devices.unserved_gbp_per_kwh[i] * min(need_a, 1.0)
            search.n_log[0] = 0
            if goal >= 0 and search.price[goal] < worth:
                _walk_back(devices, account, search, goal, True, setpoint_a)
                continue
            budget = _open_any(devices, account, members, i, need_a, setpoint_a, search, budget)
            if search.n_log[0] == 0:
                break
    return budget


@njit(cache=True, nogil=True)
def _missing_a(devices: Devices, i: int, setpoint_a: Int16Array) -> float:
    total_a = 0
    for t in range(devices.start[i], devices.end[i]):
        total_a += setpoint_a[i, t]
    missing_a: float = devices.serveable_kwh[i] / (devices.unit_kw[i] * devices.step_h) - total_a
    return missing_a


@njit(cache=True, nogil=True)
def _open_any(
    devices: Devices,
    account: Account,
    members: IntArray,
    i: int,
    need_a: float,
    setpoint_a: Int16Array,
    search: _Search,
    budget: int,
) -> int:
    """Start the session in a period with too little room for its minimum, others stepping aside; most room first."""
    place, unit_kw = devices.place[i], devices.unit_kw[i]
    rooms = np.full(setpoint_a.shape[1], -1.0)
    for t in range(devices.start[i], devices.end[i]):
        if setpoint_a[i, t] == 0:
            rooms[t] = room_kw(account, place, t)
    while budget > 0:
        t = int(np.argmax(rooms))
        if rooms[t] < unit_kw - EPS_KW:
            return budget
        rooms[t] = -1.0
        search.n_log[0] = 0
        spent_gbp, n_lowered = 0.0, 0
        while budget > 0 and room_kw(account, place, t) < unit_kw * devices.least_a[i] - EPS_KW:
            budget -= _search_from(devices, members, i, t, setpoint_a, search)
            goal = _cheapest_goal(devices, account, i, t, search)
            own = _own_goal(devices, i, setpoint_a, search)
            if search.n_log[0] + 2 * len(rooms) + 1 > len(search.log) or (goal < 0 and own < 0):
                break
            if own >= 0 and (goal < 0 or n_lowered < devices.least_a[i] - math.ceil(need_a - EPS_A)):
                goal = own
                n_lowered += 1
                _log(devices, account, search, i, own, -1, setpoint_a)
            spent_gbp += search.price[goal]
            _walk_back(devices, account, search, goal, False, setpoint_a)
        gained_a = min(need_a, devices.least_a[i] - n_lowered)
        if room_kw(account, place, t) >= unit_kw * devices.least_a[i] - EPS_KW and gained_a > EPS_A:
            spent_gbp += gained_a * devices.price_gbp_per_kwh[devices.tariff[i], t]
            before = soft_cost(account, place, t)
            book(account, place, t, devices.least_a[i] * unit_kw)
            spent_gbp += (soft_cost(account, place, t) - before) / unit_kw
            if spent_gbp < gained_a * devices.unserved_gbp_per_kwh[i]:
                setpoint_a[i, t] = devices.least_a[i]
                surplus_a = devices.least_a[i] - n_lowered - math.ceil(need_a - EPS_A)
                trim(devices, account, i, setpoint_a[i], surplus_a)
                search.n_log[0] = 1
                return budget
            book(account, place, t, -devices.least_a[i] * unit_kw)
        _take_back(devices, account, search, setpoint_a)
    return budget


@njit(cache=True, nogil=True)
def _take_back(devices: Devices, account: Account, search: _Search, setpoint_a: Int16Array) -> None:
    """Undo every move on the log."""
    for at in range(search.n_log[0]):
        m, t, added_a = search.log[at]
        setpoint_a[m, t] -= added_a
        book(account, devices.place[m], t, -added_a * devices.unit_kw[m])
    search.n_log[0] = 0


@njit(cache=True, nogil=True)
def _search_from(
    devices: Devices, members: IntArray, first: int, from_period: int, setpoint_a: Int16Array, search: _Search
) -> int:
    """Search from the periods ``first`` can be raised in, or from one period load is to leave; returns the visits."""
    search.via[:] = _NOBODY
    tail = 0
    if from_period != _NOBODY:
        search.via[from_period], search.before[from_period], search.price[from_period] = first, _NOBODY, 0.0
        search.queue[0], tail = from_period, 1
    else:
        for t in range(devices.start[first], devices.end[first]):
            if devices.least_a[first] <= setpoint_a[first, t] < devices.most_a[first]:
                search.via[t], search.before[t] = first, _NOBODY
                search.price[t] = devices.price_gbp_per_kwh[devices.tariff[first], t]
                search.queue[tail] = t
                tail += 1
    head, visits = 0, 1
    while head < tail:
        u = search.queue[head]
        head += 1
        for m in members:
            visits += 1
            if setpoint_a[m, u] <= devices.least_a[m]:
                continue
            tariff = devices.price_gbp_per_kwh[devices.tariff[m]]
            for t in range(devices.start[m], devices.end[m]):
                if search.via[t] == _NOBODY and devices.least_a[m] <= setpoint_a[m, t] < devices.most_a[m]:
                    search.via[t], search.before[t] = m, u
                    search.price[t] = search.price[u] + tariff[t] - tariff[u]
                    search.queue[tail] = t
                    tail += 1
    return visits


@njit(cache=True, nogil=True)
def _cheapest_goal(devices: Devices, account: Account, i: int, left_out: int, search: _Search) -> int:
    """The period with room for one ampere that the search reached at least cost, requests and ramps weighed; or -1.

    What they cost there is added to the period's price.
    """
    place, unit_kw = devices.place[i], devices.unit_kw[i]
    goal = -1
    for t in range(len(search.via)):
        if search.via[t] == _NOBODY or t == left_out or room_kw(account, place, t) < unit_kw - EPS_KW:
            continue
        if account.is_soft[place]:
            before = soft_cost(account, place, t)
            book(account, place, t, unit_kw)
            search.price[t] += (soft_cost(account, place, t) - before) / unit_kw
            book(account, place, t, -unit_kw)
        if goal < 0 or search.price[t] < search.price[goal]:
            goal = t
    return goal


@njit(cache=True, nogil=True)
def _own_goal(devices: Devices, i: int, setpoint_a: Int16Array, search: _Search) -> int:
    """The cheapest period the search reached in which the session itself can give an ampere up; or -1."""
    goal = -1
    for t in range(devices.start[i], devices.end[i]):
        reached = search.via[t] != _NOBODY and search.before[t] != _NOBODY
        if reached and setpoint_a[i, t] > devices.least_a[i] and (goal < 0 or search.price[t] < search.price[goal]):
            goal = t
    return goal


@njit(cache=True, nogil=True)
def _walk_back(
    devices: Devices, account: Account, search: _Search, goal: int, is_new: bool, setpoint_a: Int16Array
) -> None:
    """Move one ampere along the chain that ends at ``goal``; one more where it begins if ``is_new``."""
    t = goal
    while t != _NOBODY:
        m, u = search.via[t], search.before[t]
        if u != _NOBODY or is_new:
            _log(devices, account, search, m, t, 1, setpoint_a)
        if u != _NOBODY:
            _log(devices, account, search, m, u, -1, setpoint_a)
        t = u


@njit(cache=True, nogil=True)
def _log(
    devices: Devices, account: Account, search: _Search, m: int, t: int, added_a: int, setpoint_a: Int16Array
) -> None:
    setpoint_a[m, t] += added_a
    book(account, devices.place[m], t, added_a * devices.unit_kw[m])
    at = search.n_log[0]
    search.log[at, 0], search.log[at, 1], search.log[at, 2] = m, t, added_a
    search.n_log[0] = at + 1
