"""Control groups: which EVSEs are drawn, whose turn it is, and what was read of them.

Source: docs/methods/baseline.md
"""

from datetime import date
from typing import Literal, get_args

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import FloatArray, IntArray
from markets.core.baseline_given import ControlGroup, ControlGroupRule
from markets.core.delivered import MissingPolicy
from markets.core.portfolio import portfolio_kwh, read_throughout

Rotation = Literal["never", "daily", "weekly"]
DAYS_A_TURN = {"daily": 1, "weekly": 7}
LARGEST_SEED = 2**63 - 1


class ControlGroupRefused(FlexError):
    code = "baseline.control_group_refused"


def check_size(*, n_eligible: int, n_evse: int, n_turn: int, rotates: str, min_evses: int) -> None:
    """Refuse a group that is too small to say anything, or that leaves nobody to be called.

    Args:
        n_eligible: EVSEs of the DSRSP in the zone.
        n_evse, n_turn: EVSEs kept out at a time, and how many such sets take turns; one without rotation.

    Raises:
        ControlGroupRefused: and which of the figures.
    """
    if rotates not in get_args(Rotation):
        raise ControlGroupRefused(f"rotates is {rotates!r}, expected never, daily or weekly", field="rotates")
    if n_turn != 1 if rotates == "never" else n_turn < 2:
        raise ControlGroupRefused(
            f"{n_turn} sets of EVSEs take turns {rotates}, expected 1 for never and 2 or more otherwise", field="n_turn"
        )
    if n_evse < min_evses:
        raise ControlGroupRefused(
            f"a control group of {n_evse} EVSEs, expected {min_evses} or more under this product",
            field="n_evse",
            value=n_evse,
        )
    if n_evse * n_turn > n_eligible or n_evse >= n_eligible:
        raise ControlGroupRefused(
            f"{n_turn} x {n_evse} EVSEs of the {n_eligible} in the zone, expected fewer: some must be left to call",
            field="n_evse",
            value=n_evse,
        )


def draw_turns(*, n_eligible: int, n_evse: int, n_turn: int, seed: int) -> IntArray:
    """Draw sets of EVSEs at random, none twice; the same numbers give the same draw.

    Returns:
        (n_turn, n_evse) indices among the EVSEs eligible, which stand in the order of their ids; each set ascends.

    Raises:
        ControlGroupRefused: a seed that is negative or too large to be kept.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ControlGroupRefused(f"seed is {seed}, expected 0 to {LARGEST_SEED}", field="seed", value=seed)
    order = np.random.default_rng(seed).permutation(n_eligible)
    drawn: IntArray = np.sort(order[: n_turn * n_evse].reshape(n_turn, n_evse), axis=1)
    return drawn


def turn_on(day: date, *, valid_from: date, rotates: str, n_turn: int) -> int:
    """Whose turn it is on a settlement date: the first set's on the group's first day."""
    return (day - valid_from).days // DAYS_A_TURN.get(rotates, 1) % n_turn


def metered_control(
    event_kwh: FloatArray,
    window_kwh: FloatArray,
    unit: IntArray,
    *,
    n_unit: int,
    missing: MissingPolicy,
    rule: ControlGroupRule,
) -> ControlGroup:
    """Add up what each unit's control group drew.

    An EVSE with a gap is left out altogether (strict), or where it was not read (exclude): each half-hour is then the
    mean of those read, times the group. Fewer EVSEs than the rule wants give no energy, and so no baseline.

    Args:
        event_kwh, window_kwh: (n_evse, n_period) and (n_evse, n_window) energy of each EVSE; NaN is a missing read.
        unit: (n_evse,) whose group it is in, 0 to n_unit - 1.

    Source: docs/methods/baseline.md
    """
    n_held_out = np.bincount(unit, minlength=n_unit).astype(np.int64)
    both = np.concatenate([event_kwh, window_kwh], axis=1)
    counts = read_throughout(both) if missing == "strict" else np.ones(len(unit), dtype=np.bool_)
    n_evse = np.bincount(unit[counts], minlength=n_unit).astype(np.int64)
    n_read = np.zeros((n_unit, both.shape[1]))
    np.add.at(n_read, unit[counts], ~np.isnan(both[counts]))
    total = portfolio_kwh(both[counts], unit[counts], n_unit=n_unit, min_share=0.0)
    known = np.where(n_read >= rule.min_evses, total, np.nan)
    n_period = event_kwh.shape[1]
    return ControlGroup(n_evse, known[:, :n_period], known[:, n_period:], n_held_out)


def held_out_kw(expected_kw: FloatArray, *, n_called: IntArray, n_held_out: IntArray) -> FloatArray:
    """(n_unit, n_period) power expected of EVSEs kept out of an event: what those it calls on are expected to draw.

    Args:
        expected_kw: (n_unit, n_period) of the EVSEs called; NaN where unknown, which counts as nothing.
        n_called, n_held_out: (n_unit,) EVSEs in the zone.
    """
    share = n_held_out / np.maximum(n_called, 1)
    power_kw: FloatArray = np.nan_to_num(expected_kw) * share[:, np.newaxis]
    return power_kw
