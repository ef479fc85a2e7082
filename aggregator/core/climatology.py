"""Climatology of plug-ins: what like days in the record of each EVSE, its group and everyone looked like."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.intervals import split_by_period
from aggregator.core.local_clock import N_CLOCK_PERIOD, ChargingDays
from aggregator.core.sessions import SessionHistory
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray

LEVEL_OWN, LEVEL_GROUP, LEVEL_ALL, LEVEL_NONE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class DayVisits:
    """One visit per EVSE and charging day: the longest stay, and the energy of all stays of that day.

    Attributes:
        evse, day: (n_visit,) indices.
        in_h, out_h: (n_visit,) London clock hours past noon, 0 to 24, cut at the end of the charging day.
        energy_kwh: (n_visit,).
    """

    evse: IntArray
    day: IntArray
    in_h: FloatArray
    out_h: FloatArray
    energy_kwh: FloatArray


@dataclass(frozen=True, slots=True)
class VisitQuantiles:
    """Quantiles of visits per EVSE.

    Attributes:
        in_h, out_h, energy_kwh: (n_evse, n_quantile), NaN at LEVEL_NONE.
        level: (n_evse,) whose visits they were taken from.
    """

    in_h: FloatArray
    out_h: FloatArray
    energy_kwh: FloatArray
    level: IntArray


def day_visits(history: SessionHistory, days: ChargingDays) -> DayVisits:
    """Sum sessions up to one visit per EVSE and charging day; sessions outside ``days`` are left out.

    A session belongs to the charging day of its plug-in. The longest stay is taken for the window because it is the
    night's; the energy of a short stay earlier that day is still needed when that stay was not used.
    """
    day = days.index_of(history.plug_in_at)
    inside = np.flatnonzero((day >= 0) & (day < days.n_day))
    evse, day = history.evse[inside], day[inside]
    in_h = days.clock_h(history.plug_in_at[inside], day)
    # In the repeated hour the clock may read earlier at plug-out than at plug-in.
    out_h = np.maximum(days.clock_h(history.plug_out_at[inside], day), in_h)
    order = np.lexsort((in_h, in_h - out_h, day, evse))
    key = evse[order] * days.n_day + day[order]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = np.diff(key) != 0
    longest = order[is_first]
    energy_kwh = np.zeros(len(longest))
    np.add.at(energy_kwh, np.cumsum(is_first) - 1, history.energy_kwh[inside][order])
    return DayVisits(evse[longest], day[longest], in_h[longest], out_h[longest], energy_kwh)


def grouped_quantiles(values: FloatArray, key: IntArray, n_key: int, quantiles: FloatArray) -> FloatArray:
    """Linear quantiles per key.

    Args:
        values: (n,) finite.
        key: (n,) 0 to n_key - 1.

    Returns:
        (n_key, n_quantile), NaN for a key without values; elsewhere as ``numpy.quantile`` gives.
    """
    ordered = values[np.lexsort((values, key))]
    count = np.bincount(key, minlength=n_key)
    first = np.cumsum(count) - count
    position = quantiles * np.maximum(count - 1, 0)[:, np.newaxis]
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0)[:, np.newaxis])
    if len(ordered) == 0:
        return np.full((n_key, len(quantiles)), np.nan)
    last = len(ordered) - 1
    low = ordered[np.minimum(first[:, np.newaxis] + below, last)]
    high = ordered[np.minimum(first[:, np.newaxis] + above, last)]
    found = low + (high - low) * (position - below)
    return np.where(count[:, np.newaxis] > 0, found, np.nan)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the days of one type.

    Attributes:
        visits: on days observed.
        groups: (n_evse,) group of each EVSE, 0 to n_group - 1.
        observed: (n_evse, n_day) the EVSE could be seen, and the day is of the type asked for.
        stays: (n_evse, 48) half-hours plugged in, summed over days, by clock period past noon.
        group_share: (n_day, n_group, 48) share of the group's observed EVSEs plugged in, NaN where none was observed.
    """

    visits: DayVisits
    groups: IntArray
    n_group: int
    observed: BoolArray
    stays: FloatArray
    group_share: FloatArray

    @classmethod
    def gather(
        cls,
        known: SessionHistory,
        days: ChargingDays,
        is_like: BoolArray,
        groups: IntArray,
        observed_from: TimeArray | None,
    ) -> "Record":
        """Collect the visits on the days chosen by ``is_like`` (n_day,), from an EVSE's first day on."""
        n_group = int(groups.max(initial=-1)) + 1
        first_day = _first_day(known, days) if observed_from is None else _day_index(observed_from, days)
        observed = (np.arange(days.n_day) >= first_day[:, np.newaxis]) & is_like
        on_observed_day = days.index_of(known.plug_in_at)
        inside = (on_observed_day >= 0) & (on_observed_day < days.n_day)
        inside[inside] = observed[known.evse[inside], on_observed_day[inside]]
        chosen = known.select(inside)
        stays, by_group = _presence(chosen, days, groups, n_group)
        n_seen = np.zeros((days.n_day, n_group))
        np.add.at(n_seen.T, groups, observed.astype(np.float64))
        share = by_group / np.where(n_seen > 0, n_seen, np.nan)[:, :, np.newaxis]
        return cls(day_visits(chosen, days), groups, n_group, observed, stays, share)

    def probability(self, prior_days: float) -> FloatArray:
        """(n_evse,) days plugged in over days observed, drawn towards the group's share and that to everyone's."""
        visits = np.bincount(self.visits.evse, minlength=len(self.groups)).astype(np.float64)
        return self._shrink(visits[:, np.newaxis], prior_days)[:, 0]

    def presence(self, prior_days: float) -> FloatArray:
        """(n_evse, 48) expected share of each clock period plugged in, drawn the same way."""
        # Sessions that overlap at one EVSE are one vehicle twice over.
        presence: FloatArray = np.minimum(self._shrink(self.stays, prior_days), 1.0)
        return presence

    def _shrink(self, total: FloatArray, prior_days: float) -> FloatArray:
        n_seen = self.observed.sum(axis=1).astype(np.float64)[:, np.newaxis]
        everyone = total.sum(axis=0) / max(1.0, n_seen.sum())
        group_total = np.zeros((self.n_group, total.shape[1]))
        group_seen = np.zeros((self.n_group, 1))
        np.add.at(group_total, self.groups, total)
        np.add.at(group_seen, self.groups, n_seen)
        group = (group_total + prior_days * everyone) / (group_seen + prior_days)
        shrunk: FloatArray = (total + prior_days * group[self.groups]) / (n_seen + prior_days)
        return shrunk

    def quantiles(self, asked: FloatArray, min_visits: int) -> VisitQuantiles:
        """Quantiles of an EVSE's own visits where there are ``min_visits``, else of its group's, else of everyone's."""
        keys = (self.visits.evse, self.groups[self.visits.evse], np.zeros_like(self.visits.evse))
        sizes = (len(self.groups), self.n_group, 1)
        to_key = (np.arange(len(self.groups)), self.groups, np.zeros_like(self.groups))
        enough = (min_visits, min_visits, 1)
        level = np.full(len(self.groups), LEVEL_NONE, dtype=np.int64)
        found = np.full((3, len(self.groups), len(asked)), np.nan)
        for rung in (LEVEL_ALL, LEVEL_GROUP, LEVEL_OWN):
            count = np.bincount(keys[rung], minlength=sizes[rung])[to_key[rung]]
            usable = count >= enough[rung]
            level[usable] = rung
            for row, values in enumerate((self.visits.in_h, self.visits.out_h, self.visits.energy_kwh)):
                at_key = grouped_quantiles(values, keys[rung], sizes[rung], asked)[to_key[rung]]
                found[row, usable] = at_key[usable]
        return VisitQuantiles(found[0], found[1], found[2], level)

    def counts(self, asked: FloatArray) -> FloatArray:
        """(n_group, n_quantile, 48) vehicles plugged in: the share of those observed, day by day, times the group."""
        size = np.bincount(self.groups, minlength=self.n_group).astype(np.float64)
        counts = np.zeros((self.n_group, len(asked), N_CLOCK_PERIOD))
        for group in range(self.n_group):
            share = self.group_share[:, group]
            share = share[np.isfinite(share[:, 0])]
            if len(share):
                counts[group] = np.quantile(np.minimum(share, 1.0), asked, axis=0) * size[group]
        return counts


