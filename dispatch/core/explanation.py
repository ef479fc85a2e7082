"""What an explanation holds: plain values, so that neither page nor API can query."""

from dataclasses import dataclass
from datetime import date, datetime

from aggregator.core.timegrid import TimeGrid


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A node on the path that is full in a period; the price is None where it is not for the reader."""

    node: str
    name: str
    gbp_per_kwh: float | None


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request in force on the path; ``reference`` is empty, the price None, where they are not for the reader."""

    reference: str
    direction: str
    node: str
    gbp_per_kwh: float | None


@dataclass(frozen=True, slots=True)
class ExplainedPeriod:
    """One period. What tells of the user's plan, or of others' EVSEs, is None where it is not for the reader.

    Attributes:
        tariff_gbp_per_kwh: energy price, carbon at its weight.
        cost_gbp_per_kwh: with what limits, requests and ramps add; it is held against the worth.
        reason: stable word; ``words`` is the same for people.
        note: what else is to be known of the ceiling; empty if nothing.
        is_held: a limit, request or ramp stands in the way.
    """

    starts_at: datetime
    ends_at: datetime
    setpoint_a: int
    setpoint_kw: float
    told_kw: float | None
    planned_kw: float | None
    tariff_gbp_per_kwh: float
    limits: tuple[LimitLine, ...]
    requests: tuple[RequestLine, ...]
    ramp_gbp_per_kwh: float | None
    cost_gbp_per_kwh: float | None
    reason: str
    words: str
    note: str
    is_held: bool


@dataclass(frozen=True, slots=True)
class CauseLine:
    """One of the things that kept energy from the EVSE, ``[starts_at, ends_at)``."""

    kind: str
    node: str
    reference: str
    starts_at: datetime
    ends_at: datetime
    n_evse: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why energy is missing.

    Attributes:
        verdict: ``served``, ``limits`` or ``not_forced``, as in ``core.cause``.
        is_irreducible: without any one of the causes all the energy could be had; False where time ran out.
        held_outside: EVSEs not under this node were held to their plan; empty where none were.
    """

    verdict: str
    causes: tuple[CauseLine, ...]
    is_irreducible: bool
    held_outside: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A setpoint explained.

    Attributes:
        is_whole: the plan of its user is for this reader; else all that comes from it is None.
        worth_gbp_per_kwh: what the session's last kWh is worth.
        summary: sentences, the most important first.
    """

    run: int
    area: str
    charging_day: date
    evse: str
    node: str
    grid: TimeGrid
    is_whole: bool
    energy_kwh: float | None
    unserved_kwh: float | None
    unserveable_kwh: float | None
    worth_gbp_per_kwh: float | None
    summary: tuple[str, ...]
    unserved: Unserved | None
    periods: tuple[ExplainedPeriod, ...]
