"""Who goes first where two products meet at one asset: primacy and stacking rules, as data.

Rules name a **service**: a product's code, a product family, or ``any``. The more exactly a rule names the two, the
more it counts; of equals the one valid from later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from aggregator.core.errors import FlexError

ANY = "any"
Side = Literal["same", "opposite", "any"]
Effect = Literal["block", "curtail", "notify"]
Treatment = Literal["paid", "void", "penalised"]
Stacking = Literal["co-delivery", "splitting", "jumping"]


class PrimacyConflict(FlexError):
    code = "ledger.primacy_conflict"


@dataclass(frozen=True, slots=True)
class PrimacyRule:
    """One version of: ``product_hi`` goes before ``product_lo``.

    Attributes:
        direction: whether it is about commitments in the same direction, opposite ones, or any.
        lead_time: it holds only where the higher was contracted at least this long before delivery.
        action: the lower gets nothing there (block), what is left (curtail), or is only told (notify).
        displaced: what the displaced volume is for the lower product's settlement.
    """

    pk: int
    code: str
    version: int
    product_hi: str
    product_lo: str
    direction: Side
    lead_time: timedelta
    action: Effect
    displaced: Treatment
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class StackingRule:
    """One version of: what two services may do with one asset; for both orders of the two.

    Attributes:
        kind: same energy paid by both, different energy of one half-hour, or different half-hours.
        is_allowed: False refuses it. Co-delivery is refused where no rule allows it, the others allowed where no rule
            refuses.
    """

    pk: int
    code: str
    version: int
    kind: Stacking
    service_a: str
    service_b: str
    is_allowed: bool
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class Service:
    """A product as rules see it, with the commitment under it.

    Attributes:
        contracted_at: when the commitment was made; where no rule says who goes first, the earlier does.
        key: settles what is left, e.g. the event's number.
    """

    code: str
    family: str
    direction: str
    starts_at: datetime
    contracted_at: datetime
    key: int


@dataclass(frozen=True, slots=True)
class Precedence:
    """How two commitments stand to one another.

    Attributes:
        is_first: whether the first of the two is served before the second.
        rule: what says so, or what wants both told; None where it goes by the time of contract alone.
    """

    is_first: bool
    rule: PrimacyRule | None

    @property
    def by_rule(self) -> bool:
        return self.rule is not None and self.rule.action != "notify"


R = TypeVar("R", PrimacyRule, StackingRule)


def rules_in_force(rules: Sequence[R], at: datetime) -> tuple[R, ...]:
    """The newest version of each rule that is valid at ``at``, by code."""
    newest: dict[str, R] = {}
    for rule in sorted(rules, key=lambda one: (one.code, one.version)):
        if rule.valid_from <= at:
            newest[rule.code] = rule
    return tuple(newest.values())


def precedence(rules: Sequence[PrimacyRule], first: Service, second: Service) -> Precedence:
    """Which of two commitments is served before the other: by rule, else the one contracted earlier.

    Two calls on one product go by the time of contract; so does what a rule names both ways, which says nothing.

    Args:
        rules: those in force.

    Raises:
        PrimacyConflict: two rules that count alike put each before the other.

    Source: docs/methods/ledger.md
    """
    is_earlier = (first.contracted_at, first.key) < (second.contracted_at, second.key)
    winners = _most_exact(rules, first, second)
    if not winners:
        return Precedence(is_earlier, None)
    rule = min(winners, key=lambda one: one.code)
    if rule.action == "notify":
        return Precedence(is_earlier, rule)
    return Precedence(_fits(rule, first, second), rule)


def _most_exact(rules: Sequence[PrimacyRule], first: Service, second: Service) -> list[PrimacyRule]:
    if first.code == second.code:
        return []
    found = []
    for rule in rules:
        over, under = _fits(rule, first, second), _fits(rule, second, first)
        if over != under:
            exactness = _exactness(rule, first, second) if over else _exactness(rule, second, first)
            found.append(((exactness, rule.valid_from), over, rule))
    best = max((rank for rank, _, _ in found), default=None)
    winners = [(over, rule) for rank, over, rule in found if rank == best]
    if len({over for over, _ in winners}) > 1:
        codes = ", ".join(sorted(rule.code for _, rule in winners))
        raise PrimacyConflict(
            f"rules {codes} put {first.code} both before and behind {second.code}", first=first.code, second=second.code
        )
    return [rule for _, rule in winners]


def serving_order(rules: Sequence[PrimacyRule], services: Sequence[Service]) -> tuple[int, ...]:
    """Indices of commitments in the order in which they are served, whatever order they come in.

    Whoever a rule puts behind another waits for it; of those who need not wait, the earliest contracted is next.

    Raises:
        PrimacyConflict: the rules go round in a circle.

    Source: docs/methods/ledger.md
    """
    ahead: dict[int, set[int]] = {at: set() for at in range(len(services))}
    for one, service in enumerate(services):
        for other in range(one):
            said = precedence(rules, service, services[other])
            if said.by_rule:
                behind, before = (other, one) if said.is_first else (one, other)
                ahead[behind].add(before)
    order: list[int] = []
    while ahead:
        ready = [at for at, waits_for in ahead.items() if not waits_for - set(order)]
        if not ready:
            codes = ", ".join(sorted({services[at].code for at in ahead}))
            raise PrimacyConflict(f"primacy rules go round in a circle among {codes}", products=codes)
        chosen = min(ready, key=lambda at: (services[at].contracted_at, services[at].key))
        order.append(chosen)
        del ahead[chosen]
    return tuple(order)


def stacking_between(
    rules: Sequence[StackingRule], first: Service, second: Service, kind: Stacking
) -> StackingRule | None:
    """The rule in force that says most exactly whether two services may stack in this way; None where none does."""
    found = [
        ((_pair_exactness(rule, first, second), rule.valid_from, rule.code), rule)
        for rule in rules
        if rule.kind == kind
    ]
    fitting = [one for one in found if one[0][0] >= 0]
    return max(fitting, key=lambda one: one[0])[1] if fitting else None


def _pair_exactness(rule: StackingRule, first: Service, second: Service) -> int:
    return max(
        _both(rule.service_a, first, rule.service_b, second), _both(rule.service_a, second, rule.service_b, first)
    )


def _fits(rule: PrimacyRule, hi: Service, lo: Service) -> bool:
    is_same = hi.direction == lo.direction
    sides = {"same": is_same, "opposite": not is_same, "any": True}
    in_time = hi.starts_at - hi.contracted_at >= rule.lead_time
    return sides[rule.direction] and in_time and _exactness(rule, hi, lo) >= 0


def _exactness(rule: PrimacyRule, hi: Service, lo: Service) -> int:
    return _both(rule.product_hi, hi, rule.product_lo, lo)


def _both(word: str, service: Service, other_word: str, other: Service) -> int:
    one, two = _names(word, service), _names(other_word, other)
    return one + two if one >= 0 and two >= 0 else -1


def _names(said: str, service: Service) -> int:
    """How exactly a rule's word names a service: 2 its code, 1 its family, 0 any, -1 not at all."""
    if said == service.code:
        return 2
    if said == service.family:
        return 1
    return 0 if said == ANY else -1
