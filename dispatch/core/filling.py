"""Compiled loops behind ``greedy.py``: cut sessions and places down to their limits, fill sessions one by one.

A plan stays safe after every single change made here: power is only taken, or added where there is room.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from aggregator.core.types import BoolArray, Float32Array, FloatArray, IntArray
from dispatch.core.leaf import leaf
from dispatch.core.problem import TURN_DOWN, DispatchProblem
from dispatch.core.rounding_account import Account
from dispatch.core.tree import Tree

# Two steps of float32: what stands closer to a target than that has met it.
_RESOLUTION = 2.0**-22
_EPS_KW = 1e-9
# Room below this is not worth a look: it is what storing power left over.
_LEAST_KW = 1e-6


class Fleet(NamedTuple):
    """Sessions as the loops read them; GBP per kWh.

    Attributes:
        price, cheapest_first: (n_tariff, n_period), and the periods in the order of their price, earliest first.
    """

    start: IntArray
    end: IntArray
    max_kw: FloatArray
    unserved: FloatArray
    tariff: IntArray
    place: IntArray
    price: FloatArray
    cheapest_first: IntArray


def fleet_of(problem: DispatchProblem, tree: Tree) -> Fleet:
    return Fleet(
        start=problem.session_start,
        end=problem.session_end,
        max_kw=problem.session_max_kw,
        unserved=problem.session_unserved_gbp_per_kwh,
        tariff=problem.session_tariff,
        place=tree.session_place,
        price=problem.price_gbp_per_kwh,
        cheapest_first=np.argsort(problem.price_gbp_per_kwh, axis=1, kind="stable"),
    )


@njit(cache=True, nogil=True)
def stored(value: float) -> np.float32:
    """A number as float32 that is not above it, for not negative values."""
    near = np.float32(value)
    return near if np.float64(near) <= value else np.nextafter(near, np.float32(0))


@njit(cache=True, nogil=True)
def served_kw(fleet: Fleet, power_kw: Float32Array, total_kw: FloatArray) -> None:
    """Write (n_session,) sums over each session's window to ``total_kw``."""
    for i in range(len(total_kw)):
        total = 0.0
        for t in range(fleet.start[i], fleet.end[i]):
            total += np.float64(power_kw[i, t])
        total_kw[i] = total


@njit(cache=True, nogil=True)
def cut_sessions(
    fleet: Fleet,
    account: Account,
    wild_kw: FloatArray | Float32Array,
    need_kw: FloatArray,
    power_kw: Float32Array,
    kept_kw: FloatArray,
    place_kw: FloatArray,
) -> None:
    """Keep of any power what the session may draw: its range, its window, its energy. NaN counts as zero.

    Too much energy is taken from the dearest periods; under a request or ramp from all alike, not to break what
    it asks for.

    Args:
        need_kw: (n_session,) serveable energy as power over one period.
        power_kw: (n_session, n_period) zeros, to be written.
        kept_kw: (n_session,) to be written, sums over periods.
        place_kw: (n_place, n_period) zeros, to be added to.
    """
    for i in range(len(need_kw)):
        row, total, place = power_kw[i], 0.0, fleet.place[i]
        for t in range(fleet.start[i], fleet.end[i]):
            if wild_kw[i, t] > 0:
                row[t] = stored(min(np.float64(wild_kw[i, t]), fleet.max_kw[i]))
                total += np.float64(row[t])
        if total > need_kw[i]:
            if account.is_soft[place]:
                total = _scale(fleet, i, row, need_kw[i] / total)
            else:
                total = _drop_dearest(fleet, i, row, total, need_kw[i])
        kept_kw[i] = total
        sums = place_kw[place]
        for t in range(fleet.start[i], fleet.end[i]):
            sums[t] += np.float64(row[t])


@njit(cache=True, nogil=True)
def _scale(fleet: Fleet, i: int, row: Float32Array, factor: float) -> float:
    total = 0.0
    for t in range(fleet.start[i], fleet.end[i]):
        row[t] = stored(np.float64(row[t]) * factor)
        total += np.float64(row[t])
    return total


@njit(cache=True, nogil=True)
def _drop_dearest(fleet: Fleet, i: int, row: Float32Array, total: float, need_kw: float) -> float:
    order = fleet.cheapest_first[fleet.tariff[i]]
    for t in order[::-1]:
        if total <= need_kw:
            break
        if fleet.start[i] <= t < fleet.end[i] and row[t] > 0:
            before = np.float64(row[t])
            row[t] = stored(max(before - (total - need_kw), 0.0))
            total -= before - np.float64(row[t])
    return total


@njit(cache=True, nogil=True)
def least_parts(account: Account, part: FloatArray, factor: FloatArray) -> None:
    """Lower (n_place, n_period) ``factor`` to the least ``part`` (n_node, n_period) of any node the place loads."""
    for place in range(factor.shape[0]):
        row = factor[place]
        for at in range(account.begin[place], account.begin[place + 1]):
            node = part[account.node[at]]
            for t in range(len(row)):
                row[t] = min(row[t], node[t])


