"""When a control act needs a second person: what it moves, and what one person may move on their own word."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from math import isfinite

from aggregator.core.errors import FlexError


class NotAFigure(FlexError):
    code = "control.not_a_figure"


@dataclass(frozen=True, slots=True)
class ActFigures:
    """What an act moves; 0 where it moves nothing of the kind.

    Attributes:
        total_mw: power the act may move at once, from above.
        mw_per_minute: how fast it may move it, from above.
        n_evse: EVSEs whose power it may move.
        n_limits: network nodes whose limits it changes.
        n_statements: statements it makes final.

    Raises:
        NotAFigure: a figure that is negative or not finite; it would be above no threshold.
    """

    total_mw: float = 0.0
    mw_per_minute: float = 0.0
    n_evse: int = 0
    n_limits: int = 0
    n_statements: int = 0

    def __post_init__(self) -> None:
        _refuse_nonsense(asdict(self))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The most that one person may move, figure by figure; the names are those of ``ActFigures``."""

    total_mw: float
    mw_per_minute: float
    n_evse: int
    n_limits: int
    n_statements: int

    def __post_init__(self) -> None:
        _refuse_nonsense(asdict(self))


NAMES = tuple(field.name for field in fields(ActFigures))
UNITS = {
    "total_mw": "MW in all",
    "mw_per_minute": "MW a minute",
    "n_evse": "EVSEs",
    "n_limits": "limits changed",
    "n_statements": "statements released",
}


def exceeded(figures: ActFigures, thresholds: Thresholds) -> tuple[str, ...]:
    """Names of the figures above their thresholds, in the order of ``NAMES``; a figure just at its threshold is not."""
    return tuple(name for name in NAMES if getattr(figures, name) > getattr(thresholds, name))


def together(acts: Iterable[ActFigures]) -> ActFigures:
    """What several acts move as if they were one, so that splitting an act in parts dodges no threshold."""
    every = list(acts)
    return ActFigures(
        total_mw=sum(act.total_mw for act in every),
        mw_per_minute=sum(act.mw_per_minute for act in every),
        n_evse=sum(act.n_evse for act in every),
        n_limits=sum(act.n_limits for act in every),
        n_statements=sum(act.n_statements for act in every),
    )


def _refuse_nonsense(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        if not isfinite(value) or value < 0:
            raise NotAFigure(f"{name} is {value}, expected a finite number of at least 0", field=name, value=str(value))
