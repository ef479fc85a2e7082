"""Geometry of the laboratory's plot: for each method its bias as a dot and the middle 80 % of its errors as a bar.

Nothing here knows SVG or colours: a template puts classes on the shapes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.core.chart import XTick, nice_ticks
from markets.core.baseline_lab import MethodScore
from markets.core.baseline_methods import METHODS

LABEL_WIDTH, PLOT_WIDTH, RIGHT = 290.0, 560.0, 30.0
TOP, ROW_HEIGHT, AXIS_HEIGHT = 12.0, 30.0, 48.0


@dataclass(frozen=True, slots=True)
class LabRow:
    """One method: where its label, bar and dot lie; ``is_known`` is False where nothing could be compared."""

    label: str
    y: float
    low_x: float
    high_x: float
    bias_x: float
    said: str
    is_known: bool


@dataclass(frozen=True, slots=True)
class LabChart:
    """Everything a template needs to draw one level."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    zero_x: float
    rows: tuple[LabRow, ...]
    ticks: tuple[XTick, ...]


def draw_lab(scores: Sequence[MethodScore], *, left_out: Sequence[str] = ()) -> LabChart | None:
    """Lay out the scores of one level; None where no method could be compared.

    Args:
        left_out: methods whose errors would squeeze all others; they stand in the table.
    """
    drawn = [score for score in scores if score.method not in left_out]
    ends = np.array([value for score in drawn for value in (score.low_kw, score.high_kw, score.bias_kw)] + [0.0])
    ends = ends[np.isfinite(ends)]
    if len(ends) == 1:
        return None
    ticks = nice_ticks(float(ends.min()), float(ends.max()))
    low, span = float(ticks[0]), float(ticks[-1] - ticks[0])

    def x(power_kw: float) -> float:
        return round(LABEL_WIDTH + (power_kw - low) / span * PLOT_WIDTH, 2)

    bottom = TOP + ROW_HEIGHT * len(drawn)
    return LabChart(
        width=LABEL_WIDTH + PLOT_WIDTH + RIGHT,
        height=bottom + AXIS_HEIGHT,
        left=LABEL_WIDTH,
        right=LABEL_WIDTH + PLOT_WIDTH,
        top=TOP,
        bottom=bottom,
        zero_x=x(0.0),
        rows=tuple(_row(score, TOP + ROW_HEIGHT * (index + 0.5), x) for index, score in enumerate(drawn)),
        ticks=tuple(XTick(x(tick), f"{tick + 0.0:+.2f}" if abs(tick) > 1e-9 else "0") for tick in ticks.tolist()),
    )


def _row(score: MethodScore, y: float, x: Callable[[float], float]) -> LabRow:
    label = METHODS[score.method].label
    if not score.n_compared:
        return LabRow(label, y, 0.0, 0.0, 0.0, "no baseline could be made", is_known=False)
    said = f"bias {score.bias_kw:+.3f} kW, middle 80 % of errors {score.low_kw:+.3f} to {score.high_kw:+.3f} kW"
    return LabRow(label, y, x(score.low_kw), x(score.high_kw), x(score.bias_kw), said, is_known=True)
