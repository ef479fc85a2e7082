"""What a settlement asks of the ledger, and what it may pay; a portfolio's volume shared out over its assets."""

import hashlib
from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, IntArray
from markets.core.delivered import Direction
from markets.core.energy import from_quanta, to_quanta
from markets.core.ledger import InvalidClaims

LARGEST_PRODUCT = 2**62


class VolumeTooLarge(FlexError):
    code = "ledger.volume_too_large"


@dataclass(frozen=True, slots=True)
class PortfolioClaims:
    """Energy one event's settlement would pay for, by portfolio.

    Attributes:
        unit_ids: (n_unit,) codes of the DSRSPs, unique.
        grid: the event's half-hours.
        direction: what was asked.
        delivered_kwh: (n_unit, n_period) net volume as settled; below 0 counts as 0.
        claimed_kwh: (n_unit, n_period) of it what the product would pay for, 0 or more.
        asset_pks: (n_asset,) keys of the EVSEs, unique.
        asset_unit: (n_asset,) index of each one's portfolio.
        asset_delivered_kwh: (n_asset, n_period) each asset's own volume, by which the portfolio's is shared out; below
            0 and NaN count as 0. None shares equally.

    Raises:
        InvalidClaims: shapes that do not fit, a claim that is negative, not finite, or above what was delivered, or of
            a portfolio without an asset.
    """

    unit_ids: tuple[str, ...]
    grid: TimeGrid
    direction: Direction
    delivered_kwh: FloatArray
    claimed_kwh: FloatArray
    asset_pks: IntArray
    asset_unit: IntArray
    asset_delivered_kwh: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.unit_ids), self.grid.n_period)
        _expect(len(set(self.unit_ids)) == len(self.unit_ids), "unit_ids must be unique")
        for name in ("delivered_kwh", "claimed_kwh"):
            found: FloatArray = getattr(self, name)
            _expect(found.shape == shape, f"{name} must have shape {shape}, found {found.shape}")
            _expect(bool(np.isfinite(found).all()), f"{name} must be finite")
        _expect(self.asset_unit.shape == self.asset_pks.shape, "each asset needs a portfolio")
        _expect(len(np.unique(self.asset_pks)) == len(self.asset_pks), "asset_pks must be unique")
        own = self.asset_delivered_kwh
        _expect(
            own is None or own.shape == (len(self.asset_pks), shape[1]),
            f"asset_delivered_kwh must have shape {(len(self.asset_pks), shape[1])}",
        )
        self._check_energy()

    def _check_energy(self) -> None:
        claimed = to_quanta(self.claimed_kwh)
        _expect(bool((claimed >= 0).all()), "claimed_kwh must not be negative")
        for unit, period in np.argwhere(claimed > np.maximum(to_quanta(self.delivered_kwh), 0))[:1]:
            raise InvalidClaims(
                f"{self.unit_ids[unit]} claims {self.claimed_kwh[unit, period]} kWh in half-hour {period} and "
                f"delivered {self.delivered_kwh[unit, period]}",
                unit=self.unit_ids[unit],
            )
        has_asset = np.bincount(self.asset_unit, minlength=len(self.unit_ids)) > 0
        for (unit,) in np.argwhere(~has_asset & (claimed.sum(axis=1) > 0))[:1]:
            raise InvalidClaims(f"{self.unit_ids[unit]} claims energy and has no asset", unit=self.unit_ids[unit])


