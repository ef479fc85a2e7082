"""Power under control beside its cap and the threshold of an essential service, as a bar and in words."""

from dataclasses import dataclass

from aggregator.core.display import number
from aggregator.core.fleet_size import ControllableGauge

NEAR_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class GaugeBar:
    """What the overview draws.

    Attributes:
        now, committed, cap, threshold: 0 to 100, places on the bar.
        word: OK, NEAR (from 90 % of the cap) or OVER (above the cap, or at the threshold).
    """

    now: float
    committed: float
    cap: float
    threshold: float
    word: str
    mw: str
    committed_mw: str
    left_mw: str
    cap_mw: str
    threshold_mw: str
    share_of_threshold: str


def gauge_bar(gauge: ControllableGauge) -> GaugeBar:
    """Lay the gauge out on one scale, whose end is the largest of its figures."""
    end_mw = max(gauge.threshold_mw, gauge.cap_mw, gauge.committed_mw, gauge.mw)

    def place(mw: float) -> float:
        return round(mw / end_mw * 100, 2)

    return GaugeBar(
        now=place(gauge.mw),
        committed=place(gauge.committed_mw),
        cap=place(gauge.cap_mw),
        threshold=place(gauge.threshold_mw),
        word=_word(gauge),
        mw=number(gauge.mw, 2),
        committed_mw=number(gauge.committed_mw, 2),
        left_mw=number(gauge.left_mw, 2),
        cap_mw=number(gauge.cap_mw, 0),
        threshold_mw=number(gauge.threshold_mw, 0),
        share_of_threshold=number(gauge.share_of_threshold * 100),
    )


def _word(gauge: ControllableGauge) -> str:
    if gauge.share_of_cap > 1 or gauge.share_of_threshold >= 1:
        return "OVER"
    return "NEAR" if gauge.share_of_cap >= NEAR_SHARE else "OK"
