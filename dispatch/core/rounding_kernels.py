"""Compiled loops of the rounding: down, give back, move to cheaper periods, and price what is drawn.

Currents are int16 amperes per phase in (n_session, n_period) ``setpoint_a``, changed in place; every loop leaves all
hard caps of the account kept, so stopping between two calls is safe.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from aggregator.core.types import Float32Array, FloatArray, Int16Array, IntArray
from dispatch.core.rounding_account import (
    EPS_KW,
    Account,
    add_load,
    book,
    free_kw,
    soft_cost,
    soft_offer,
    soft_relief,
)

EPS_A = 1e-6
_EPS_GBP = 1e-9
# A session's power sits in a handful of periods; after as many moves there is nothing worth moving.
_MOST_MOVES = 8
_NEW_GBP = 1e9


class Devices(NamedTuple):
    """What a loop needs of each session, (n_session,) each, and the tariffs' (n_tariff, n_period) prices."""

    place: IntArray
    start: IntArray
    end: IntArray
    least_a: Int16Array
    most_a: Int16Array
    unit_kw: FloatArray
    serveable_kwh: FloatArray
    unserved_gbp_per_kwh: FloatArray
    tariff: IntArray
    price_gbp_per_kwh: FloatArray
    step_h: float


@njit(cache=True, nogil=True)
def round_down(
    devices: Devices, power_kw: Float32Array, setpoint_a: Int16Array, planned_a: FloatArray, place_kw: FloatArray
) -> None:
    """Floor to whole amperes, 0 under the minimum; adds up each session's plan in ampere-periods and each place."""
    for i in range(len(devices.place)):
        unit_kw, total_kw = devices.unit_kw[i], 0.0
        least, most, row = devices.least_a[i], devices.most_a[i], place_kw[devices.place[i]]
        for t in range(devices.start[i], devices.end[i]):
            total_kw += power_kw[i, t]
            amperes = min(math.floor(power_kw[i, t] / unit_kw), most)
            if amperes >= least:
                setpoint_a[i, t] = amperes
                row[t] += amperes * unit_kw
        planned_a[i] = min(total_kw, devices.serveable_kwh[i] / devices.step_h) / unit_kw


@njit(cache=True, nogil=True)
def give_back(  # noqa: C901 - split into calls it takes twice as long
    devices: Devices, account: Account, order: IntArray, wanted_a: FloatArray, is_last: bool, setpoint_a: Int16Array
) -> None:
    """Raise each session of ``order`` towards its wanted ampere-periods.

    Where a request waits or it charges anyway before new periods, cheapest first. Whole amperes it can use in full,
    so that nobody's last one takes room from another's; in the last round the one that completes the energy, too.
    """
    n_period = setpoint_a.shape[1]
    key, beside, stop_kw = np.empty(n_period), np.zeros(n_period), np.full(n_period, np.inf)
    own = np.empty(n_period, dtype=np.int64)
    # Handing a bundle of arrays to a call costs more than the work on one session does: take it apart once.
    place_of, starts, ends, least, most = devices.place, devices.start, devices.end, devices.least_a, devices.most_a
    unit, dearest, tariff_of, prices = (
        devices.unit_kw,
        devices.unserved_gbp_per_kwh,
        devices.tariff,
        devices.price_gbp_per_kwh,
    )
    load_kw, cap_kw, begin, node, share = account.load_kw, account.cap_kw, account.begin, account.node, account.share
    is_soft = account.is_soft
    for i in order:
        start, end, least_a, most_a, place = starts[i], ends[i], int(least[i]), int(most[i]), place_of[i]
        total_a, n_own = 0, 0
        for t in range(start, end):
            total_a += setpoint_a[i, t]
        need_a = whole(wanted_a[i] - total_a, is_last)
        if need_a <= 0 or most_a == 0:
            continue
        for t in range(start, end):
            if setpoint_a[i, t] > 0:
                own[n_own] = t
                n_own += 1
        soft, price = is_soft[place], prices[tariff_of[i]]
        while need_a > 0 and n_own > 0 and not soft:
            t = _take_cheapest(price, own, n_own)
            n_own -= 1
            now_a = int(setpoint_a[i, t])
            if now_a < most_a and price[t] < dearest[i]:
                room = free_kw(cap_kw, load_kw, begin, node, share, place, t)
                added_a = fitting(now_a, need_a, least_a, most_a, room, unit[i])
                if added_a > 0:
                    setpoint_a[i, t] += added_a
                    add_load(load_kw, begin, node, share, place, t, added_a * unit[i])
                    need_a -= added_a
        starts_anew = is_last or need_a >= least_a
        if need_a <= 0 or not (soft or starts_anew):
            continue
        if soft:
            _weigh(devices, account, i, beside, stop_kw)
        for t in range(start, end):
            now_a, now_gbp = setpoint_a[i, t], price[t] + (beside[t] if soft else 0.0)
            is_new = now_a == 0
            if now_a == most_a or now_gbp >= dearest[i] or (is_new and not starts_anew) or not (is_new or soft):
                key[t] = np.inf
            else:
                key[t] = now_gbp + (_NEW_GBP if is_new and not (soft and beside[t] < 0.0) else 0.0)
        while need_a > 0:
            t = _first(key, start, end)
            if t < 0:
                break
            key[t] = np.inf
            now_a = int(setpoint_a[i, t])
            if now_a == 0 and need_a < least_a and not is_last:
                continue
            room = free_kw(cap_kw, load_kw, begin, node, share, place, t)
            if soft:
                room = min(room, stop_kw[t])
            added_a = fitting(now_a, need_a, least_a, most_a, room, unit[i])
            if added_a > 0:
                setpoint_a[i, t] += added_a
                add_load(load_kw, begin, node, share, place, t, added_a * unit[i])
                need_a -= added_a
        if need_a < 0:
            trim(devices, account, i, setpoint_a[i], -need_a)


