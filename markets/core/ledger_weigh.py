"""One settlement's claims against what others hold: what is paid, what is displaced, by whom and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aggregator.core.types import BoolArray, IntArray
from markets.core.ledger import Allocation, BandClaims, Bands, Standing, allocate_bands
from markets.core.primacy import (
    PrimacyRule,
    Service,
    StackingRule,
    Treatment,
    precedence,
    serving_order,
    stacking_between,
)

Reason = Literal["primacy", "earlier-contract", "paid-before", "blocked", "splitting-refused", "opposite"]
UNBOUNDED = 2**60
OWN = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """What one other commitment holds of the assets, and what it was displaced of; cells as the claim's.

    Attributes:
        cell, low, high: (n_band,) its bands, in quanta.
        unmet_cell, unmet: (n_unmet,) quanta it claimed and was not given.
    """

    service: Service
    cell: IntArray
    low: IntArray
    high: IntArray
    unmet_cell: IntArray
    unmet: IntArray

    def quanta_by_cell(self, n_cell: int) -> IntArray:
        """(n_cell,) quanta claimed in all."""
        total = np.zeros(n_cell, dtype=np.int64)
        np.add.at(total, self.cell, self.high - self.low)
        np.add.at(total, self.unmet_cell, self.unmet)
        return total


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a claim is given, by cell; ``displaced`` names for each cause the cells' quanta.

    Attributes:
        cell, low, high: (n_band,) bands that are paid, by cell and then by energy.
        granted: (n_cell,) quanta.
        displaced: by cause; together with ``granted`` what was wanted.
        together: keys of the co-delivery rules with each commitment that may be paid for the same bands, with the cells
            it holds bands of.
        told: rules that only want both told, with the commitment each is about.
    """

    cell: IntArray
    low: IntArray
    high: IntArray
    granted: IntArray
    displaced: tuple["Cause", ...]
    together: tuple["CoDelivery", ...]
    told: tuple["Told", ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why energy was displaced.

    Attributes:
        by: index of the holding that stood in the way.
        quanta: (n_cell,).
    """

    by: int
    reason: Reason
    rule: PrimacyRule | None
    treatment: Treatment
    quanta: IntArray


@dataclass(frozen=True, slots=True)
class CoDelivery:
    rule: StackingRule
    cell: IntArray


@dataclass(frozen=True, slots=True)
class Told:
    rule: PrimacyRule
    by: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """How one holding stands to the claim."""

    serves_first: bool
    rule: PrimacyRule | None
    blocks: bool
    splitting_refused: bool

    def reason(self) -> Reason:
        if self.blocks:
            return "blocked"
        if self.splitting_refused:
            return "splitting-refused"
        if not self.serves_first:
            return "paid-before"
        return "primacy" if self.rule is not None else "earlier-contract"

    def treatment(self) -> Treatment:
        """The rule's, where the other goes first by one; else the volume is just not delivered."""
        return self.rule.displaced if self.rule is not None and self.serves_first else "penalised"


def weigh(
    own: Service,
    wanted: IntArray,
    delivered: IntArray,
    holdings: Sequence[Holding],
    *,
    primacy: Sequence[PrimacyRule],
    stacking: Sequence[StackingRule],
) -> Weighed:
    """Give a claim what nobody else holds or goes before it for.

    Bands already paid stay with their holders. What a holder that goes first was displaced of is left free for it, so
    that its next settlement finds it; a holder that goes behind keeps what it was paid until it is settled again.

    Args:
        wanted, delivered: (n_cell,) quanta.
        holdings: other commitments in force on these assets and half-hours, in either direction.
        primacy, stacking: rules in force.

    Raises:
        PrimacyConflict: the rules contradict each other.

    Source: docs/methods/ledger.md
    """
    along = [at for at, one in enumerate(holdings) if one.service.direction == own.direction]
    left, opposed = _against(own, wanted, holdings, primacy)
    if not along:
        cell = np.flatnonzero(left)
        return Weighed(cell, np.zeros_like(cell), left[cell], left, opposed, (), _told(own, holdings, primacy))
    services = [own, *(holdings[at].service for at in along)]
    turns = np.empty(len(services), dtype=np.int64)
    turns[list(serving_order(primacy, services))] = np.arange(len(services))
    stands = [
        _standing(own, service, primacy, stacking, bool(turns[1 + at] < turns[OWN]))
        for at, service in enumerate(services[1:])
    ]
    together = _together(services, stacking)
    blocks = np.zeros_like(together)
    for at, stand in enumerate(stands):
        blocks[1 + at, OWN] = not together[1 + at, OWN] and (stand.blocks or stand.splitting_refused)
    found = _allocated(left, delivered, [holdings[at] for at in along], turns, Standing(together, blocks))
    is_own = found.bands.party == OWN
    return Weighed(
        cell=found.bands.cell[is_own],
        low=found.bands.low[is_own],
        high=found.bands.high[is_own],
        granted=found.granted[: len(wanted)],
        displaced=(*opposed, *_causes(found, len(wanted), along, stands)),
        together=_co_delivery(own, [holdings[at] for at in along], stacking),
        told=_told(own, holdings, primacy),
    )


def _allocated(
    wanted: IntArray, delivered: IntArray, holdings: Sequence[Holding], turns: IntArray, standing: Standing
) -> Allocation:
    """Own claims come first in the columns, cell by cell, then what holders that go first keep their place for."""
    n_cell = len(wanted)
    held = Bands(
        *(
            np.concatenate(columns)
            for columns in zip(
                *((one.cell, np.full_like(one.cell, 1 + at), one.low, one.high) for at, one in enumerate(holdings)),
                strict=True,
            )
        )
    )
    places = [
        (1 + at, *_summed(one.unmet_cell, one.unmet)) for at, one in enumerate(holdings) if turns[1 + at] < turns[OWN]
    ]
    cells = [np.arange(n_cell), *(cell for _, cell, _ in places)]
    parties = [np.full(n_cell, OWN), *(np.full(len(cell), party) for party, cell, _ in places)]
    party = np.concatenate(parties).astype(np.int64)
    n_place = len(party) - n_cell
    claims = BandClaims(
        cell=np.concatenate(cells).astype(np.int64),
        party=party,
        turn=turns[party],
        wanted=np.concatenate([wanted, *(quanta for _, _, quanta in places)]).astype(np.int64),
        delivered=np.concatenate([delivered, np.full(n_place, UNBOUNDED)]).astype(np.int64),
        is_paid=np.arange(len(party)) < n_cell,
    )
    return allocate_bands(claims, standing, held=held)


def _summed(cell: IntArray, quanta: IntArray) -> tuple[IntArray, IntArray]:
    """One row a cell."""
    cells, index = np.unique(cell, return_inverse=True)
    sums = np.zeros(len(cells), dtype=np.int64)
    np.add.at(sums, index, quanta)
    return cells, sums


def _causes(found: Allocation, n_cell: int, along: list[int], stands: Sequence[_Standing]) -> tuple[Cause, ...]:
    displaced, by = found.displaced[:n_cell], found.displaced_by[:n_cell]
    causes = []
    for at, stand in enumerate(stands):
        quanta = np.where(by == 1 + at, displaced, 0)
        if quanta.any():
            causes.append(Cause(along[at], stand.reason(), stand.rule, stand.treatment(), quanta))
    return tuple(causes)


def _standing(
    own: Service,
    other: Service,
    primacy: Sequence[PrimacyRule],
    stacking: Sequence[StackingRule],
    serves_first: bool,
) -> _Standing:
    said = precedence(primacy, other, own)
    by_rule = said.rule if said.by_rule and said.is_first else None
    splitting = stacking_between(stacking, own, other, "splitting")
    return _Standing(
        serves_first=serves_first,
        rule=by_rule,
        blocks=by_rule is not None and by_rule.action == "block",
        splitting_refused=splitting is not None and not splitting.is_allowed and own.code != other.code,
    )


def _together(services: Sequence[Service], stacking: Sequence[StackingRule]) -> BoolArray:
    together = np.zeros((len(services), len(services)), dtype=np.bool_)
    for one in range(len(services)):
        for other in range(one):
            together[one, other] = together[other, one] = (
                co_delivery_rule(services[one], services[other], stacking) is not None
            )
    return together


def co_delivery_rule(one: Service, other: Service, stacking: Sequence[StackingRule]) -> StackingRule | None:
    """The rule that lets two be paid for the same kWh; two calls on one product never are."""
    rule = stacking_between(stacking, one, other, "co-delivery")
    return rule if rule is not None and rule.is_allowed and one.code != other.code else None


def _co_delivery(own: Service, holdings: Sequence[Holding], stacking: Sequence[StackingRule]) -> tuple[CoDelivery, ...]:
    found = [(co_delivery_rule(own, one.service, stacking), one.cell) for one in holdings]
    return tuple(CoDelivery(rule, cell) for rule, cell in found if rule is not None)


def _told(own: Service, holdings: Sequence[Holding], primacy: Sequence[PrimacyRule]) -> tuple[Told, ...]:
    said = [precedence(primacy, own, one.service) for one in holdings]
    return tuple(Told(one.rule, at) for at, one in enumerate(said) if one.rule is not None and not one.by_rule)


def _against(
    own: Service, wanted: IntArray, holdings: Sequence[Holding], primacy: Sequence[PrimacyRule]
) -> tuple[IntArray, tuple[Cause, ...]]:
    """What is left of a claim once rules about opposite directions are kept."""
    left, causes = wanted.astype(np.int64), []
    for at, holding in enumerate(holdings):
        if holding.service.direction == own.direction:
            continue
        said = precedence(primacy, holding.service, own)
        if said.rule is None or not (said.by_rule and said.is_first):
            continue
        against = holding.quanta_by_cell(len(wanted))
        taken = np.where(against > 0, left if said.rule.action == "block" else np.minimum(left, against), 0)
        if taken.any():
            causes.append(Cause(at, "opposite", said.rule, said.rule.displaced, taken))
        left = left - taken
    return left, tuple(causes)