@dataclass(frozen=True, slots=True)
class Claimed:
    """What of its claims a settlement may pay; arrays (n_unit, n_period) in kWh, on the settlement grid.

    ``payable + compensated + void + penalised`` is what was claimed.

    Attributes:
        payable_kwh: energy that no other product has been or is to be paid for.
        compensated_kwh: displaced, and the rule says that the displaced party is paid all the same.
        void_kwh: displaced, and the rule takes it from what was ordered too: nothing is due and nothing was missed.
        penalised_kwh: displaced, and the order stands: it counts as not delivered.
        findings: what was displaced, unit by unit.
    """

    payable_kwh: FloatArray
    compensated_kwh: FloatArray
    void_kwh: FloatArray
    penalised_kwh: FloatArray
    findings: tuple[FindingNote, ...] = ()

    @property
    def displaced_kwh(self) -> FloatArray:
        """(n_unit, n_period) claimed and not payable."""
        parts = to_quanta(self.compensated_kwh) + to_quanta(self.void_kwh) + to_quanta(self.penalised_kwh)
        return from_quanta(parts)

    @property
    def sha256(self) -> str:
        """Of everything that differs from what was claimed; empty where nothing does, for an inputs' digest."""
        if not self.displaced_kwh.any():
            return ""
        digest = hashlib.sha256()
        for energy_kwh in (self.payable_kwh, self.compensated_kwh, self.void_kwh, self.penalised_kwh):
            digest.update(np.ascontiguousarray(to_quanta(energy_kwh), dtype="<f8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class AssetClaims:
    """A settlement's claims by asset, (n_asset, n_period) in whole quanta, assets ascending by key.

    Attributes:
        delivered: the portfolio's volume, shared out.
        wanted: the claim, shared out; never above ``delivered``.
    """

    asset_pks: IntArray
    asset_unit: IntArray
    delivered: IntArray
    wanted: IntArray


def claims_by_asset(claims: PortfolioClaims) -> AssetClaims:
    """Share each portfolio's volume out over its assets by what each delivered, and its claim by that.

    Source: docs/methods/ledger.md
    """
    order = np.argsort(claims.asset_pks)
    unit = claims.asset_unit[order]
    own = claims.asset_delivered_kwh
    if own is None:
        own = np.ones((len(order), claims.grid.n_period))
    weight = _whole(np.maximum(np.nan_to_num(own[order]), 0.0))
    delivered = share_out(_whole(np.maximum(claims.delivered_kwh, 0.0)), weight, unit)
    wanted = share_out(_whole(claims.claimed_kwh), delivered, unit)
    return AssetClaims(claims.asset_pks[order], unit, delivered, wanted)


def share_out(total: IntArray, weight: IntArray, unit: IntArray) -> IntArray:
    """Share whole quanta out in proportion, exactly: the parts of a unit add up to its total.

    Each part is rounded down, and what is left goes one quantum each to the largest remainders, the first of equals
    first. Where a unit's weights are all 0 they are taken as equal. No part is above its weight if the total is not
    above the weights' sum.

    Args:
        total: (n_unit, n_period) quanta, 0 or more.
        weight: (n_asset, n_period) quanta, 0 or more.
        unit: (n_asset,) whose part each is.

    Returns:
        (n_asset, n_period) quanta; the total of a unit without assets is nobody's.

    Raises:
        VolumeTooLarge: a product of total and weight beyond 2**62.

    Source: docs/methods/ledger.md
    """
    if int(total.max(initial=0)) * max(int(weight.max(initial=0)), 1) > LARGEST_PRODUCT:
        raise VolumeTooLarge(f"{total.max()} quanta cannot be shared out exactly by weights up to {weight.max()}")
    sums = _sums(weight, unit, len(total))
    weight = np.where(sums[unit] > 0, weight, 1)
    sums = np.maximum(_sums(weight, unit, len(total)), 1)
    product = total[unit] * weight
    part, remainder = np.divmod(product, sums[unit])
    left = total - _sums(part, unit, len(total))
    return part + (_place(remainder, unit) < left[unit])


def _place(remainder: IntArray, unit: IntArray) -> IntArray:
    """(n_asset, n_period) place of each remainder among its unit's, the largest first, ties in the order of assets."""
    order = np.lexsort((-remainder, np.broadcast_to(unit[:, np.newaxis], remainder.shape)), axis=0)
    counts = np.bincount(unit)
    first = (np.cumsum(counts) - counts)[np.sort(unit)]
    place = np.empty_like(remainder)
    ranks = np.broadcast_to((np.arange(len(unit)) - first)[:, np.newaxis], remainder.shape)
    np.put_along_axis(place, order, ranks, axis=0)
    return place


def _sums(values: IntArray, unit: IntArray, n_unit: int) -> IntArray:
    sums = np.zeros((n_unit, values.shape[1]), dtype=np.int64)
    np.add.at(sums, unit, values)
    return sums


def unit_kwh(quanta: IntArray, unit: IntArray, n_unit: int) -> FloatArray:
    """(n_unit, n_period) kWh of quanta by asset."""
    return from_quanta(_sums(quanta, unit, n_unit).astype(np.float64))


def _whole(energy_kwh: FloatArray) -> IntArray:
    whole: IntArray = to_quanta(energy_kwh).astype(np.int64)
    return whole


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidClaims(message)
