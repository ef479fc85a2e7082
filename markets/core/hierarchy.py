"""Who may command an EVSE: the hierarchy of commands, what is applied, and what each loser was displaced of.

Caps of the first three tiers always hold together; below them the highest-ranked commitment in force is followed. The
order of a distribution service and a system service is a table keyed by the two products and their directions, not a
constant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Literal

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote

Heading = Literal["turn_down", "turn_up", ""]
OVERRIDE, SAFETY, EMERGENCY, NETWORK_LIMIT = "override", "safety", "emergency", "network_limit"
PRIMACY = "primacy"


class InvalidCommand(FlexError):
    code = "hierarchy.invalid_command"


class Tier(IntEnum):
    """Who commands, the strongest first."""

    SAFETY = 0
    EMERGENCY = 1
    NETWORK_LIMIT = 2
    OVERRIDE = 3
    DSO_SERVICE = 4
    NESO_SERVICE = 5
    SUPPLIER = 6
    SCHEDULE = 7

    @property
    def is_cap(self) -> bool:
        return self <= Tier.NETWORK_LIMIT

    @property
    def may_be_overridden(self) -> bool:
        """Whether the consumer's own choice goes before it."""
        return self > Tier.OVERRIDE


CAUSES = {
    Tier.SAFETY: SAFETY,
    Tier.EMERGENCY: EMERGENCY,
    Tier.NETWORK_LIMIT: NETWORK_LIMIT,
    Tier.OVERRIDE: OVERRIDE,
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command to one EVSE.

    Attributes:
        ref: names it, unique among the commands looked at.
        power_kw: the cap, or the setpoint; None for an override that asks for no power of its own.
        ends_at: None holds until it is cleared.
        heading: for a commitment, which way it moves the EVSE; commitments that move nothing have none.
        product: under which it is settled; empty for none.
        contracted_at: where no table says who goes first, the earlier commitment does.
        counter: of two commands of one issuer under one product, the higher replaces the lower.
    """

    ref: str
    tier: Tier
    power_kw: float | None
    starts_at: datetime
    ends_at: datetime | None
    heading: Heading = ""
    product: str = ""
    contracted_at: datetime | None = None
    counter: int = 0
    issuer: str = ""

    def __post_init__(self) -> None:
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise InvalidCommand(f"command {self.ref} ends at {self.ends_at}, not after its start", ref=self.ref)
        if self.power_kw is None and self.tier is not Tier.OVERRIDE:
            raise InvalidCommand(f"command {self.ref} of tier {self.tier.value} states no power", ref=self.ref)
        if self.power_kw is not None and self.power_kw < 0 and self.tier.is_cap:
            raise InvalidCommand(f"cap {self.ref} is {self.power_kw} kW, below 0", ref=self.ref)

    def holds_at(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class Displaced:
    """What a commitment lost in one period.

    Attributes:
        energy_kwh: ``|its setpoint - applied| x`` the period's length.
        cause: ``override``, ``safety``, ``emergency``, ``network_limit``, or ``primacy``.
        by: the command that displaced it.
    """

    ref: str
    product: str
    starts_at: datetime
    setpoint_kw: float
    applied_kw: float
    energy_kwh: float
    cause: str
    by: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What one EVSE is told in one period.

    Attributes:
        followed: the command whose value stands; the cap where one is lower than what would be followed.
        displaced: commitments that lost, the strongest first.
    """

    starts_at: datetime
    power_kw: float
    followed: str
    displaced: tuple[Displaced, ...]
    findings: tuple[FindingNote, ...] = ()


Order = Callable[[Command, Command], bool | None]
"""Whether the first of two commitments goes before the second; None: the table does not say."""


def by_contract(_first: Command, _second: Command) -> bool | None:
    """An empty table."""
    return None


def apply_commands(
    commands: Sequence[Command],
    *,
    at: datetime,
    duration: timedelta,
    rated_kw: float,
    default_kw: float,
    goes_before: Order = by_contract,
) -> Applied:
    """What one EVSE is told for a period, and who was displaced by how much and why.

    ``P = min(caps of tiers 0 to 2, value of the highest-ranked commitment in force in tiers 3 to 7)``. All instants are
    compared in UTC.

    Args:
        at: start of the period; commands that hold then are looked at.
        duration: of the period, for energies.
        rated_kw: of the EVSE: what it draws at most, and what an override without a power of its own asks for.
        default_kw: what is applied where nobody commands.
        goes_before: the table of primacy between commitments.

    Source: docs/methods/ledger.md
    """
    active, findings = _active(commands, at)
    caps = [one for one in active if one.tier.is_cap]
    tightest = min(caps, key=lambda one: (_power(one, rated_kw), one.tier, one.ref), default=None)
    cap_kw = rated_kw if tightest is None else min(_power(tightest, rated_kw), rated_kw)
    ranked = _ranked([one for one in active if not one.tier.is_cap], goes_before)
    ranked, refused = _without_contradiction(ranked, goes_before)
    wanted_kw = _power(ranked[0], rated_kw) if ranked else default_kw
    applied_kw = min(cap_kw, wanted_kw)
    is_capped = tightest is not None and cap_kw < wanted_kw
    followed = tightest.ref if is_capped and tightest else (ranked[0].ref if ranked else "default")
    displaced = [
        _displaced(one, ranked[0], tightest, at, duration, rated_kw=rated_kw, cap_kw=cap_kw, applied_kw=applied_kw)
        for one in (*ranked, *refused)
        if one.product and _power(one, rated_kw) != applied_kw
    ]
    return Applied(at, applied_kw, followed, tuple(displaced), (*findings, *_alarms(refused, at)))


def _power(command: Command, rated_kw: float) -> float:
    return rated_kw if command.power_kw is None else command.power_kw


def _active(commands: Sequence[Command], at: datetime) -> tuple[list[Command], list[FindingNote]]:
    """Commands that hold, the newest of each issuer and product; what is stale is logged and not followed."""
    newest: dict[tuple[str, str, Tier], int] = {}
    for one in commands:
        key = (one.issuer, one.product, one.tier)
        if one.issuer and one.holds_at(at):
            newest[key] = max(one.counter, newest.get(key, one.counter))
    active, findings = [], []
    for one in sorted(commands, key=lambda one: one.ref):
        if not one.holds_at(at):
            continue
        if one.issuer and one.counter < newest[one.issuer, one.product, one.tier]:
            findings.append(
                FindingNote(
                    "hierarchy.stale_command", one.ref, f"replaced by a later one of {one.issuer}: ignored", "info"
                )
            )
        else:
            active.append(one)
    return active, findings


def _ranked(commitments: list[Command], goes_before: Order) -> list[Command]:
    """The strongest first: by tier, where the table says so across tiers, then by the time of contract."""

    def beats(one: Command, other: Command) -> bool:
        # A consumer's own choice stands outside the table.
        if Tier.OVERRIDE not in (one.tier, other.tier):
            said = goes_before(one, other)
            if said is not None:
                return said
        return _rank(one) < _rank(other)

    left, ranked = sorted(commitments, key=_rank), []
    while left:
        # A table may go round in a circle: then tier and contract decide among those in it.
        free = [one for one in left if not any(beats(other, one) for other in left if other is not one)]
        chosen = (free or left)[0]
        ranked.append(chosen)
        left.remove(chosen)
    return ranked


def _rank(command: Command) -> tuple[int, bool, float, str]:
    contracted = command.contracted_at
    return (command.tier, contracted is None, contracted.timestamp() if contracted else 0.0, command.ref)


def _without_contradiction(ranked: list[Command], goes_before: Order) -> tuple[list[Command], list[Command]]:
    """Opposite commitments of one tier that neither table nor time of contract can order: the later one is refused."""
    kept: list[Command] = []
    refused: list[Command] = []
    for one in ranked:
        against = [
            other
            for other in kept
            if other.tier is one.tier
            and {other.heading, one.heading} == {"turn_down", "turn_up"}
            and goes_before(other, one) is None
            and (other.contracted_at is None or other.contracted_at == one.contracted_at)
        ]
        (refused if against else kept).append(one)
    return kept, refused


def _alarms(refused: list[Command], at: datetime) -> list[FindingNote]:
    return [
        FindingNote(
            "hierarchy.opposite_commands",
            one.ref,
            f"commands against another of its tier at {at.isoformat()}, and nothing says which goes first: refused",
            "alarm",
        )
        for one in refused
    ]


def _displaced(
    lost: Command,
    winner: Command,
    tightest: Command | None,
    at: datetime,
    duration: timedelta,
    *,
    rated_kw: float,
    cap_kw: float,
    applied_kw: float,
) -> Displaced:
    """One loser, with the command that is the cause."""
    setpoint_kw = _power(lost, rated_kw)
    # Where the cap is what is applied, it alone has cut whatever lies above it: it would have done so without a winner.
    by_cap = tightest is not None and applied_kw == cap_kw < setpoint_kw
    by = tightest if by_cap and tightest is not None else winner
    return Displaced(
        ref=lost.ref,
        product=lost.product,
        starts_at=at,
        setpoint_kw=setpoint_kw,
        applied_kw=applied_kw,
        energy_kwh=abs(setpoint_kw - applied_kw) * (duration / timedelta(hours=1)),
        cause=CAUSES.get(by.tier, PRIMACY),
        by=by.ref,
    )
