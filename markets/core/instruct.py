"""What each DSRSP is instructed to deliver: its part of what the request needs, never more than its plan moves."""

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray
from markets.core.delivered import Direction

STEP_KW = 0.1  # instructions are stated in whole steps, rounded down


class InvalidInstruction(FlexError):
    code = "markets.invalid_instruction"


def instructed_kw(
    expected_kw: FloatArray, planned_kw: FloatArray, *, target_kw: float | FloatArray, direction: Direction
) -> FloatArray:
    """Share out a request among the portfolios in its zone.

    Needed is what separates the zone's expected power from the target; each portfolio takes it in proportion to what
    its plan moves, and no more than that.

    Args:
        expected_kw: (n_unit, n_period) baseline power expected before the event, NaN where unknown (then nothing is
            instructed).
        planned_kw: (n_unit, n_period) power of the portfolio's setpoints, NaN where nothing was planned (then nothing
            is instructed either).
        target_kw: of these portfolios together: one power, or one for each period.

    Returns:
        (n_unit, n_period) kW in the direction asked, 0 or more, in whole steps of 0.1 kW.

    Raises:
        InvalidInstruction: shapes that differ, or a target that is negative or not finite.

    Source: docs/methods/settlement.md
    """
    is_target = bool((np.isfinite(target_kw) & (np.asarray(target_kw) >= 0)).all())
    if expected_kw.shape != planned_kw.shape or not is_target:
        raise InvalidInstruction(
            f"expected {expected_kw.shape} and planned {planned_kw.shape} power must agree in shape and the target, "
            f"{target_kw} kW, be 0 or more"
        )
    sign = 1.0 if direction == "turn_down" else -1.0
    known_kw = np.where(np.isnan(expected_kw), planned_kw, expected_kw)
    moved_kw = np.maximum(np.nan_to_num(sign * (known_kw - planned_kw)), 0.0)
    needed_kw = np.maximum(np.nan_to_num(sign * (known_kw.sum(axis=0) - target_kw)), 0.0)
    all_moved_kw = moved_kw.sum(axis=0)
    part = np.minimum(needed_kw / np.where(all_moved_kw > 0, all_moved_kw, 1.0), 1.0)
    steps: FloatArray = np.floor(moved_kw * part / STEP_KW + 1e-9) * STEP_KW
    return steps
