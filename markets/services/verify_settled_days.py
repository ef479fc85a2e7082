"""Hold settled days against what the readings give again."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from aggregator.core.types import Int32Array
from markets.arrays.settled_days import load_settled_days
from markets.arrays.settlement import Portfolios
from markets.core.delivered import Direction
from markets.core.evse_volume import NO_VALUE, EvseVolume
from markets.models import SettlementRun


class OtherDay(NamedTuple):
    """A figure of an EVSE's settled days that is not what it was, or is not there."""

    evse_pk: int
    figure: str
    stored: str
    recomputed: str


def other_settled_days(
    *, settlement: SettlementRun, portfolios: Portfolios, evses: EvseVolume, direction: Direction
) -> Iterator[OtherDay]:
    """Yield what differs; a settlement without any settled day is from before they were kept, and says nothing."""
    stored = load_settled_days(settlement=settlement)
    if len(stored.evse_pks) == 0:
        return
    order = np.argsort(portfolios.evse_pks)
    evse_pks = portfolios.evse_pks[order]
    for pk in np.setxor1d(evse_pks, stored.evse_pks).tolist():
        is_stored = bool(np.isin(pk, stored.evse_pks))
        yield OtherDay(pk, "rows", "settled" if is_stored else "nothing", "nothing" if is_stored else "settled")
    both, again_at, stored_at = np.intersect1d(evse_pks, stored.evse_pks, assume_unique=True, return_indices=True)
    figures = {
        "baseline_quanta": (stored.volume.baseline_quanta, evses.baseline_quanta),
        "metered_quanta": (stored.volume.metered_quanta, evses.metered_quanta),
        "delivered_quanta": (stored.delivered_quanta, evses.delivered_quanta(direction)),
    }
    for name, (kept, made) in figures.items():
        was, now = kept[stored_at], made[order][again_at]
        for row in np.flatnonzero((was != now).any(axis=1)).tolist():
            yield OtherDay(int(both[row]), name, _said(was[row]), _said(now[row]))


def _said(quanta: Int32Array) -> str:
    return " ".join("-" if quantum == NO_VALUE else str(quantum) for quantum in quanta.tolist())
