"""Reasons in words for whoever is on shift: one clause, its figure and its unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.core.display import number
from dispatch.core.cause import Element
from dispatch.core.charges import Charge
from dispatch.core.explain import PeriodReason, Reason

UPSTREAM = "a network limit upstream"


@dataclass(frozen=True, slots=True)
class Names:
    """What indices are called.

    Attributes:
        nodes: (n_node,) such as ``feeder Dene Road``; empty where a reader may not know which.
        requests: (n_request,) references; empty where a reader may not know them.
        clock: (n_period + 1,) local time at which each period starts, and the last ends.
        with_prices: whether prices of the network are for this reader.
    """

    nodes: Sequence[str]
    requests: Sequence[str]
    clock: Sequence[str]
    with_prices: bool = True

    def limit(self, node: int) -> str:
        return f"the limit of {self.nodes[node]}" if self.nodes[node] else UPSTREAM

    def at(self, node: int) -> str:
        return f"at {self.nodes[node]}" if self.nodes[node] else "upstream"

    def request(self, direction: str, request: int) -> str:
        reference = self.requests[request] if request >= 0 else ""
        return f"{direction} request {reference}".rstrip()

    def worth(self, gbp_per_kwh: float) -> str:
        return f": worth {gbp(gbp_per_kwh)}" if self.with_prices else ""


def gbp(gbp_per_kwh: float) -> str:
    """A price, to the tenth of a penny."""
    return f"{number(gbp_per_kwh, 3)} GBP/kWh"


def reason_words(one: PeriodReason, names: Names, totals: Sequence[float]) -> str:
    """Say why a session draws what it does in a period.

    Args:
        totals: (n_period,) marginal cost of each period, GBP per kWh, for comparison.
    """
    if one.because is not None:
        return _because(one, one.because, names)
    if one.reason == Reason.WAITS:
        there, here = number(totals[one.until], 3), gbp(totals[one.period])
        against = f" ({there} against {here})" if names.with_prices else ""
        return f"waits: cheaper at {names.clock[one.until]}{against}"
    off = f", {gbp(one.off_gbp_per_kwh)} off" if names.with_prices else ""
    return {
        Reason.NOT_PLUGGED_IN: "not plugged in",
        Reason.NO_NEED: "asks for no energy",
        Reason.CHEAPEST: "cheapest time: takes what it needs",
        Reason.AT_RATING: "cheapest time: at its rating",
        Reason.HAS_ITS_ENERGY: "has its energy: earlier was cheaper",
        Reason.AS_CHEAP_ELSEWHERE: "not needed: other times are as cheap",
        Reason.DEARER_THAN_UNSERVED: "energy costs more here than going without",
        Reason.ROUNDED: "rounded to whole amperes, 0 or at least its lowest current",
        Reason.WITHIN_GAP: f"within the plan's gap: no price settles it{off}",
    }[one.reason]


def _because(one: PeriodReason, because: Charge, names: Names) -> str:
    how = "held down" if one.power_kw > 0 else "held at 0"
    step = "an ampere" if one.power_kw > 0 else "its lowest current"
    worth = names.worth(abs(because.gbp_per_kwh))
    at = names.at(because.node)
    return {
        Reason.HELD_BY_LIMIT: f"{how} by {names.limit(because.node)}{worth}",
        Reason.NO_ROOM: f"{how} by {names.limit(because.node)}: less than {step} is left",
        Reason.HELD_BY_TURN_DOWN: f"{how} by {names.request('turn-down', because.request)} {at}{worth}",
        Reason.HELD_BY_RAMP: f"{how} so that power {at} changes slowly{worth}",
        Reason.RAISED_BY_TURN_UP: f"draws for {names.request('turn-up', because.request)} {at}{worth}",
        Reason.RAISED_BY_RAMP: f"draws so that power {at} changes slowly{worth}",
        Reason.KEPT_FOR_TURN_UP: f"kept for {names.request('turn-up', because.request)} at {names.clock[one.until]}",
    }[one.reason]


def element_words(element: Element, names: Names, n_other: int | None) -> str:
    """Say what one element of a cause is.

    Args:
        n_other: how many other EVSEs an element of others means; None where that is not for this reader.
    """
    when = f"{names.clock[element.start]} to {names.clock[element.end]}"
    others = "other EVSEs" if n_other is None else f"{n_other} other EVSE{'' if n_other == 1 else 's'}"
    if element.kind == "limit":
        return f"{names.limit(element.node)}, {when}"
    if element.kind in ("turn_down", "turn_up"):
        direction = element.kind.replace("_", "-")
        return f"{names.request(direction, element.request)} {names.at(element.node)}, {when}"
    return {
        "tariff": f"a price above what its energy is worth, {when}",
        "equals": f"{others} sharing these limits whose energy is worth as much keep theirs",
        "betters": f"{others} sharing these limits whose energy is worth more keep theirs",
    }[element.kind]
