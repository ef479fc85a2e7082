"""The ledger of paid energy: which band of an asset's half-hour each claim is paid for.

A **cell** is one asset in one settlement period and one direction. What the asset delivered there is a band of energy
``[0, delivered)``, counted in whole quanta of 0.0001 kWh (``markets.core.energy``). A claim is paid for bands within
it; two claims may hold the same band only where a rule says co-delivery.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, IntArray

NOBODY = -1


class InvalidClaims(FlexError):
    code = "ledger.invalid_claims"


@dataclass(frozen=True, slots=True)
class Bands:
    """Bands of energy held by parties.

    Attributes:
        cell: (n_band,) which cell.
        party: (n_band,) who holds it.
        low, high: (n_band,) quanta, half-open, ``0 <= low < high``.
    """

    cell: IntArray
    party: IntArray
    low: IntArray
    high: IntArray

    def __post_init__(self) -> None:
        shapes = {self.cell.shape, self.party.shape, self.low.shape, self.high.shape}
        _expect(len(shapes) == 1 and self.cell.ndim == 1, "the columns of bands must be equally long")
        _expect(bool((self.low >= 0).all() and (self.high > self.low).all()), "a band must be 0 <= low < high")

    @property
    def quanta(self) -> IntArray:
        """(n_band,) energy of each."""
        return self.high - self.low

    @classmethod
    def none(cls) -> "Bands":
        return cls(*(np.zeros(0, dtype=np.int64) for _ in range(4)))


@dataclass(frozen=True, slots=True)
class BandClaims:
    """What parties want to be paid for in cells; all columns (n_claim,).

    Attributes:
        cell: which cell, 0 to ``n_cell - 1``.
        party: who claims, an index into ``Standing``.
        turn: place in the order of primacy, the lowest is served first; claims of one cell have different turns.
        wanted: quanta claimed, 0 or more.
        delivered: quanta delivered in the cell as the claim's own product measures it; no band reaches beyond.
        is_paid: False for a claim that only keeps its place: what it would be given stays free, and is not paid.
    """

    cell: IntArray
    party: IntArray
    turn: IntArray
    wanted: IntArray
    delivered: IntArray
    is_paid: BoolArray

    def __post_init__(self) -> None:
        columns = (self.party, self.turn, self.wanted, self.delivered, self.is_paid)
        _expect(self.cell.ndim == 1, f"claims are columns, found {self.cell.ndim} axes")
        _expect(all(one.shape == self.cell.shape for one in columns), "the columns of claims must be equally long")
        _expect(bool((self.wanted >= 0).all()), "energy claimed must not be negative")
        _expect(bool((self.delivered >= 0).all()), "energy delivered must not be negative")
        places = np.stack([self.cell, self.turn])
        _expect(np.unique(places, axis=1).shape[1] == len(self.cell), "claims of one cell must have different turns")


@dataclass(frozen=True, slots=True)
class Standing:
    """How parties stand to one another, (n_party, n_party).

    Attributes:
        together: symmetric; both may be paid for the same band (co-delivery).
        blocks: row over column: where the row's party wants anything, the column's party gets nothing.
    """

    together: BoolArray
    blocks: BoolArray

    def __post_init__(self) -> None:
        n_party = len(self.together)
        _expect(self.together.shape == (n_party, n_party) == self.blocks.shape, "standings are square and alike")
        _expect(bool((self.together == self.together.T).all()), "co-delivery holds both ways")
        _expect(
            not np.diagonal(self.together).any(), "nobody is paid twice for the same band by co-delivery with itself"
        )


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who is paid for which bands.

    Attributes:
        bands: of the claims that are paid; ``party`` as in the claims.
        claim: (n_band,) index of each band's claim.
        granted: (n_claim,) quanta given, 0 for claims that only keep their place.
        displaced: (n_claim,) quanta wanted and not given; 0 for claims that only keep their place.
        displaced_by: (n_claim,) the party that stood in the way, the first served where several did; ``NOBODY`` where
            nothing is displaced, or no more was delivered.
    """

    bands: Bands
    claim: IntArray
    granted: IntArray
    displaced: IntArray
    displaced_by: IntArray


def allocate_bands(claims: BandClaims, standing: Standing, *, held: Bands | None = None) -> Allocation:
    """Give each claim the lowest bands that are free to it, in order of primacy.

    A band is free to a claim unless somebody holds it who may not be paid together with it. Bands held already stay
    with their holders. The order of the columns means nothing: turns decide.

    Args:
        held: bands paid for before, of whatever party; they are not given again.

    Raises:
        InvalidClaims: columns that do not fit.

    Source: docs/methods/ledger.md
    """
    before = held or Bands.none()
    n_cell = int(max(claims.cell.max(initial=-1), before.cell.max(initial=-1))) + 1
    taken = _Taken.of(before, n_cell)
    n_claim = len(claims.cell)
    granted = np.zeros(n_claim, dtype=np.int64)
    displaced_by = np.full(n_claim, NOBODY, dtype=np.int64)
    given: list[tuple[IntArray, IntArray, IntArray]] = []
    is_wanted = np.zeros((n_cell, len(standing.together)), dtype=np.bool_)
    is_wanted[before.cell, before.party] = True
    for now in _by_turn(claims):
        cell, party = claims.cell[now], claims.party[now]
        may_take = ~(is_wanted[cell] & standing.blocks[:, party].T).any(axis=1)
        low, high = taken.free(cell, party, np.where(may_take, claims.delivered[now], 0), standing.together)
        room = high - low
        fill = np.clip(claims.wanted[now][:, np.newaxis] - (room.cumsum(axis=1) - room), 0, room)
        granted[now] = fill.sum(axis=1)
        in_way = taken.first_in_way(cell, party, standing.together)
        blocker = np.where(may_take, in_way, _first_blocker(is_wanted[cell] & standing.blocks[:, party].T))
        is_short = np.minimum(claims.wanted[now], claims.delivered[now]) > granted[now]
        displaced_by[now] = np.where(is_short, blocker, NOBODY)
        is_wanted[cell, party] |= claims.wanted[now] > 0
        taken.add(cell, party, low, low + fill)
        row, slot = np.nonzero(fill)
        given.append((now[row], low[row, slot], (low + fill)[row, slot]))
    return _allocation(claims, given, granted, displaced_by)