@njit(cache=True, nogil=True)
def cut_places(fleet: Fleet, factor: FloatArray, power_kw: Float32Array, place_kw: FloatArray) -> None:
    """Scale each session by (n_place, n_period) ``factor`` where it is below 1; add what is left to ``place_kw``."""
    for i in range(power_kw.shape[0]):
        row, part, sums = power_kw[i], factor[fleet.place[i]], place_kw[fleet.place[i]]
        for t in range(fleet.start[i], fleet.end[i]):
            if part[t] < 1.0 and row[t] > 0:
                row[t] = stored(np.float64(row[t]) * part[t])
            sums[t] += np.float64(row[t])


@njit(cache=True, nogil=True)
def fill_sessions(
    fleet: Fleet,
    account: Account,
    wanted_kw: FloatArray,
    order: IntArray,
    power_kw: Float32Array,
    is_full: BoolArray,
) -> None:
    """Raise sessions, in the order given, towards (n_session,) ``wanted_kw`` (energy as power over one period).

    Args:
        is_full: (n_place, n_period), kept between calls. While power is only added, what is full stays full.
    """
    # Fields are read once: numba counts a reference for each reading, and that took longer than the filling.
    starts, ends, places, max_kw, unserved = fleet.start, fleet.end, fleet.place, fleet.max_kw, fleet.unserved
    tariffs, prices, cheapest_first = fleet.tariff, fleet.price, fleet.cheapest_first
    begin, node, share, cap_kw, load_kw = account.begin, account.node, account.share, account.cap_kw, account.load_kw
    is_soft = account.is_soft
    for k in range(len(order)):
        i = order[k]
        need_kw, place, tariff = wanted_kw[i], places[i], tariffs[i]
        for t in range(starts[i], ends[i]):
            need_kw -= np.float64(power_kw[i, t])
        if need_kw > 0 and is_soft[place]:
            _fill_soft(fleet, account, i, need_kw, power_kw, is_full)
            continue
        for rank in range(cheapest_first.shape[1]):
            t = cheapest_first[tariff, rank]
            if need_kw <= 0 or prices[tariff, t] >= unserved[i]:
                break
            if starts[i] <= t < ends[i] and not is_full[place, t] and power_kw[i, t] < max_kw[i]:
                room_kw = _room_kw(begin, node, share, cap_kw, load_kw, place, t, is_full)
                most_kw = min(max_kw[i] - np.float64(power_kw[i, t]), need_kw, room_kw)
                need_kw -= _raise(begin, node, share, load_kw, place, power_kw, i, t, most_kw)


@leaf
def _room_kw(
    begin: IntArray,
    node: IntArray,
    share: FloatArray,
    cap_kw: FloatArray,
    load_kw: FloatArray,
    place: int,
    t: int,
    is_full: BoolArray,
) -> float:
    """kW of the place that every hard cap still lets in; remembers where there is none. Large nodes come first."""
    room = np.inf
    for at in range(begin[place], begin[place + 1]):
        free_kw = cap_kw[node[at], t] - load_kw[node[at], t]
        room = min(room, free_kw if share[at] == 1.0 else free_kw / share[at])
        if room <= _LEAST_KW:
            is_full[place, t] = True
            return 0.0
    return room


@leaf
def _raise(
    begin: IntArray,
    node: IntArray,
    share: FloatArray,
    load_kw: FloatArray,
    place: int,
    power_kw: Float32Array,
    i: int,
    t: int,
    kw: float,
) -> float:
    """Change a session's power by not more than ``kw`` up, or not less than it down, as it can be stored; the kW."""
    before = np.float64(power_kw[i, t])
    after = stored(max(before + kw, 0.0))
    gain = np.float64(after) - before
    if gain != 0.0:
        power_kw[i, t] = after
        for at in range(begin[place], begin[place + 1]):
            load_kw[node[at], t] += share[at] * gain
    return gain