@njit(cache=True, nogil=True)
def whole(need_a: float, is_last: bool) -> int:
    """Whole amperes: those used in full, or with the one that completes the energy."""
    return math.ceil(need_a - EPS_A) if is_last else math.floor(need_a + EPS_A)


@njit(cache=True, nogil=True)
def fitting(now_a: int, need_a: int, least_a: int, most_a: int, room: float, unit_kw: float) -> int:
    """Amperes to add to what there is: what fits, at least the minimum from zero; 0 where that doesn't fit."""
    added_a = min(max(need_a, least_a) if now_a == 0 else need_a, most_a - now_a)
    if room + EPS_KW < added_a * unit_kw:
        added_a = math.floor((room + EPS_KW) / unit_kw)
    return added_a if added_a > 0 and now_a + added_a >= least_a else 0


@njit(cache=True, nogil=True)
def _take_cheapest(price: FloatArray, own: IntArray, n_own: int) -> int:
    """The cheapest of the first ``n_own`` periods, the earliest of equals, taken out of them."""
    cheapest = 0
    for at in range(1, n_own):
        if price[own[at]] < price[own[cheapest]]:
            cheapest = at
    taken = own[cheapest]
    for at in range(cheapest, n_own - 1):
        own[at] = own[at + 1]
    return int(taken)


@njit(cache=True, nogil=True)
def _first(key: FloatArray, start: int, end: int) -> int:
    """The period of the least finite key, or -1."""
    first, least = -1, np.inf
    for t in range(start, end):
        if key[t] < least:
            first, least = t, key[t]
    return first


@njit(cache=True, nogil=True)
def _weigh(devices: Devices, account: Account, i: int, beside: FloatArray, stop_kw: FloatArray) -> None:
    """What requests and ramps add to the price of the session's periods, and how far that goes."""
    place, unit_kw = devices.place[i], devices.unit_kw[i]
    for t in range(devices.start[i], devices.end[i]):
        beside[t], stop_kw[t] = soft_offer(account, place, t, unit_kw, unit_kw * devices.least_a[i])


@njit(cache=True, nogil=True)
def trim(devices: Devices, account: Account, i: int, row: Int16Array, surplus_a: int) -> None:
    """Take whole amperes nobody will draw from the dearest periods: starting anew takes the minimum, needed or not."""
    price = devices.price_gbp_per_kwh[devices.tariff[i]]
    while surplus_a > 0:
        dearest = -1
        for t in range(devices.start[i], devices.end[i]):
            if row[t] > devices.least_a[i] and (dearest < 0 or price[t] > price[dearest]):
                dearest = t
        if dearest < 0:
            return
        taken_a = min(surplus_a, row[dearest] - devices.least_a[i])
        row[dearest] -= taken_a
        book(account, devices.place[i], dearest, -taken_a * devices.unit_kw[i])
        surplus_a -= taken_a


