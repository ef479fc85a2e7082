"""Virtual EVSEs of an area as arrays."""

from dataclasses import dataclass

import numpy as np

from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray, TimeArray


@dataclass(frozen=True, slots=True)
class Fleet:
    """EVSEs enrolled at an instant, ordered by pseudonym, so that any database gives the same order.

    Attributes:
        evse_pks: (n_evse,) database keys.
        evse_ids: (n_evse,) pseudonyms.
        dsrsp_pks: (n_evse,) the organisation each is enrolled with.
        meter_pks: (n_evse,) asset meters.
        node: (n_evse,) index into the area's nodes.
        phases: (n_evse,) 1 or 3.
        rated_kw, min_current_a: (n_evse,).
        scenarios: (n_evse,) charging scenario.
        delay_max_s: (n_evse,) largest randomised delay the EVSE applies itself.
        enrolled_on: (n_evse,) ``datetime64[D]`` UTC day of the first enrolment with anybody.
    """

    evse_pks: IntArray
    evse_ids: StrArray
    dsrsp_pks: IntArray
    meter_pks: IntArray
    node: IntArray
    phases: IntArray
    rated_kw: FloatArray
    min_current_a: FloatArray
    scenarios: StrArray
    delay_max_s: IntArray
    enrolled_on: TimeArray

    @property
    def n_evse(self) -> int:
        return len(self.evse_pks)


@dataclass(frozen=True, slots=True)
class ForecastSessions:
    """The session each EVSE is planned to have, ordered by pseudonym.

    Attributes:
        evse_pks: (n_session,) database keys.
        evse_ids: (n_session,) pseudonyms.
        start, end: (n_session,) half-open periods on the forecast's grid.
        energy_kwh, probability: (n_session,).
    """

    evse_pks: IntArray
    evse_ids: StrArray
    start: IntArray
    end: IntArray
    energy_kwh: FloatArray
    probability: FloatArray

    def select(self, chosen: BoolArray) -> "ForecastSessions":
        """The sessions chosen by an (n_session,) mask."""
        return ForecastSessions(
            self.evse_pks[chosen],
            self.evse_ids[chosen],
            self.start[chosen],
            self.end[chosen],
            self.energy_kwh[chosen],
            self.probability[chosen],
        )


@dataclass(frozen=True, slots=True)
class EvseGroups:
    """EVSEs that are alike: one DSRSP's, in one charging scenario.

    Attributes:
        group: (n_evse,) index into ``labels`` and ``dsrsp_pks``.
    """

    group: IntArray
    labels: tuple[str, ...]
    dsrsp_pks: IntArray


def group_fleet(fleet: Fleet) -> EvseGroups:
    """Group a fleet by DSRSP and scenario, groups in order of their label."""
    keys = np.array(
        [f"{dsrsp}/{scenario}" for dsrsp, scenario in zip(fleet.dsrsp_pks, fleet.scenarios, strict=True)], dtype=np.str_
    )
    labels, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return EvseGroups(group.astype(np.int64), tuple(labels.tolist()), fleet.dsrsp_pks[first])
