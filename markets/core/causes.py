"""Why a unit delivered less than it was told: one figure a cause, from what its EVSEs were told, did and reported."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.types import BoolArray, FloatArray, IntArray, TimeArray
from markets.core.delivered import Direction
from markets.core.energy import from_quanta, to_quanta

OVERRIDE, UNPLUGGED, OFFLINE = "override", "unplugged", "offline"
NETWORK_LIMIT, MISSING_READS, OTHER = "network_limit", "missing_reads", "other"
# In the order their figures stand and, of equal ones, are named.
CAUSES = (OVERRIDE, OFFLINE, UNPLUGGED, NETWORK_LIMIT, MISSING_READS, OTHER)
# A meter is right to within this, so a smaller excess over a ceiling is no disobedience.
TOLERANCE_PART = 50  # 2 %
TOLERANCE_QUANTA = 100  # 0.01 kWh


class InvalidCauseInputs(FlexError):
    code = "causes.invalid_inputs"


@dataclass(frozen=True, slots=True)
class EvseFacts:
    """What is known of each EVSE in each half-hour of an event.

    Attributes:
        unit: (n_evse,) index of the unit each belongs to.
        metered_kwh: (n_evse, n_period) NaN is a missing read.
        told_kwh: (n_evse, n_period) energy under the ceiling it was told in the end; NaN where it was told none.
        planned_kwh: (n_evse, n_period) energy under the ceiling its plan gave it; NaN where it has none.
        rated_kwh: (n_evse,) energy of half an hour at its rating.
        plugged_share: (n_evse, n_period) share of the half-hour with a car, 0 to 1.
        is_node_full: (n_evse, n_period) a limit of the network above it was all used by the plan.

    Raises:
        InvalidCauseInputs: shapes that do not fit, or a share outside 0 to 1.
    """

    unit: IntArray
    metered_kwh: FloatArray
    told_kwh: FloatArray
    planned_kwh: FloatArray
    rated_kwh: FloatArray
    plugged_share: FloatArray
    is_node_full: BoolArray

    def __post_init__(self) -> None:
        n_evse, shape = len(self.unit), self.metered_kwh.shape
        for name in ("metered_kwh", "told_kwh", "planned_kwh", "plugged_share", "is_node_full"):
            values = getattr(self, name)
            if values.shape != shape or len(values) != n_evse:
                raise InvalidCauseInputs(f"{name} must have shape {(n_evse, *shape[1:])}, found {values.shape}")
        if self.rated_kwh.shape != (n_evse,):
            raise InvalidCauseInputs(f"rated_kwh must have shape {(n_evse,)}, found {self.rated_kwh.shape}")
        if not ((self.plugged_share >= 0) & (self.plugged_share <= 1)).all():
            raise InvalidCauseInputs("plugged_share lies in 0 to 1")


@dataclass(frozen=True, slots=True)
class ShortfallCauses:
    """What each unit fell short by, parted among causes without a rest.

    Attributes:
        shortfall_kwh: (n_unit, n_period) ordered less delivered, 0 where it delivered in full.
        cause_kwh: (n_cause, n_unit, n_period) in the order of ``CAUSES``; they add up to the shortfall.
        n_evse: (n_cause, n_unit, n_period) EVSEs each cause is seen at, whether or not anything fell short.
    """

    shortfall_kwh: FloatArray
    cause_kwh: FloatArray
    n_evse: IntArray

    def main_cause(self, unit: int, period: int) -> str:
        """The cause with the largest part; empty where nothing fell short."""
        if self.shortfall_kwh[unit, period] <= 0:
            return ""
        return CAUSES[int(np.argmax(self.cause_kwh[:, unit, period]))]


def shortfall_causes(
    facts: EvseFacts, ordered_kwh: FloatArray, delivered_kwh: FloatArray, direction: Direction
) -> ShortfallCauses:
    """Part each unit's shortfall among causes.

    Each EVSE that went against what it was told has an energy it was wrong by and one cause for it. A unit's shortfall
    is given to its EVSEs' causes, at most what they were wrong by and pro rata where that is more than the shortfall.
    What is left is missing reads where a meter of the unit was not read, and other causes where all were.

    Turn-down, drawing above the ceiling: *offline* where nothing was ever issued to it, else *override*. Turn-up,
    drawing less than the plan: *unplugged* for the time without a car; for the rest *network_limit* where it drew what
    it was allowed and a limit above it was used up, *offline* where nothing was issued to it, else *override*.

    Args:
        ordered_kwh, delivered_kwh: (n_unit, n_period) as settled; delivered is positive in the direction asked.

    Source: docs/methods/delivered.md
    """
    if ordered_kwh.shape != delivered_kwh.shape or ordered_kwh.shape[1:] != facts.metered_kwh.shape[1:]:
        raise InvalidCauseInputs(f"ordered and delivered have shapes {ordered_kwh.shape}, {delivered_kwh.shape}")
    n_unit = len(ordered_kwh)
    if len(facts.unit) and int(facts.unit.max()) >= n_unit:
        raise InvalidCauseInputs(f"an EVSE belongs to unit {int(facts.unit.max())}, expected 0 to {n_unit - 1}")
    wrong = _wrong_down(facts) if direction == "turn_down" else _wrong_up(facts)
    by_cause = np.zeros((len(CAUSES), *ordered_kwh.shape))
    n_evse = np.zeros(by_cause.shape, dtype=np.int64)
    for cause, kwh in wrong.items():
        np.add.at(by_cause[CAUSES.index(cause)], facts.unit, to_quanta(kwh))
        np.add.at(n_evse[CAUSES.index(cause)], facts.unit, kwh > 0)
    is_missing = np.isnan(facts.metered_kwh)
    np.add.at(n_evse[CAUSES.index(MISSING_READS)], facts.unit, is_missing)
    shortfall = np.maximum(to_quanta(ordered_kwh) - to_quanta(delivered_kwh), 0.0)
    seen = by_cause.sum(axis=0)
    share = np.where(seen > shortfall, shortfall / np.maximum(seen, 1.0), 1.0)
    given = np.floor(by_cause * share)
    rest = shortfall - given.sum(axis=0)
    has_missing = n_evse[CAUSES.index(MISSING_READS)] > 0
    given[CAUSES.index(MISSING_READS)] = np.where(has_missing & (seen < shortfall), rest, 0.0)
    given[CAUSES.index(OTHER)] = np.where(has_missing | (seen >= shortfall), 0.0, rest)
    # Where causes had to be cut, whole quanta leave a few over: they are the largest one's.
    largest = given.argmax(axis=0)[np.newaxis]
    over = (shortfall - given.sum(axis=0))[np.newaxis]
    np.put_along_axis(given, largest, np.take_along_axis(given, largest, axis=0) + over, axis=0)
    return ShortfallCauses(from_quanta(shortfall), from_quanta(given), n_evse)


def _excess(more_kwh: FloatArray, less_kwh: FloatArray) -> FloatArray:
    """What is more beyond a meter's tolerance, else 0; 0 where either is unknown."""
    less = to_quanta(less_kwh)
    excess = to_quanta(more_kwh) - less
    is_more = excess > np.maximum(less // TOLERANCE_PART, TOLERANCE_QUANTA)
    return from_quanta(np.where(is_more, excess, 0.0))


def _wrong_down(facts: EvseFacts) -> dict[str, FloatArray]:
    was_told = ~np.isnan(facts.told_kwh)
    above = _excess(facts.metered_kwh, np.where(was_told, facts.told_kwh, facts.planned_kwh))
    return {OVERRIDE: np.where(was_told, above, 0.0), OFFLINE: np.where(was_told, 0.0, above)}


def _wrong_up(facts: EvseFacts) -> dict[str, FloatArray]:
    was_told = ~np.isnan(facts.told_kwh)
    wanted = np.broadcast_to(facts.rated_kwh[:, np.newaxis], facts.metered_kwh.shape)
    wanted = np.where(np.isnan(facts.planned_kwh), 0.0, np.maximum(facts.planned_kwh, wanted * facts.is_node_full))
    below = _excess(wanted, facts.metered_kwh)
    away = np.minimum(below, wanted * (1.0 - facts.plugged_share))
    there = below - away
    obeyed = was_told & (_excess(facts.told_kwh, facts.metered_kwh) == 0)
    limited = there * (obeyed & facts.is_node_full)
    silent = there * ~was_told
    return {UNPLUGGED: away, NETWORK_LIMIT: limited, OFFLINE: silent, OVERRIDE: there - limited - silent}


def plugs_changed(
    evse: IntArray,
    plug_in_at: TimeArray,
    plug_out_at: TimeArray,
    *,
    notice_at: TimeArray,
    ends_at: TimeArray,
    n_evse: int,
) -> BoolArray:
    """(n_evse,) EVSEs whose car was taken away between the notice of an event and its end.

    A car away draws nothing, so against a baseline of the asset's own days it counts as delivered: it may be real, and
    it may be gamed.

    Args:
        evse: (n_session,) index of the EVSE.
        notice_at, ends_at: (1,) instants.
    """
    found = np.zeros(n_evse, dtype=np.bool_)
    left = (plug_in_at < notice_at) & (plug_out_at >= notice_at) & (plug_out_at < ends_at)
    found[evse[left]] = True
    return found


def unplugged_notes(unit_ids: tuple[str, ...], unit: IntArray, is_unplugged: BoolArray) -> tuple[FindingNote, ...]:
    """One finding a unit with EVSEs that were unplugged inside the notice."""
    counts = np.bincount(unit[is_unplugged], minlength=len(unit_ids))
    return tuple(
        FindingNote(
            "delivered.unplugged_in_notice",
            unit_ids[at],
            f"{counts[at]:,} cars were unplugged between the notice and the event's end: what they did not draw may "
            "count as delivered",
            details={"n_evse": int(counts[at])},
        )
        for at in np.flatnonzero(counts).tolist()
    )