def _allocation(
    claims: BandClaims, given: list[tuple[IntArray, IntArray, IntArray]], granted: IntArray, displaced_by: IntArray
) -> Allocation:
    nothing = np.zeros(0, dtype=np.int64)
    claim = np.concatenate([nothing, *(one for one, _, _ in given)])
    low = np.concatenate([nothing, *(one for _, one, _ in given)])
    high = np.concatenate([nothing, *(one for _, _, one in given)])
    order = np.lexsort((low, claim))
    order = order[claims.is_paid[claim[order]]]
    claim, low, high = claim[order], low[order], high[order]
    paid = np.where(claims.is_paid, granted, 0)
    return Allocation(
        bands=Bands(claims.cell[claim], claims.party[claim], low, high),
        claim=claim,
        granted=paid,
        displaced=np.where(claims.is_paid, claims.wanted - granted, 0),
        displaced_by=displaced_by,
    )


def _by_turn(claims: BandClaims) -> list[IntArray]:
    """Claims in rounds: in each, at most one of every cell, in the cell's order of turns."""
    order = np.lexsort((claims.turn, claims.cell))
    cell = claims.cell[order]
    is_first = np.diff(cell, prepend=-1) != 0
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(cell)), 0))
    place = np.arange(len(cell)) - start
    return [order[place == turn] for turn in range(int(place.max(initial=-1)) + 1)]


def _first_blocker(blocks: BoolArray) -> IntArray:
    first: IntArray = np.where(blocks.any(axis=1), blocks.argmax(axis=1), NOBODY)
    return first


@dataclass(slots=True)
class _Taken:
    """Bands taken so far, (n_cell, n_slot); an empty slot has party ``NOBODY``. Slots stand in the order of taking."""

    low: IntArray
    high: IntArray
    party: IntArray

    @classmethod
    def of(cls, bands: Bands, n_cell: int) -> "_Taken":
        order = np.argsort(bands.cell, kind="stable")
        cell = bands.cell[order]
        counts = np.bincount(cell, minlength=n_cell)
        slot = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (n_cell, int(counts.max(initial=0)))
        low, high = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        party = np.full(shape, NOBODY, dtype=np.int64)
        low[cell, slot], high[cell, slot], party[cell, slot] = bands.low[order], bands.high[order], bands.party[order]
        return cls(low, high, party)

    def free(
        self, cell: IntArray, party: IntArray, delivered: IntArray, together: BoolArray
    ) -> tuple[IntArray, IntArray]:
        """(n, n_slot + 1) gaps between what is in the way, within ``[0, delivered)``, lowest first; empty ones too."""
        stands = self._in_way(cell, party, together)
        limit = delivered[:, np.newaxis]
        low = np.where(stands, self.low[cell], limit)
        high = np.where(stands, self.high[cell], limit)
        order = np.argsort(low, axis=1, kind="stable")
        low, high = np.take_along_axis(low, order, axis=1), np.take_along_axis(high, order, axis=1)
        begin = np.concatenate([np.zeros_like(limit), np.maximum.accumulate(high, axis=1)], axis=1)
        end = np.minimum(np.concatenate([low, limit], axis=1), limit)
        return begin, np.maximum(end, begin)

    def first_in_way(self, cell: IntArray, party: IntArray, together: BoolArray) -> IntArray:
        """(n,) party of the band first taken that is in the way."""
        stands = self._in_way(cell, party, together)
        if not stands.shape[1]:
            return np.full(len(cell), NOBODY, dtype=np.int64)
        first = stands.argmax(axis=1)
        found: IntArray = np.where(stands.any(axis=1), self.party[cell, first], NOBODY)
        return found

    def add(self, cell: IntArray, party: IntArray, low: IntArray, high: IntArray) -> None:
        """Take these bands, (n, n_gap); those of no energy are left out."""
        n_cell, n_slot = self.low.shape
        is_new = high > low
        slot = self._used(cell)[:, np.newaxis] + np.cumsum(is_new, axis=1) - 1
        width = max(n_slot, int(slot.max(initial=-1)) + 1)
        grown = np.zeros((3, n_cell, width), dtype=np.int64)
        grown[2] = NOBODY
        grown[:, :, :n_slot] = self.low, self.high, self.party
        row, gap = np.nonzero(is_new)
        at = (cell[row], slot[row, gap])
        for column, values in zip(grown, (low[row, gap], high[row, gap], party[row]), strict=True):
            column[at] = values
        self.low, self.high, self.party = grown

    def _used(self, cell: IntArray) -> IntArray:
        used: IntArray = (self.party[cell] != NOBODY).sum(axis=1)
        return used

    def _in_way(self, cell: IntArray, party: IntArray, together: BoolArray) -> BoolArray:
        holders = self.party[cell]
        stands: BoolArray = (holders != NOBODY) & ~together[holders, party[:, np.newaxis]]
        return stands


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidClaims(message)
