"""A change of what a network node may carry, as a control room states it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf

from aggregator.core.errors import FlexError

HIGHEST_RATING_KVA = 1e6
MOST_CHANGES = 500
# What each figure may be: above the first, up to the second.
BOUNDS: dict[str, tuple[float, float]] = {
    "rating_kva": (0.0, HIGHEST_RATING_KVA),
    "power_factor": (0.0, 1.0),
    "cyclic_factor": (0.0, 2.0),
    "diversity": (0.0, 1.0),
}
LIMITS = (*BOUNDS, "ramp_kw")


class LimitRefused(FlexError):
    code = "limits.refused"


@dataclass(frozen=True, slots=True)
class LimitChange:
    """One node's rating from a time on.

    Attributes:
        ramp_kw: EV power change between periods; None is free.
        valid_from: None is from the moment the change is made.
    """

    node: str
    rating_kva: float
    power_factor: float = 0.98
    cyclic_factor: float = 1.0
    diversity: float = 1.0
    ramp_kw: float | None = None
    valid_from: datetime | None = None


def check_changes(changes: Sequence[LimitChange], *, now: datetime) -> None:
    """Refuse changes that make no sense, or that would change the past.

    Raises:
        LimitRefused: naming field, node, value and what was expected.
    """
    if not 1 <= len(changes) <= MOST_CHANGES:
        raise LimitRefused(f"found {len(changes)} changes of limits, expected 1 to {MOST_CHANGES}", field="changes")
    seen: set[str] = set()
    for change in changes:
        if change.node in seen:
            raise LimitRefused(f"node {change.node} is named twice", field="node", id=change.node)
        seen.add(change.node)
        _check_numbers(change)
        _check_start(change, now)


def as_json(change: LimitChange) -> dict[str, float | str | None]:
    """The change as plain JSON."""
    starts = change.valid_from.isoformat() if change.valid_from else None
    return {"node": change.node, "valid_from": starts, **{name: getattr(change, name) for name in LIMITS}}


def from_json(stated: Mapping[str, float | str | None]) -> LimitChange:
    """The change that ``as_json`` wrote."""
    starts = stated["valid_from"]
    ramp_kw = stated["ramp_kw"]
    return LimitChange(
        node=str(stated["node"]),
        ramp_kw=None if ramp_kw is None else float(ramp_kw),
        valid_from=None if starts is None else datetime.fromisoformat(str(starts)),
        **{name: float(stated[name] or 0.0) for name in BOUNDS},
    )


def _check_numbers(change: LimitChange) -> None:
    for name, (above, up_to) in BOUNDS.items():
        value = getattr(change, name)
        if not above < value <= up_to:  # neither is NaN
            _refuse(change, name, value, f"above {above:g} and at most {up_to:g}")
    if change.ramp_kw is not None and not 0 <= change.ramp_kw < inf:
        _refuse(change, "ramp_kw", change.ramp_kw, "a finite number of at least 0, or none")


def _refuse(change: LimitChange, name: str, value: float, expected: str) -> None:
    message = f"node {change.node}: {name} is {value}, expected {expected}"
    raise LimitRefused(message, field=name, id=change.node, value=str(value), expected=expected)


def _check_start(change: LimitChange, now: datetime) -> None:
    starts = change.valid_from
    if starts is None:
        return
    if starts.tzinfo is None or starts <= now:
        raise LimitRefused(
            f"node {change.node}: valid_from is {starts.isoformat()}, expected a time with an offset after "
            f"{now.isoformat()}: a limit does not change in the past",
            field="valid_from",
            id=change.node,
            value=starts.isoformat(),
            expected=f"after {now.isoformat()}",
        )
