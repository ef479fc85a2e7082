"""The states of what is traded, as data: which act leads from where to where, who may do it, and until when.

Source: docs/methods/trading.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from aggregator.core.errors import FlexError

Role = Literal["buyer", "dsrsp", "clock"]
BUYER: Role = "buyer"
DSRSP: Role = "dsrsp"
CLOCK: Role = "clock"  # no act of anybody: the deadline passes


class TransitionRefused(FlexError):
    code = "trading.transition_refused"


@dataclass(frozen=True, slots=True)
class Transition:
    """One act.

    Attributes:
        event: name of the act.
        sources: states it starts from.
        target: state it leads to; one of ``sources`` where the state stays.
        roles: who may do it.
        before: deadlines by name; each is the first instant at which it is too late.
        after: a deadline by name; the act is too early before it. Empty for none.
    """

    event: str
    sources: frozenset[str]
    target: str
    roles: frozenset[Role]
    before: tuple[str, ...] = ()
    after: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """States and transitions of one kind of thing.

    Attributes:
        thing: what it is called in messages.
        states: the first is where it starts.
    """

    thing: str
    states: tuple[str, ...]
    transitions: tuple[Transition, ...]

    @property
    def initial(self) -> str:
        return self.states[0]

    @property
    def final(self) -> frozenset[str]:
        """States that nothing leads out of."""
        left = {source for one in self.transitions for source in one.sources - {one.target}}
        return frozenset(self.states) - left

    @property
    def events(self) -> frozenset[str]:
        return frozenset(one.event for one in self.transitions if CLOCK not in one.roles)

    @property
    def deadlines(self) -> frozenset[str]:
        """Names of every deadline that a transition knows."""
        return frozenset(name for one in self.transitions for name in (*one.before, one.after) if name)


def _act(event: str, sources: str, target: str, roles: str, *, before: str = "", after: str = "") -> Transition:
    named: dict[str, Role] = {"buyer": BUYER, "dsrsp": DSRSP, "clock": CLOCK}
    return Transition(
        event,
        frozenset(sources.split()),
        target,
        frozenset(named[role] for role in roles.split()),
        tuple(before.split()),
        after,
    )


MARKET = Machine(
    "market",
    ("open", "suspended", "closed"),
    (
        _act("publish a request in", "open", "open", "buyer", before="ends_at"),
        _act("suspend", "open", "suspended", "buyer", before="ends_at"),
        _act("resume", "suspended", "open", "buyer", before="ends_at"),
        _act("close", "open suspended", "closed", "buyer", before="ends_at"),
        _act("reach the end of", "open suspended", "closed", "clock", after="ends_at"),
    ),
)
FLEX_REQUEST = Machine(
    "flex request",
    ("published", "closed", "withdrawn"),
    (
        _act("offer on", "published", "published", "dsrsp", before="expires_at gate_closes_at"),
        _act("withdraw", "published closed", "withdrawn", "buyer", before="starts_at"),
        _act("close", "published", "closed", "clock", after="expires_at"),
    ),
)
FLEX_OFFER = Machine(
    "flex offer",
    ("submitted", "accepted", "rejected", "revoked", "expired"),
    (
        _act("accept", "submitted", "accepted", "buyer", before="expires_at starts_at"),
        _act("reject", "submitted", "rejected", "buyer", before="expires_at"),
        _act("revoke", "submitted", "revoked", "dsrsp", before="expires_at"),
        _act("expire", "submitted", "expired", "clock", after="expires_at"),
    ),
)
FLEX_ORDER = Machine(
    "flex order",
    ("ordered", "dispatched", "stopped", "cancelled", "lapsed", "delivered"),
    (
        _act("dispatch", "ordered", "dispatched", "buyer", before="dispatch_until starts_at"),
        _act("stop", "dispatched", "stopped", "buyer", before="ends_at", after="starts_at"),
        _act("cancel", "ordered dispatched", "cancelled", "buyer", before="starts_at"),
        _act("lapse", "ordered", "lapsed", "clock", after="starts_at"),
        _act("end", "dispatched", "delivered", "clock", after="ends_at"),
    ),
)
CONTRACT = Machine(
    "contract",
    ("proposed", "in_force", "declined", "withdrawn", "lapsed", "ended"),
    (
        _act("agree to", "proposed", "in_force", "dsrsp", before="ends_at"),
        _act("decline", "proposed", "declined", "dsrsp", before="ends_at"),
        _act("withdraw", "proposed", "withdrawn", "buyer", before="ends_at"),
        _act("instruct under", "in_force", "in_force", "buyer", before="ends_at", after="starts_at"),
        _act("end", "in_force", "ended", "buyer dsrsp", before="ends_at"),
        _act("lapse", "proposed", "lapsed", "clock", after="ends_at"),
        _act("run out", "in_force", "ended", "clock", after="ends_at"),
    ),
)
MACHINES = (MARKET, FLEX_REQUEST, FLEX_OFFER, FLEX_ORDER, CONTRACT)


def state_at(machine: Machine, state: str, *, now: datetime, deadlines: Mapping[str, datetime]) -> str:
    """The state a thing stored in ``state`` is in by now: deadlines pass whether or not anybody writes it down."""
    for one in machine.transitions:
        if CLOCK in one.roles and state in one.sources and now >= deadlines[one.after]:
            return state_at(machine, one.target, now=now, deadlines=deadlines)
    return state


def next_state(
    machine: Machine,
    state: str,
    event: str,
    *,
    role: Role,
    now: datetime,
    deadlines: Mapping[str, datetime],
    name: str,
) -> str:
    """The state that an act leads to.

    Args:
        state: as it is stored.
        deadlines: by the names that the machine's transitions use.
        name: of the thing, for messages.

    Raises:
        TransitionRefused: the machine knows no such act, it is not this role's, does not start from the present
            state, or comes before or after its time.
    """
    standing = state_at(machine, state, now=now, deadlines=deadlines)
    known = [one for one in machine.transitions if one.event == event and CLOCK not in one.roles]
    facts = {"event": event, "state": standing, "role": role, "name": name}
    if not known:
        raise TransitionRefused(f"a {machine.thing} knows no act {event!r}", **facts)
    may = sorted({role for one in known for role in one.roles})
    if role not in may:
        raise TransitionRefused(
            f"the {role} asked to {event} {machine.thing} {name}, which is for the {' or '.join(may)}", **facts
        )
    fitting = [one for one in known if standing in one.sources and role in one.roles]
    if not fitting:
        wanted = " or ".join(sorted({source for one in known for source in one.sources}))
        passed = _passed(machine, state, standing, deadlines)
        raise TransitionRefused(
            f"the {role} asked to {event} {machine.thing} {name}, which is {standing}{passed}, expected {wanted}",
            **facts,
        )
    _refuse_untimely(machine, fitting[0], now, deadlines, facts)
    return fitting[0].target


def _passed(machine: Machine, state: str, standing: str, deadlines: Mapping[str, datetime]) -> str:
    """Which deadline brought a thing from its stored state to the one it is in."""
    if state == standing:
        return ""
    for one in machine.transitions:
        if CLOCK in one.roles and state in one.sources:
            return f" since its {one.after}, {deadlines[one.after].isoformat()}"
    return ""


def _refuse_untimely(
    machine: Machine, act: Transition, now: datetime, deadlines: Mapping[str, datetime], facts: Mapping[str, str]
) -> None:
    asked = f"the {facts['role']} asked to {act.event} {machine.thing} {facts['name']}, which is {facts['state']}"
    if act.after and now < deadlines[act.after]:
        raise TransitionRefused(
            f"{asked}, at {now.isoformat()}, before its {act.after}, {deadlines[act.after].isoformat()}",
            **facts,
            deadline=act.after,
        )
    for deadline in act.before:
        if now >= deadlines[deadline]:
            raise TransitionRefused(
                f"{asked}, at {now.isoformat()}, expected before its {deadline}, {deadlines[deadline].isoformat()}",
                **facts,
                deadline=deadline,
            )