def _first_day(known: SessionHistory, days: ChargingDays) -> IntArray:
    """(n_evse,) index of the first charging day an EVSE was seen on; n_day for one never seen."""
    index = np.full(len(known.evse_ids), days.n_day, dtype=np.int64)
    np.minimum.at(index, known.evse, np.maximum(days.index_of(known.plug_in_at), 0))
    return index


def _day_index(observed_from: TimeArray, days: ChargingDays) -> IntArray:
    index: IntArray = (observed_from.astype("datetime64[D]") - np.datetime64(days.first_day, "D")).astype(np.int64)
    return index


def _presence(
    chosen: SessionHistory, days: ChargingDays, groups: IntArray, n_group: int
) -> tuple[FloatArray, FloatArray]:
    """Half-hours plugged in by clock period past noon: per EVSE over all days, and per day and group."""
    day = days.index_of(chosen.plug_in_at)
    in_h = days.clock_h(chosen.plug_in_at, day)
    pieces = split_by_period(in_h * 2, days.clock_h(chosen.plug_out_at, day) * 2, N_CLOCK_PERIOD)
    evse = chosen.evse[pieces.row]
    stays = np.zeros((len(chosen.evse_ids), N_CLOCK_PERIOD))
    np.add.at(stays, (evse, pieces.period), pieces.share)
    by_group = np.zeros((days.n_day, n_group, N_CLOCK_PERIOD))
    np.add.at(by_group, (day[pieces.row], groups[evse], pieces.period), pieces.share)
    return stays, by_group
