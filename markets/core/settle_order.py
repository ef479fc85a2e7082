"""In which order events are settled together, so that each finds what goes before it settled."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from aggregator.core.types import BoolArray, IntArray


def meeting_groups(
    windows: Sequence[tuple[datetime, datetime]], zone: IntArray, zones_meet: BoolArray
) -> tuple[tuple[int, ...], ...]:
    """Part events into those that can claim the same EVSE's half-hour, directly or by way of others.

    Args:
        windows: start and end of each event.
        zone: (n_event,) which EVSEs each calls.
        zones_meet: (n_zone, n_zone) whether two zones have an EVSE in common.

    Returns:
        Indices of events: each once, ascending in its group, groups by their first event's start, then by its index.

    Source: docs/methods/ledger.md
    """
    group = list(range(len(windows)))
    by_start = sorted(group, key=lambda at: (windows[at][0], at))

    def root(at: int) -> int:
        while group[at] != at:
            at = group[at]
        return at

    for place, one in enumerate(by_start):
        for other in by_start[place + 1 :]:
            if windows[other][0] >= windows[one][1]:
                break
            if zones_meet[zone[one], zone[other]]:
                group[root(other)] = root(one)
    members: dict[int, list[int]] = {}
    for at in by_start:
        members.setdefault(root(at), []).append(at)
    return tuple(tuple(sorted(some)) for some in members.values())


def zones_meet(evse_pks: Sequence[IntArray]) -> BoolArray:
    """(n_zone, n_zone) whether two sets of EVSEs have one in common."""
    meet = np.eye(len(evse_pks), dtype=np.bool_)
    for one, pks in enumerate(evse_pks):
        for other in range(one):
            meet[one, other] = meet[other, one] = bool(np.intersect1d(pks, evse_pks[other]).size)
    return meet
