"""What the overview says of control: how much power may be controlled, and what waits for a second person."""

from dataclasses import dataclass
from datetime import datetime

from aggregator.core.display import number
from aggregator.models import ControlAct, Organisation
from aggregator.queries import control_acts_seen_by
from aggregator.services.caps import controllable, controllable_mw_of
from aggregator.services.control_act_pages import ActLine, act_lines
from markets.core.gauge import GaugeBar, gauge_bar

MOST_ACTS = 5


@dataclass(frozen=True, slots=True)
class ControlTiles:
    """``gauge`` is of everybody together and for the network's side; ``own_mw`` a DSRSP's own."""

    gauge: GaugeBar | None
    own_mw: str
    waiting: tuple[ActLine, ...]
    n_waiting: int


def control_tiles(*, organisation: Organisation, with_acts: bool, now: datetime) -> ControlTiles:
    """Gather what one organisation may see of it.

    Args:
        with_acts: whether the viewer may see control acts.
    """
    sees_all = organisation.kind in (Organisation.Kind.DNO, Organisation.Kind.PLATFORM)
    is_dsrsp = organisation.kind == Organisation.Kind.DSRSP
    acts = control_acts_seen_by(organisation).filter(state=ControlAct.State.PENDING, expires_at__gt=now)
    waiting = acts if with_acts else acts.none()
    return ControlTiles(
        gauge=gauge_bar(controllable(now=now)) if sees_all else None,
        own_mw=number(controllable_mw_of(dsrsp=organisation, now=now), 2) if is_dsrsp else "",
        waiting=tuple(act_lines(list(waiting[:MOST_ACTS]), now=now)),
        n_waiting=waiting.count(),
    )
