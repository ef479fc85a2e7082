"""What an EV that says nothing is believed to need still, and when to leave: its usual visits, given what it did."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.fleet_state import AWAITED, FleetState
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray


class InvalidBelief(FlexError):
    code = "belief.invalid"


@dataclass(frozen=True, slots=True)
class UsualVisits:
    """How an EVSE's visits are spread.

    Attributes:
        evse_ids: (n_evse,) pseudonyms.
        quantiles: (n_quantile,) rising, between 0 and 1.
        plug_in, plug_out: (n_evse, n_quantile) positions on the charging day's grid, in periods.
        energy_kwh: (n_evse, n_quantile).
        probability: (n_evse,) of plugging in at all that charging day.

    Raises:
        InvalidBelief: shapes differ, or quantiles that don't rise.
    """

    evse_ids: StrArray
    quantiles: FloatArray
    plug_in: FloatArray
    plug_out: FloatArray
    energy_kwh: FloatArray
    probability: FloatArray

    def __post_init__(self) -> None:
        shape = (len(self.evse_ids), len(self.quantiles))
        for name in ("plug_in", "plug_out", "energy_kwh"):
            found = getattr(self, name)
            if found.shape != shape or np.isnan(found).any():
                raise InvalidBelief(f"{name} has shape {found.shape} or holds NaN, expected {shape}", field=name)
        if self.probability.shape != shape[:1]:
            raise InvalidBelief(f"probability has shape {self.probability.shape}, expected {shape[:1]}")
        q = self.quantiles
        if len(q) < 2 or not (q[0] > 0 and q[-1] < 1 and (np.diff(q) > 0).all()):
            raise InvalidBelief(f"quantiles are {q.tolist()}, expected at least two that rise between 0 and 1")


@dataclass(frozen=True, slots=True)
class BeliefRule:
    """How cautious a belief is.

    Attributes:
        energy_quantile: of the energy an EV takes in all, among its visits that took more than it has already.
        leave_quantile: of its departure, among its visits that lasted longer than it has been there.

    Raises:
        InvalidBelief: a quantile outside 0 to 1.
    """

    energy_quantile: float = 0.75
    leave_quantile: float = 0.1

    def __post_init__(self) -> None:
        for name in ("energy_quantile", "leave_quantile"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise InvalidBelief(f"{name} is {value}, expected between 0 and 1", field=name, value=value)


@dataclass(frozen=True, slots=True)
class Need:
    """What each EV is believed to need.

    Attributes:
        end: (n_evse,) period by which it is believed to leave, after the one that starts now.
        energy_kwh: (n_evse,) what it still wants, 0 where it is full or away.
        chance: (n_evse,) that an EV still awaited comes at all today; 1 where one is plugged in.
    """

    end: IntArray
    energy_kwh: FloatArray
    chance: FloatArray


def believe(
    state: FleetState, visits: UsualVisits, *, rated_kw: FloatArray, n_period: int, step_h: float, rule: BeliefRule
) -> Need:
    """Believe what each EV said, else what its visits make likely once what it did already is known.

    An EV that takes more or stays longer than any usual visit is believed to want one more period, again and again:
    it shows by drawing that it isn't full.

    Args:
        visits: of the same EVSEs in the same order.
        rated_kw: (n_evse,).
    """
    if not np.array_equal(state.evse_ids, visits.evse_ids):
        raise InvalidBelief("state and visits must hold the same EVSEs in the same order")
    period_kwh = rated_kw * step_h
    quantiles = visits.quantiles
    in_all_kwh = _quantile_above(visits.energy_kwh, quantiles, state.delivered_kwh, rule.energy_quantile)
    wanted_kwh = np.maximum(in_all_kwh - state.delivered_kwh, np.minimum(period_kwh, 1.0))
    wanted_kwh = np.where(np.isnan(state.declared_kwh), wanted_kwh, state.declared_kwh)
    now = np.full(state.n_evse, float(state.now))
    leaves = _quantile_above(visits.plug_out, quantiles, now, rule.leave_quantile)
    leaves = np.where(np.isnan(state.declared_end), leaves, state.declared_end)
    end = np.clip(np.floor(leaves), state.now + 1, n_period).astype(np.int64)
    wants = state.is_present & ~state.is_full
    return Need(end, np.where(wants, wanted_kwh, 0.0), _chance(state, visits, now))


def _chance(state: FleetState, visits: UsualVisits, now: FloatArray) -> FloatArray:
    """Of coming today, for one that usually comes by now and hasn't: Bayes on the plug-in times."""
    by_now = _share_below(visits.plug_in, visits.quantiles, now)
    late = visits.probability * (1 - by_now)
    chance = np.divide(late, late + 1 - visits.probability, out=np.zeros_like(late), where=late > 0)
    awaited: BoolArray = state.presence == AWAITED
    return np.where(awaited, chance, np.where(state.is_present, 1.0, 0.0))


def _share_below(values: FloatArray, quantiles: FloatArray, at: FloatArray) -> FloatArray:
    """(n,) share of visits below ``at``: straight between quantiles, and beyond them as steep as the nearest piece."""
    edges, shares = _whole(values, quantiles)
    column = np.clip((edges <= at[:, np.newaxis]).sum(axis=1) - 1, 0, len(shares) - 2)
    row = np.arange(len(values))
    low, high = edges[row, column], edges[row, column + 1]
    part = np.divide(at - low, high - low, out=np.ones_like(at), where=high > low)
    below: FloatArray = shares[column] + np.clip(part, 0.0, 1.0) * (shares[column + 1] - shares[column])
    return below


def _quantile_above(values: FloatArray, quantiles: FloatArray, at: FloatArray, level: float) -> FloatArray:
    """(n,) the ``level`` quantile of each row's visits, those up to ``at`` left out; at least ``at``."""
    edges, shares = _whole(values, quantiles)
    below = _share_below(values, quantiles, at)
    share = below + level * (1 - below)
    column = np.clip(np.searchsorted(shares, share, side="right") - 1, 0, len(shares) - 2)
    row = np.arange(len(values))
    low, high = edges[row, column], edges[row, column + 1]
    part = (share - shares[column]) / (shares[column + 1] - shares[column])
    return np.maximum(low + part * (high - low), at)


def _whole(values: FloatArray, quantiles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Quantiles with both ends added, straight on from the pieces beside them, not under zero."""
    first = values[:, 0] - (values[:, 1] - values[:, 0]) * quantiles[0] / (quantiles[1] - quantiles[0])
    last = values[:, -1] + (values[:, -1] - values[:, -2]) * (1 - quantiles[-1]) / (quantiles[-1] - quantiles[-2])
    edges = np.column_stack([np.maximum(first, 0.0), values, last])
    return np.maximum.accumulate(edges, axis=1), np.concatenate([[0.0], quantiles, [1.0]])