@njit(cache=True, nogil=True)
def _fill_soft(
    fleet: Fleet, account: Account, i: int, need_kw: float, power_kw: Float32Array, is_full: BoolArray
) -> None:
    """Take the cheapest next bit, again and again: its price holds up to a target or a ramp's edge, then changes."""
    start, end, place, max_kw = fleet.start[i], fleet.end[i], fleet.place[i], fleet.max_kw[i]
    begin, node, share, cap_kw, load_kw = account.begin, account.node, account.share, account.cap_kw, account.load_kw
    asked, request, ramp_kw, ramp_price = account.request_begin, account.request, account.ramp_kw, account.ramp_price
    tariff, price, stop_kw = fleet.price[fleet.tariff[i]], np.full(end - start, np.inf), np.zeros(end - start)
    met_kw = _EPS_KW + _RESOLUTION * max_kw
    for t in range(start, end):
        if is_full[place, t] or power_kw[i, t] >= max_kw:
            continue
        if _room_kw(begin, node, share, cap_kw, load_kw, place, t, is_full) > 0:
            price[t - start], stop_kw[t - start] = _offer(
                tariff[t], place, t, met_kw, begin, node, share, load_kw, asked, request, ramp_kw, ramp_price
            )
    # Each step fills a period up or passes an edge; neighbours under a tight ramp can pass many, so there is an end.
    for _ in range(2 * (end - start) + 8):
        t = start + np.argmin(price)
        if need_kw <= met_kw or price[t - start] >= fleet.unserved[i]:
            break
        room_kw = _room_kw(begin, node, share, cap_kw, load_kw, place, t, is_full)
        most_kw = min(max_kw - np.float64(power_kw[i, t]), need_kw, room_kw, stop_kw[t - start])
        gain = _raise(begin, node, share, load_kw, place, power_kw, i, t, most_kw)
        need_kw -= gain
        if gain <= 0:
            price[t - start] = np.inf
            continue
        for near in range(max(t - 1, start), min(t + 2, end)):
            if price[near - start] < np.inf:
                price[near - start], stop_kw[near - start] = _offer(
                    tariff[near], place, near, met_kw, begin, node, share, load_kw, asked, request, ramp_kw, ramp_price
                )


@leaf
def _offer(
    tariff: float,
    place: int,
    t: int,
    met_kw: float,
    begin: IntArray,
    nodes: IntArray,
    shares: FloatArray,
    load_kw: FloatArray,
    asked: IntArray,
    request: FloatArray,
    ramp_kw: FloatArray,
    ramp_price: float,
) -> tuple[float, float]:
    """What one more kWh costs the session in the period, its tariff included, and for how many kW that holds."""
    total, stop = tariff, np.inf
    for at in range(begin[place], begin[place + 1]):
        node, share = nodes[at], shares[at]
        for index in range(asked[node], asked[node + 1]):
            if request[index, 0] <= t < request[index, 1]:
                direction, under_kw = request[index, 2], request[index, 3] - load_kw[node, t]
                if under_kw > met_kw:
                    stop = min(stop, under_kw / share)
                # Short of a turn-up more power pays; over a turn-down it is charged.
                if (under_kw > met_kw) != (direction == TURN_DOWN):
                    total -= direction * share * request[index, 4]
        free_kw = ramp_kw[node]
        if free_kw < np.inf:
            for other in (t - 1, t + 1):
                if 0 <= other < load_kw.shape[1]:
                    above_kw = load_kw[node, t] - load_kw[node, other]
                    slope = 1.0 if above_kw >= free_kw - met_kw else -1.0 if -above_kw > free_kw + met_kw else 0.0
                    total += slope * share * ramp_price
                    if slope < 1.0:
                        stop = min(stop, ((free_kw if slope == 0.0 else -free_kw) - above_kw) / share)
    return total, stop


@njit(cache=True, nogil=True)
def move_to_cheaper(
    fleet: Fleet, account: Account, order: IntArray, power_kw: Float32Array, is_full: BoolArray
) -> None:
    """Move power of the sessions of ``order`` from dearer to cheaper periods with room; energies stay, but for storage.

    From both ends of the tariff's order at once, until they meet. Sessions under a request or ramp are left alone.

    Args:
        is_full: (n_place, n_period), kept between calls; what moving away makes room for is not looked at again.
    """
    starts, ends, places, max_kw, unserved = fleet.start, fleet.end, fleet.place, fleet.max_kw, fleet.unserved
    tariffs, prices, cheapest_first = fleet.tariff, fleet.price, fleet.cheapest_first
    begin, node, share, cap_kw, load_kw = account.begin, account.node, account.share, account.cap_kw, account.load_kw
    is_soft = account.is_soft
    for i in order:
        place, tariff = places[i], tariffs[i]
        # Storing the lower of the two powers may drop a last digit of energy: a move has to earn more than that.
        dust_gbp = _RESOLUTION * max_kw[i] * unserved[i]
        a, b = 0, -1 if is_soft[place] else cheapest_first.shape[1] - 1
        while a < b:
            to, of = cheapest_first[tariff, a], cheapest_first[tariff, b]
            if not (starts[i] <= of < ends[i] and power_kw[i, of] > 0):
                b -= 1
            elif not (starts[i] <= to < ends[i] and not is_full[place, to] and power_kw[i, to] < max_kw[i]):
                a += 1
            else:
                room_kw = _room_kw(begin, node, share, cap_kw, load_kw, place, to, is_full)
                most_kw = min(max_kw[i] - np.float64(power_kw[i, to]), np.float64(power_kw[i, of]), room_kw)
                if most_kw * (prices[tariff, of] - prices[tariff, to]) <= dust_gbp:
                    a += 1
                    continue
                gain = _raise(begin, node, share, load_kw, place, power_kw, i, to, most_kw)
                _raise(begin, node, share, load_kw, place, power_kw, i, of, -gain)
                if power_kw[i, of] > 0:
                    a += 1
