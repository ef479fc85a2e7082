"""The grid of 0.0001 kWh on which energy is settled.

A quantum is 0.0001 kWh (0.1 Wh). Inside a settlement energies are whole numbers of quanta held in
float64: such sums are exact below 2**53, so no order of rows, meters or batches can move a penny.
"""

from decimal import Decimal

import numpy as np

from aggregator.core.types import FloatArray

QUANTUM_KWH = Decimal("0.0001")
QUANTA_PER_KWH = 10_000
# A mean over days and window periods is a fraction with a denominator of a few hundred, so the nearest value
# that is no tie lies 1e-3 of a quantum away; float64 noise is below 1e-7 up to 100 MWh a period.
TIE_QUANTA = 1e-6


def nearest_quanta(quanta: FloatArray) -> FloatArray:
    """Round to whole quanta, halves away from zero; NaN stays NaN and there is no minus zero."""
    whole: FloatArray = np.copysign(np.floor(np.abs(quanta) + 0.5 + TIE_QUANTA), quanta) + 0.0
    return whole


def to_quanta(energy_kwh: FloatArray) -> FloatArray:
    """Whole quanta of each energy, any shape."""
    return nearest_quanta(energy_kwh * QUANTA_PER_KWH)


def from_quanta(quanta: FloatArray) -> FloatArray:
    """Energy in kWh of each number of quanta, any shape."""
    energy_kwh: FloatArray = quanta / QUANTA_PER_KWH
    return energy_kwh


def kwh_of_quanta(quanta: int) -> Decimal:
    """Energy in kWh, four decimals, of one number of quanta."""
    return Decimal(quanta) * QUANTUM_KWH


def decimal_kwh(energy_kwh: float) -> Decimal:
    """One finite energy in kWh on the settlement grid, four decimals."""
    return kwh_of_quanta(int(to_quanta(np.array([energy_kwh]))[0]))