@njit(cache=True, nogil=True)
def move_to_cheaper(devices: Devices, account: Account, order: IntArray, setpoint_a: Int16Array) -> None:
    """Move each session's whole amperes from its dearest period to its cheapest with room, while that pays."""
    for i in order:
        for _ in range(_MOST_MOVES):
            if devices.most_a[i] == 0 or not _move(devices, account, i, setpoint_a[i]):
                break


@njit(cache=True, nogil=True)
def _move(devices: Devices, account: Account, i: int, row: Int16Array) -> bool:
    place, unit_kw, start, end = devices.place[i], devices.unit_kw[i], devices.start[i], devices.end[i]
    least_a, most_a, tariff = devices.least_a[i], devices.most_a[i], devices.price_gbp_per_kwh[devices.tariff[i]]
    load_kw, cap_kw, begin, node, share = account.load_kw, account.cap_kw, account.begin, account.node, account.share
    is_soft, dearest, saved = account.is_soft[place], -1, -np.inf
    for t in range(start, end):
        if row[t] > 0:
            price = tariff[t] + (soft_relief(account, place, t) if is_soft else 0.0)
            if price > saved:
                dearest, saved = t, price
    cheapest, best, moved_a = -1, saved - _EPS_GBP, 0
    for t in range(start, end):
        if dearest < 0 or t == dearest or row[t] == most_a or (tariff[t] >= best and not is_soft):
            continue
        beside, room = 0.0, free_kw(cap_kw, load_kw, begin, node, share, place, t)
        if is_soft and room >= unit_kw:
            beside, stop_kw = soft_offer(account, place, t, unit_kw, unit_kw * least_a)
            room = min(room, stop_kw)
        if room + EPS_KW >= unit_kw and tariff[t] + beside < best:
            room_a = math.floor(min((room + EPS_KW) / unit_kw, most_a - row[t]))
            amperes = _movable(row[dearest], row[t], room_a, least_a)
            if amperes > 0:
                cheapest, best, moved_a = t, tariff[t] + beside, amperes
    return cheapest >= 0 and _try_move(account, place, dearest, cheapest, moved_a, unit_kw, tariff, row)


@njit(cache=True, nogil=True)
def _movable(from_a: int, to_a: int, room_a: int, least_a: int) -> int:
    """Amperes that can go over so that both periods end at 0 or at least the minimum."""
    if room_a >= from_a and to_a + from_a >= least_a:
        return from_a
    amperes = min(room_a, from_a - least_a)
    return amperes if amperes > 0 and to_a + amperes >= least_a else 0


@njit(cache=True, nogil=True)
def _try_move(
    account: Account,
    place: int,
    source: int,
    target: int,
    amperes: int,
    unit_kw: float,
    tariff: FloatArray,
    row: Int16Array,
) -> bool:
    """Move and keep it if requests and ramps, weighed exactly, leave a gain."""
    gain = amperes * unit_kw * (tariff[source] - tariff[target])
    if account.is_soft[place]:
        before = soft_cost(account, place, source)
        book(account, place, source, -amperes * unit_kw)
        gain += before - soft_cost(account, place, source)
        before = soft_cost(account, place, target)
        book(account, place, target, amperes * unit_kw)
        gain += before - soft_cost(account, place, target)
        if gain <= _EPS_GBP:
            book(account, place, source, amperes * unit_kw)
            book(account, place, target, -amperes * unit_kw)
            return False
    else:
        book(account, place, source, -amperes * unit_kw)
        book(account, place, target, amperes * unit_kw)
    row[source] -= amperes
    row[target] += amperes
    return True


@njit(cache=True, nogil=True)
def draw(devices: Devices, setpoint_a: Int16Array, unserved_kwh: FloatArray, place_kw: FloatArray) -> float:
    """Charge every EV under its ceilings until it has its energy; fills both outputs, returns GBP of energy."""
    energy_gbp = 0.0
    for i in range(len(devices.place)):
        left_kwh = devices.serveable_kwh[i]
        unit_kwh = devices.step_h * devices.unit_kw[i]
        tariff, row = devices.price_gbp_per_kwh[devices.tariff[i]], place_kw[devices.place[i]]
        own_gbp = 0.0
        for t in range(devices.start[i], devices.end[i]):
            if setpoint_a[i, t] == 0 or left_kwh <= 0.0:
                continue
            taken_kwh = min(left_kwh, setpoint_a[i, t] * unit_kwh)
            left_kwh -= taken_kwh
            own_gbp += tariff[t] * taken_kwh
            row[t] += taken_kwh / devices.step_h
        unserved_kwh[i] = left_kwh
        energy_gbp += own_gbp
    return energy_gbp
