"""Fairness over days: who was left short before goes first, by a bounded factor on the price of unserved energy.

The factor is the platform's, from what it left unserved itself; no DSRSP sets it, and it never touches a price of
energy, so it decides who waits and not when power is drawn. EVSEs are compared with those like them: same node, same
phases, same rating, for they meet the same limits with the same means.

Source: docs/methods/dispatch.md
"""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.fleet import Fleet
from aggregator.core.types import FloatArray, IntArray

# What was left unserved this share of the look-back ago weighs half.
HALF_LIFE_SHARE = 0.5
# A share this many times the mean of those like it brings the whole factor.
_FULL_RATIO = 2.0
_LEAST_KWH = 1e-9


class InvalidShortfall(FlexError):
    code = "dispatch.shortfall_invalid"


@dataclass(frozen=True, slots=True, eq=False)
class PastShortfall:
    """What earlier runs left unserved; zero on days without a session.

    Attributes:
        serveable_kwh, unserved_kwh: (n_evse, n_day) asked of the plan, and left out after rounding; oldest day first.

    Raises:
        InvalidShortfall: shapes that differ, or not 0 <= unserved <= serveable.
    """

    serveable_kwh: FloatArray
    unserved_kwh: FloatArray

    def __post_init__(self) -> None:
        asked, left = self.serveable_kwh, self.unserved_kwh
        if asked.ndim != 2 or asked.shape != left.shape:
            raise InvalidShortfall(
                f"serveable has shape {asked.shape}, unserved {left.shape}; expected one (evse, day)"
            )
        bad = ~((left >= 0) & (left <= asked + 1e-6) & np.isfinite(asked))
        if bad.any():
            evse, day = (int(at) for at in np.argwhere(bad)[0])
            raise InvalidShortfall(
                f"EVSE {evse} on day {day} has {left[evse, day]} of {asked[evse, day]} kWh unserved; "
                "expected 0 to what was asked",
                evse=evse,
                day=day,
            )

    @classmethod
    def none(cls, n_evse: int) -> "PastShortfall":
        return cls(np.zeros((n_evse, 0)), np.zeros((n_evse, 0)))


def alike(fleet: Fleet) -> IntArray:
    """(n_evse,) number of the group each EVSE is compared within: same node, same phases, same rating."""
    rated_w = np.rint(1000 * fleet.rated_kw).astype(np.int64)
    key = np.stack([fleet.node, fleet.phases, rated_w], axis=1)
    group: IntArray = np.unique(key, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return group


def unserved_share(past: PastShortfall) -> FloatArray:
    """(n_evse,) share of the serveable energy left unserved, newer days weighing more; NaN without a session.

    The weight halves every ``HALF_LIFE_SHARE`` of the days given.
    """
    n_day = past.serveable_kwh.shape[1]
    age_days = np.arange(n_day)[::-1]
    weight = 0.5 ** (age_days / max(HALF_LIFE_SHARE * n_day, 1.0))
    asked_kwh, left_kwh = past.serveable_kwh @ weight, past.unserved_kwh @ weight
    share: FloatArray = np.divide(
        left_kwh, asked_kwh, out=np.full(len(asked_kwh), np.nan), where=asked_kwh > _LEAST_KWH
    )
    return share


def priority(past: PastShortfall, group: IntArray, *, most: float) -> FloatArray:
    """Weigh each EVSE by what it was left without, beside the mean of those like it.

    Args:
        group: (n_evse,) from ``alike``.
        most: the greatest factor, at least 1; 1 treats everybody alike whatever happened.

    Returns:
        (n_evse,) factor on the unserved price, 1 to ``most``: 1 for a share of nothing, ``most`` from twice the mean
        on, in proportion between; who was not seen yet stands where the mean does. 1 for all of a group nobody of
        which was left short.

    Raises:
        InvalidShortfall: ``most`` below 1 or not finite.
    """
    if not 1 <= most < np.inf:
        raise InvalidShortfall(f"the greatest priority is {most}; expected a finite factor of at least 1", most=most)
    share = unserved_share(past)
    seen = np.isfinite(share)
    n_group = int(group.max(initial=-1)) + 1
    count = np.bincount(group[seen], minlength=n_group)
    total = np.bincount(group[seen], weights=share[seen], minlength=n_group)
    mean = np.divide(total, count, out=np.zeros(n_group), where=count > 0)[group]
    short = mean > 0
    ratio = np.divide(np.where(seen, share, mean), mean, out=np.zeros(len(share)), where=short)
    factor: FloatArray = 1.0 + (most - 1.0) * np.clip(ratio / _FULL_RATIO, 0.0, 1.0)
    return factor
