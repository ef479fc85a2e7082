"""Background demand per node: upper quantiles of what was measured, ADMD where nothing was."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.local_clock import N_CLOCK_PERIOD, DayTypes, clock_period, local_dates
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray

PERIODS_A_DAY = 48

# Mean demand of 42 London homes on working days of January, February, November and December 2013, by London clock
# half-hour from midnight, over its highest. UK Power Networks, Low Carbon London, CC BY. Three more homes, whose
# storage heaters a time switch starts at midnight, are left out: they alone doubled the night of an ordinary street.
DOMESTIC_WINTER_SHAPE: FloatArray = np.array(
    [
        [0.45, 0.47, 0.43, 0.38, 0.31, 0.28, 0.27, 0.28, 0.28, 0.29, 0.33, 0.31],
        [0.32, 0.37, 0.46, 0.54, 0.59, 0.62, 0.60, 0.63, 0.63, 0.63, 0.62, 0.61],
        [0.61, 0.60, 0.59, 0.59, 0.57, 0.59, 0.58, 0.60, 0.63, 0.70, 0.79, 0.88],
        [0.94, 0.99, 1.00, 0.95, 0.92, 0.87, 0.83, 0.81, 0.76, 0.71, 0.62, 0.53],
    ]
).ravel()
DEFAULT_ADMD_KW = 1.5


class InvalidDemand(FlexError):
    code = "demand.invalid"


@dataclass(frozen=True, slots=True)
class DemandHistory:
    """Measured half-hourly demand in UTC days.

    Attributes:
        ids: (n_series,) of nodes, or of customers.
        first_day: UTC date of day 0.
        power_kw: (n_series, n_day, 48) mean kW, NaN where missing.

    Raises:
        InvalidDemand: shapes differ, or a value is infinite.
    """

    ids: StrArray
    first_day: date
    power_kw: FloatArray

    def __post_init__(self) -> None:
        shape = self.power_kw.shape
        if len(shape) != 3 or shape[0] != len(self.ids) or shape[2] != PERIODS_A_DAY:
            raise InvalidDemand(f"power_kw has shape {shape}, expected ({len(self.ids)}, n_day, {PERIODS_A_DAY})")
        infinite = np.isinf(self.power_kw)
        if infinite.any():
            series, day, period = (int(index) for index in np.argwhere(infinite)[0])
            raise InvalidDemand(
                f"{self.ids[series]} has infinite demand on day {day}, period {period}", subject=str(self.ids[series])
            )

    def grid(self) -> TimeGrid:
        """The periods of all days in one row."""
        starts_at = datetime.combine(self.first_day, time(0), tzinfo=UTC)
        return TimeGrid(starts_at, max(1, self.power_kw.shape[1] * PERIODS_A_DAY))


@dataclass(frozen=True, slots=True)
class BackgroundForecast:
    """Demand without EVSEs.

    Attributes:
        node_ids: (n_node,).
        power_kw: (n_node, n_period) the quantile asked for; no NaN.
        is_measured: (n_node,) False where the ADMD stands in for at least one period.
        findings: one per node that was estimated.
    """

    node_ids: StrArray
    power_kw: FloatArray
    is_measured: BoolArray
    findings: tuple[FindingNote, ...]


@dataclass(frozen=True, slots=True)
class NodeDemand:
    """Demand of all customers of each node.

    Attributes:
        history: (n_node, n_day, 48), NaN where too few customers were present to tell.
        present_share: (n_node,) share of customer readings present; 0 without customers.
        findings: one per node whose missing readings were estimated.
    """

    history: DemandHistory
    present_share: FloatArray
    findings: tuple[FindingNote, ...]


def background_quantile_kw(
    history: DemandHistory,
    *,
    day_types: DayTypes,
    grid: TimeGrid,
    n_customer: IntArray,
    quantile: float = 0.95,
    admd_kw: float = DEFAULT_ADMD_KW,
    shape: FloatArray = DOMESTIC_WINTER_SHAPE,
    min_samples: int = 10,
) -> BackgroundForecast:
    """Take the upper quantile of measured demand at the same London clock half-hour on days of the same type.

    Where a node has fewer than ``min_samples`` of them, days of both types are taken together; where that is too few
    as well, ``admd_kw`` per customer times ``shape``. A missing value is left out, never read as 0.

    Args:
        day_types: covers the London dates of the history and of ``grid``.
        grid: half-hours to forecast.
        n_customer: (n_node,) customers without their EVSEs.
        quantile: 0 to 1.
        shape: (48,) by London clock half-hour from midnight.

    Raises:
        InvalidDemand: ``n_customer`` of another shape, or a quantile, ADMD or sample count out of range.

    Source: docs/methods/availability.md
    """
    n_node = len(history.ids)
    if n_customer.shape != (n_node,) or not 0 <= quantile <= 1 or admd_kw < 0 or min_samples < 1:
        raise InvalidDemand(
            f"n_customer has shape {n_customer.shape} for {n_node} nodes; quantile {quantile}, admd_kw {admd_kw}, "
            f"min_samples {min_samples}"
        )
    typical_kw = _by_clock_and_type(history, day_types, quantile, min_samples)
    clock = clock_period(grid)
    power_kw = typical_kw[day_types.of(local_dates(grid)).astype(np.int64), :, clock].T
    fallback_kw = admd_kw * n_customer[:, np.newaxis] * shape[clock]
    is_missing: BoolArray = np.isnan(power_kw)
    is_estimated: BoolArray = np.logical_or.reduce(is_missing, axis=1)
    findings = tuple(
        FindingNote(
            "demand.unmeasured",
            str(history.ids[node]),
            f"{int(is_missing[node].sum())} of {grid.n_period} periods rest on an ADMD of {admd_kw:g} kW for each of "
            f"{int(n_customer[node])} customers",
            severity="info",
            details={"n_period": int(is_missing[node].sum()), "n_customer": int(n_customer[node])},
        )
        for node in np.flatnonzero(is_estimated)
    )
    return BackgroundForecast(history.ids, np.where(is_missing, fallback_kw, power_kw), ~is_estimated, findings)


def node_demand_kw(
    customers: DemandHistory,
    *,
    node: IntArray,
    node_ids: StrArray,
    n_customer: IntArray,
    min_present: float = 0.5,
) -> NodeDemand:
    """Estimate each node's total as the mean of the customers present times the number of customers.

    Args:
        node: (n_series,) the node of each metered customer.
        n_customer: (n_node,) customers, metered or not.
        min_present: share of ``n_customer`` that must be present for a half-hour to be told.

    Raises:
        InvalidDemand: shapes differ, a node out of range, or fewer customers than meters at a node.
    """
    n_node = len(node_ids)
    if node.shape != (len(customers.ids),) or n_customer.shape != (n_node,):
        raise InvalidDemand(f"node {node.shape} and n_customer {n_customer.shape} do not fit the customers and nodes")
    if (node < 0).any() or (node >= n_node).any():
        raise InvalidDemand(f"a customer hangs on a node outside 0 to {n_node - 1}")
    n_metered = np.bincount(node, minlength=n_node)
    if (n_metered > n_customer).any():
        at = int(np.argmax(n_metered > n_customer))
        raise InvalidDemand(
            f"{node_ids[at]} has {n_metered[at]} meters for {n_customer[at]} customers", subject=str(node_ids[at])
        )
    present = np.isfinite(customers.power_kw)
    total_kw, n_present = np.zeros((2, n_node, *customers.power_kw.shape[1:]))
    np.add.at(total_kw, node, np.where(present, customers.power_kw, 0.0))
    np.add.at(n_present, node, present.astype(np.float64))
    expected = n_customer[:, np.newaxis, np.newaxis].astype(np.float64)
    told = (n_present > 0) & (n_present >= min_present * expected)
    estimate_kw = np.where(told, total_kw / np.where(told, n_present, 1.0) * expected, np.nan)
    n_cell = customers.power_kw[0].size if len(customers.ids) else 0
    present_share = n_present.sum(axis=(1, 2)) / np.maximum(1, n_customer * n_cell)
    return NodeDemand(
        DemandHistory(node_ids, customers.first_day, estimate_kw),
        present_share,
        _scaled_up(node_ids, n_customer, present_share),
    )


def _scaled_up(node_ids: StrArray, n_customer: IntArray, present_share: FloatArray) -> tuple[FindingNote, ...]:
    return tuple(
        FindingNote(
            "demand.scaled_up",
            str(node_ids[at]),
            f"{present_share[at]:.1%} of the readings of {int(n_customer[at])} customers are present; the rest are "
            "taken as their mean",
            severity="info",
            details={"present_share": float(present_share[at]), "n_customer": int(n_customer[at])},
        )
        for at in np.flatnonzero((present_share < 1) & (n_customer > 0))
    )


def _by_clock_and_type(history: DemandHistory, day_types: DayTypes, quantile: float, min_samples: int) -> FloatArray:
    """(2, n_node, 48) quantile on non-working and working days by London clock; NaN where samples are too few."""
    typical_kw = np.full((2, len(history.ids), N_CLOCK_PERIOD), np.nan)
    if history.power_kw.size == 0:
        return typical_kw
    flat_kw = history.power_kw.reshape(len(history.ids), -1)
    grid = history.grid()
    clock, is_working = clock_period(grid), day_types.of(local_dates(grid))
    for period in range(N_CLOCK_PERIOD):
        at_clock = clock == period
        both_kw = _quantile_of_present(flat_kw[:, at_clock], quantile, min_samples)
        for kind in (0, 1):
            own_kw = _quantile_of_present(flat_kw[:, at_clock & (is_working == bool(kind))], quantile, min_samples)
            typical_kw[kind, :, period] = np.where(np.isnan(own_kw), both_kw, own_kw)
    return typical_kw


def _quantile_of_present(samples_kw: FloatArray, quantile: float, min_samples: int) -> FloatArray:
    """(n_node,) quantile of what is present in (n_node, n_sample), NaN where that is fewer than ``min_samples``."""
    found = np.full(len(samples_kw), np.nan)
    n_present = np.isfinite(samples_kw).sum(axis=1)
    enough, is_whole = n_present >= min_samples, n_present == samples_kw.shape[1]
    # The same figure; but nanquantile takes node by node, and few have gaps.
    for chosen, quantile_of in ((enough & is_whole, np.quantile), (enough & ~is_whole, np.nanquantile)):
        if chosen.any():
            found[chosen] = quantile_of(samples_kw[chosen], quantile, axis=1)
    return found
