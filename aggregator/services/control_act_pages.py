"""Control acts as a person reads them before deciding: figures against thresholds, what, who, why, until when."""

from collections.abc import Sequence
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
    unit: str
    value: float
    threshold: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class ActPage:
    """One act whole. ``payload`` is what was asked, ``outcome`` what came of it."""

    line: ActLine
    kind_key: str
    reason: str
    figures: tuple[FigureLine, ...]
    payload: tuple[Fact, ...]
    outcome: tuple[Fact, ...]
    reference: str


def act_lines(acts: Sequence[ControlAct], *, now: datetime) -> list[ActLine]:
    """Describe acts, in their order."""
    return [_line(act, now) for act in acts]


def act_page(act: ControlAct, *, now: datetime) -> ActPage:
    """Describe one act."""
    limits = asdict(thresholds())
    figures = tuple(
        FigureLine(UNITS[name], act.figures.get(name, 0), limits[name], name in act.exceeded) for name in NAMES
    )
    reference = act.payload.get("reference", "")
    return ActPage(
        line=_line(act, now),
        kind_key=act.kind,
        reason=act.reason,
        figures=figures,
        payload=plain_facts(act.payload),
        outcome=plain_facts(act.outcome),
        reference=reference if act.kind == "request_dispatch" and isinstance(reference, str) else "",
    )


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
