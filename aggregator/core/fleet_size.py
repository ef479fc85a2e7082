"""How much power a group of EVSEs could move, and how fast: upper bounds, so that nothing large passes as small."""

from dataclasses import dataclass
from math import ceil, inf

from aggregator.core.control import ActFigures

TURN_DOWN, TURN_UP = "turn_down", "turn_up"
KW_PER_MW = 1000.0
# A figure told to a network operator says no more than a group of five would, and no difference of two does.
SMALLEST_GROUP = 5
STEP_KW = 50.0


@dataclass(frozen=True, slots=True)
class FleetSize:
    """What a group of EVSEs adds up to.

    Attributes:
        rated_kw: sum of the ratings.
        kw_per_minute: sum of each rating over the longest randomised delay the EVSE applies, or over a minute where
            that is longer: no faster can the group move, all of it at once.
    """

    n_evse: int
    rated_kw: float
    kw_per_minute: float

    def coarse(self) -> "FleetSize":
        """Rounded up to whole groups of five EVSEs, and to 50 kW and a tenth of that a minute."""
        return FleetSize(
            n_evse=ceil(self.n_evse / SMALLEST_GROUP) * SMALLEST_GROUP,
            rated_kw=ceil(self.rated_kw / STEP_KW) * STEP_KW,
            kw_per_minute=ceil(self.kw_per_minute / STEP_KW * 10) * STEP_KW / 10,
        )


def moved_by_request(size: FleetSize, *, direction: str, target_kw: float) -> ActFigures:
    """What a request could move at most, whatever the EVSEs happen to do when it comes.

    A turn-down may find every EVSE charging at its rating and bring them to the target; a turn-up may find none
    charging and bring them to the target, or as far as their ratings go. The speed is the share moved of what the
    whole group could do in a minute.
    """
    moved_kw = max(size.rated_kw - target_kw, 0.0) if direction == TURN_DOWN else min(target_kw, size.rated_kw)
    share = moved_kw / size.rated_kw if size.rated_kw else 0.0
    return ActFigures(
        total_mw=moved_kw / KW_PER_MW,
        mw_per_minute=share * size.kw_per_minute / KW_PER_MW,
        n_evse=size.n_evse if moved_kw else 0,
    )


@dataclass(frozen=True, slots=True)
class ControllableGauge:
    """Power of all EVSEs that may be controlled, beside what it may never exceed.

    Attributes:
        mw: rated power of EVSEs with an enrolment in force.
        committed_mw: the same with enrolments that start later, which is what the cap is held against.
        cap_mw: nobody is registered beyond it.
        threshold_mw: from here on load control is an essential service.
        mw_by_dsrsp: of ``mw``, by the DSRSP's code.
    """

    mw: float
    committed_mw: float
    cap_mw: float
    threshold_mw: float
    mw_by_dsrsp: dict[str, float]

    @property
    def share_of_cap(self) -> float:
        return _share(self.committed_mw, self.cap_mw)

    @property
    def share_of_threshold(self) -> float:
        return _share(self.mw, self.threshold_mw)

    @property
    def left_mw(self) -> float:
        return max(self.cap_mw - self.committed_mw, 0.0)


def _share(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return inf if part else 0.0
