"""P375: the volume an asset deviates by goes from its site's supplier to the secondary unit it is registered in.

Inside the house import is positive; here, as in the central systems, export is. Energies are whole quanta of 0.0001 kWh
and a volume that is filed is a whole number of 0.0001 MWh, so that supplier + secondary = boundary holds to the last
digit.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.types import BoolArray, FloatArray, IntArray
from markets.core.energy import QUANTUM_KWH, from_quanta, kwh_of_quanta, to_quanta

FILED_MWH = Decimal("0.0001")
QUANTA_PER_FILED = int(FILED_MWH * 1000 / QUANTUM_KWH)
HALF_HOUR_H = 0.5


class InvalidAllocation(FlexError):
    code = "allocation.invalid"


@dataclass(frozen=True, slots=True)
class AssetEnergy:
    """Asset metering systems of one settlement date and what was metered and expected there; import is positive.

    Attributes:
        asset_ids: (n_asset,) import AMSIDs, unique: an asset counts once however many firms act at its site.
        boundary_ids: (n_boundary,) import MSIDs of the sites' boundaries, unique.
        boundary: (n_asset,) index of the boundary each asset stands behind.
        metered_kwh: (n_asset, n_period) NaN is a missing read.
        baseline_kwh: (n_asset, n_period) or the expected volume submitted instead; NaN where neither is in force.
        boundary_kwh: (n_boundary, n_period) NaN is a missing read.
        max_import_kw, max_export_kw: (n_asset,) what the asset's meter supports; 0 for one without an export AMSID.

    Raises:
        InvalidAllocation: shapes or ids that do not fit, infinite energy, a negative maximum.
    """

    asset_ids: tuple[str, ...]
    boundary_ids: tuple[str, ...]
    boundary: IntArray
    metered_kwh: FloatArray
    baseline_kwh: FloatArray
    boundary_kwh: FloatArray
    max_import_kw: FloatArray
    max_export_kw: FloatArray

    def __post_init__(self) -> None:
        n_asset, n_boundary = len(self.asset_ids), len(self.boundary_ids)
        n_period = self.metered_kwh.shape[-1]
        expected = {
            "boundary": (n_asset,),
            "metered_kwh": (n_asset, n_period),
            "baseline_kwh": (n_asset, n_period),
            "boundary_kwh": (n_boundary, n_period),
            "max_import_kw": (n_asset,),
            "max_export_kw": (n_asset,),
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            _expect(values.shape == shape, f"{name} must have shape {shape}, found {values.shape}")
            _expect(not np.isinf(values).any(), f"{name} holds infinite values")
        for name in ("asset_ids", "boundary_ids"):
            _expect(len(set(getattr(self, name))) == len(getattr(self, name)), f"{name} must be unique")
        is_known = (self.boundary >= 0) & (self.boundary < n_boundary)
        _expect(bool(is_known.all()), f"each asset stands behind one of {n_boundary} boundaries")
        _expect(bool((self.max_import_kw >= 0).all() and (self.max_export_kw >= 0).all()), "maxima are not negative")


@dataclass(frozen=True, slots=True)
class Allocation:
    """Deviation volumes of one settlement date, export positive.

    Attributes:
        deviation_kwh: (n_asset, n_period) metered less baseline, limited; NaN where there is none.
        is_limited: (n_asset, n_period) the meter does not support all that was claimed.
        filed_mwh: (n_asset, n_period) whole numbers of 0.0001 MWh, halves away from zero; NaN where there is none.
        secondary_kwh: (n_boundary, n_period) what secondary units are given there, as filed.
        supplier_kwh: (n_boundary, n_period) what the supplier is settled on; NaN where the boundary was not read.
    """

    deviation_kwh: FloatArray
    is_limited: BoolArray
    filed_mwh: FloatArray
    secondary_kwh: FloatArray
    supplier_kwh: FloatArray

    @property
    def residual_kwh(self) -> Decimal:
        """What rounding to 0.0001 MWh left out, over all assets and periods; nothing is carried over."""
        exact = to_quanta(self.deviation_kwh)
        return kwh_of_quanta(int(np.nansum(exact - self.filed_mwh * QUANTA_PER_FILED)))

    @property
    def total_filed_mwh(self) -> Decimal:
        """Sum of the volumes filed."""
        return int(np.nansum(self.filed_mwh)) * FILED_MWH


def allocate(energy: AssetEnergy) -> Allocation:
    """Deviation volume of each asset, and what supplier and secondary units are settled on.

    DV = M - B by asset and period; a missing read or baseline gives no volume there. Secondary units get the volumes
    filed, and the supplier the boundary's energy less those: as if the assets had kept to their baselines.

    A volume is limited so that its baseline is one the meter could have read: import up to ``max_import_kw`` and export
    up to ``max_export_kw``. It is reduced, not refused.

    Source: docs/methods/delivered.md
    """
    metered, baseline = -to_quanta(energy.metered_kwh), -to_quanta(energy.baseline_kwh)
    supported = _supported(baseline, energy)
    deviation = metered - supported + 0.0
    filed = np.copysign(np.floor((np.abs(deviation) + QUANTA_PER_FILED // 2) / QUANTA_PER_FILED), deviation) + 0.0
    secondary = np.zeros(energy.boundary_kwh.shape)
    np.add.at(secondary, energy.boundary, np.nan_to_num(filed, nan=0.0) * QUANTA_PER_FILED)
    supplier = -to_quanta(energy.boundary_kwh) - secondary + 0.0
    return Allocation(
        deviation_kwh=from_quanta(deviation),
        is_limited=~np.isnan(deviation) & (supported != baseline),
        filed_mwh=filed,
        secondary_kwh=from_quanta(secondary),
        supplier_kwh=from_quanta(supplier),
    )


def filed_decimal(filed: float) -> Decimal:
    """One filed volume in MWh, four decimals."""
    return int(filed) * FILED_MWH


def _supported(baseline: FloatArray, energy: AssetEnergy) -> FloatArray:
    """(n_asset, n_period) baselines, export positive, held to what each meter could have read."""
    lowest = -to_quanta(energy.max_import_kw * HALF_HOUR_H)[:, np.newaxis]
    highest = to_quanta(energy.max_export_kw * HALF_HOUR_H)[:, np.newaxis]
    supported: FloatArray = np.clip(baseline, lowest, highest)
    return supported


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidAllocation(message)
