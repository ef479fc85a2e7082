"""Control acts as a person reads them before deciding: figures against thresholds, what, who, why, until when."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from aggregator.core.control import NAMES, UNITS
from aggregator.core.plain_facts import Fact, plain_facts
from aggregator.models import ControlAct
from aggregator.services.control_acts import thresholds

KINDS = {
    "request_dispatch": "Dispatch",
    "change_limits": "Change of limits",
    "release_statements": "Release of statements",
}
CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class ActLine:
    """An act in a list; one that nobody decided in time reads as expired whether or not it was closed yet."""

    pk: int
    kind: str
    subject: str
    organisation: str
    state: str
    state_label: str
    asked_as: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str
    decided_at: datetime | None
    exceeded: tuple[str, ...]
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class FigureLine:
    """One figure beside what one person may move alone; ``n_decimal`` is how exactly it is said."""

    unit: str
    value: float
    threshold: float
    n_decimal: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One figure that an act changes, as it was when asked and as it would be; ``before`` is empty where it was not."""

    where: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ActPage:
    """One act whole.

    Attributes:
        changes: before and after, where the act states them.
        payload: the rest of what was asked; ``outcome`` is what came of it.
        reference: of the request that a dispatch is for; empty for other kinds.
    """

    line: ActLine
    reason: str
    figures: tuple[FigureLine, ...]
    changes: tuple[ChangeLine, ...]
    payload: tuple[Fact, ...]
    outcome: tuple[Fact, ...]
    reference: str


def act_lines(acts: Sequence[ControlAct], *, now: datetime) -> list[ActLine]:
    """Describe acts, in their order."""
    return [_line(act, now) for act in acts]


def act_page(act: ControlAct, *, now: datetime) -> ActPage:
    """Describe one act."""
    reference = act.payload.get("reference", "")
    return ActPage(
        line=_line(act, now),
        reason=act.reason,
        figures=figure_lines(act.figures, exceeded=act.exceeded),
        changes=tuple(_changes(act.payload)),
        payload=plain_facts({name: value for name, value in act.payload.items() if name != CHANGES}),
        outcome=plain_facts(act.outcome),
        reference=reference if act.kind == "request_dispatch" and isinstance(reference, str) else "",
    )


def figure_lines(figures: Mapping[str, float], *, exceeded: Collection[str]) -> tuple[FigureLine, ...]:
    """What an act moves, figure by figure, with the thresholds in force."""
    limits = asdict(thresholds())
    return tuple(
        FigureLine(UNITS[name], figures.get(name, 0), limits[name], 0 if name.startswith("n_") else 3, name in exceeded)
        for name in NAMES
    )


def _changes(payload: Mapping[str, object]) -> Iterator[ChangeLine]:
    """Figures of ``changes``: a list of objects that name a node, new figures, and under ``before`` the old ones."""
    stated = payload.get(CHANGES)
    for change in stated if isinstance(stated, list) else ():
        before = {fact.name: fact.value for fact in plain_facts(change.get("before"))}
        new = {name: value for name, value in change.items() if name not in ("before", "node")}
        for fact in plain_facts(new):
            if fact.value != before.get(fact.name, ""):
                yield ChangeLine(str(change.get("node", "")), fact.name, before.get(fact.name, ""), fact.value)


def _line(act: ControlAct, now: datetime) -> ActLine:
    is_open = act.state == ControlAct.State.PENDING
    is_late = is_open and act.expires_at <= now
    state = ControlAct.State.EXPIRED if is_late else ControlAct.State(act.state)
    return ActLine(
        pk=act.pk,
        kind=KINDS.get(act.kind, act.kind),
        subject=act.subject,
        organisation=act.organisation.code,
        state=state.value,
        state_label=state.label,
        asked_as=act.asked_as,
        asked_at=act.asked_at,
        expires_at=act.expires_at,
        decided_by=act.decided_by.get_username() if act.decided_by else "",
        decided_at=act.decided_at,
        exceeded=tuple(UNITS.get(name, name) for name in act.exceeded),
        is_waiting=is_open and not is_late,
    )
