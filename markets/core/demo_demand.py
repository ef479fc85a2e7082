"""Half-hourly household demand of the demo, one series per measured phase, without any EV."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, IntArray, StrArray
from markets.core.demo_calendar import day_types, demo_stream, utc_days_grid
from markets.core.demo_network import DemoNode

# Mean winter demand of gas-heated homes by London clock half-hour from midnight, per cent of the weekday peak.
# Source: docs/demo.md (worked out from the London household readings of 2013, homes without night heating).
WORKING_SHAPE = (
    *(46, 39, 35, 33, 31, 29, 28, 28, 29, 30, 32, 32, 34, 39, 47, 54),
    *(59, 61, 61, 61, 62, 61, 60, 59, 59, 58, 57, 57, 56, 56, 57, 58),
    *(62, 68, 76, 85, 93, 98, 99, 96, 92, 87, 83, 81, 77, 72, 64, 55),
)
OTHER_SHAPE = (
    *(51, 44, 39, 36, 34, 31, 29, 27, 27, 27, 28, 29, 31, 35, 40, 44),
    *(48, 53, 59, 64, 68, 71, 71, 70, 70, 72, 74, 74, 73, 73, 74, 74),
    *(77, 81, 87, 92, 97, 99, 98, 95, 92, 88, 84, 80, 77, 72, 66, 58),
)
PEAK_KW_PER_HOME = 0.9
# Of one home about its mean at that hour, and of what all homes share (weather), as a share of that mean.
HOME_SPREAD, HOME_MEMORY = 0.72, 0.51
SHARED_SPREAD, SHARED_MEMORY = 0.07, 0.96
PHASE_SPREAD = 0.08  # how far the usual home of one phase lies from the area's
LEAST_SHARE = 0.15  # fridges and standby never stop


@dataclass(frozen=True, slots=True)
class DemoDemand:
    """Energy on each measured phase.

    Attributes:
        meter_codes, node_codes: (n_meter,).
        energy_kwh: (n_meter, n_period) of ``utc_days_grid``, to the watt-hour.
    """

    meter_codes: StrArray
    node_codes: StrArray
    energy_kwh: FloatArray

    def __post_init__(self) -> None:
        expected = (len(self.meter_codes), utc_days_grid().n_period)
        if self.energy_kwh.shape != expected or self.node_codes.shape != expected[:1]:
            raise ValueError(f"demand has shape {self.energy_kwh.shape}, expected {expected}")


def demo_demand(nodes: Sequence[DemoNode], seed: int) -> DemoDemand:
    """Draw the demand of every phase that has a monitor: homes times a usual home, with noise that remembers.

    Few homes vary more than many: the spread of their sum about its mean falls with the root of their number.
    """
    rng = demo_stream("demand", seed)
    measured = [node for node in nodes if node.is_measured]
    n_home = np.array([node.n_customers for node in measured], dtype=np.int64)
    grid = utc_days_grid()
    shared = SHARED_SPREAD * remembering_noise((grid.n_period,), SHARED_MEMORY, rng)
    own = remembering_noise((len(measured), grid.n_period), HOME_MEMORY, rng)
    own *= HOME_SPREAD / np.sqrt(n_home)[:, np.newaxis]
    usual = n_home * (1 + PHASE_SPREAD * rng.standard_normal(len(measured)))
    share = np.maximum(1 + shared + own, LEAST_SHARE)
    power_kw = usual[:, np.newaxis] * home_demand_kw(grid) * share
    return DemoDemand(
        meter_codes=np.array([f"FM-{node.code}" for node in measured]),
        node_codes=np.array([node.code for node in measured]),
        energy_kwh=np.round(power_kw * grid.step_h, 3),
    )


def home_demand_kw(grid: TimeGrid) -> FloatArray:
    """(n_period,) mean demand of one home among many, for a grid of whole winter days (London's clock is UTC)."""
    days = grid.period_starts().astype("datetime64[D]")
    shapes = np.array([OTHER_SHAPE, WORKING_SHAPE], dtype=np.float64) / 100
    clock: IntArray = np.arange(grid.n_period) % 48
    demand_kw: FloatArray = PEAK_KW_PER_HOME * shapes[day_types().of(days).astype(np.int64), clock]
    return demand_kw


def remembering_noise(shape: tuple[int, ...], memory: float, rng: np.random.Generator) -> FloatArray:
    """First-order autoregression along the last axis: mean 0, variance 1, correlation ``memory`` at one step."""
    white = rng.standard_normal(shape)
    white[..., 1:] *= np.sqrt(1 - memory**2)  # the first is left at variance 1, so the series starts stationary
    noise: FloatArray = lfilter([1.0], [1.0, -memory], white, axis=-1)
    return noise
