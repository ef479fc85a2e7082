"""Background demand of a whole area: what customers and feeders measured, added up the tree, ADMD where nothing was."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from aggregator.core.findings import FindingNote
from aggregator.core.load_forecast import (
    DOMESTIC_WINTER_SHAPE,
    BackgroundForecast,
    DemandHistory,
    background_quantile_kw,
    node_demand_kw,
)
from aggregator.core.local_clock import DayTypes, clock_period
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, IntArray

ENOUGH_METERS = 0.5  # share of a node's customers that must be read for its half-hour to be told from them
ENOUGH_SAMPLES = 10  # days of one type that tell their own quantile


@dataclass(frozen=True, slots=True)
class MeasuredDemand:
    """Demand other than EVSEs, as measured in an area.

    Attributes:
        first_day: UTC date of day 0.
        customer_kw: (n_customer_meter, n_day, 48) NaN where missing.
        customer_node: (n_customer_meter,) index of the node each hangs on.
        monitor_kw: (n_monitor, n_day, 48) of whole nodes.
        monitor_node: (n_monitor,).
    """

    first_day: date
    customer_kw: FloatArray
    customer_node: IntArray
    monitor_kw: FloatArray
    monitor_node: IntArray


def forecast_background(
    measured: MeasuredDemand, *, area: NetworkArea, grid: TimeGrid, day_types: DayTypes, quantile: float
) -> BackgroundForecast:
    """Upper quantile of each node's demand at the same clock half-hour on days of the same type.

    Demands are added up first and the quantile is taken of the sum, node by node: quantiles do not add.

    Source: docs/methods/availability.md
    """
    history_kw, findings = node_history_kw(measured, area)
    forecast = background_quantile_kw(
        DemandHistory(area.codes, measured.first_day, history_kw),
        day_types=day_types,
        grid=grid,
        n_customer=area.n_customers,
        quantile=quantile,
        # The history has no gaps; a short one is told by all its days, but for an hour the spring change skips.
        min_samples=int(np.clip(history_kw.shape[1] - 1, 1, ENOUGH_SAMPLES)),
    )
    return BackgroundForecast(
        forecast.node_ids, forecast.power_kw, forecast.is_measured, (*findings, *forecast.findings)
    )


def node_history_kw(measured: MeasuredDemand, area: NetworkArea) -> tuple[FloatArray, tuple[FindingNote, ...]]:
    """Demand of each node and all below it in every half-hour of the history.

    A monitor speaks for its whole node while it reads; where it is silent and no customer is known to hang below, its
    other days speak. Otherwise the node's own customers and its children are added, and customers nobody measured
    count with their ADMD on the domestic shape. Customers that hang on a feeder with
    phases, unknown or three-phase, load each phase by a third.

    Returns:
        (n_node, n_day, 48) kW without NaN, and what was estimated.
    """
    own_kw, findings = _own_kw(measured, area)
    total_kw = own_kw.copy()
    by_monitor, gaps = _without_gaps(_monitors_kw(measured, area), measured, area)
    for node in range(area.n_node - 1, -1, -1):
        total_kw[node] = np.where(np.isnan(by_monitor[node]), total_kw[node], by_monitor[node])
        if area.parent[node] >= 0:
            total_kw[area.parent[node]] += total_kw[node]
    phases = np.flatnonzero(area.is_phase & (area.parent >= 0))
    unmonitored = np.isnan(by_monitor[phases])
    total_kw[phases] += np.where(unmonitored, own_kw[area.parent[phases]] / 3, 0.0)
    return total_kw, (*findings, *gaps)


def _own_kw(measured: MeasuredDemand, area: NetworkArea) -> tuple[FloatArray, tuple[FindingNote, ...]]:
    n_customer = _n_customer(measured, area)
    demand = node_demand_kw(
        DemandHistory(np.arange(len(measured.customer_node)).astype(np.str_), measured.first_day, measured.customer_kw),
        node=measured.customer_node,
        node_ids=area.codes,
        n_customer=n_customer,
        min_present=ENOUGH_METERS,
    )
    n_day = measured.customer_kw.shape[1]
    clock = clock_period(demand.history.grid()).reshape(-1, 48)[:n_day]
    admd_kw = (area.admd_kw * n_customer)[:, np.newaxis, np.newaxis] * DOMESTIC_WINTER_SHAPE[clock]
    missing = np.isnan(demand.history.power_kw)
    own_kw = np.where(missing, admd_kw, demand.history.power_kw)
    partly = tuple(note for note in demand.findings if float(str(note.details["present_share"])) > 0)
    return own_kw, (*partly, *_admd_findings(area, n_customer, missing, _monitored(measured, area)))


def _n_customer(measured: MeasuredDemand, area: NetworkArea) -> IntArray:
    """(n_node,) customers connected directly; meters that nobody counted are customers too."""
    n_metered = np.bincount(measured.customer_node, minlength=area.n_node)
    n_customer: IntArray = np.maximum(area.n_customers, n_metered)
    return n_customer


def _admd_findings(
    area: NetworkArea, n_customer: IntArray, missing: FloatArray, monitored: set[int]
) -> list[FindingNote]:
    return [
        FindingNote(
            "demand.unmeasured",
            str(area.codes[node]),
            f"{missing[node].mean():.0%} of the demand of {int(n_customer[node])} customers rests on an ADMD of "
            f"{area.admd_kw[node]:g} kW each",
            severity="info",
            details={"missing_share": float(missing[node].mean()), "n_customer": int(n_customer[node])},
        )
        for node in np.flatnonzero((n_customer > 0) & missing.any(axis=(1, 2)))
        if int(node) not in monitored
    ]


def _monitored(measured: MeasuredDemand, area: NetworkArea) -> set[int]:
    """Nodes with a monitor of their own or above them."""
    covered = np.zeros(area.n_node, dtype=np.bool_)
    covered[measured.monitor_node] = True
    for node in range(area.n_node):
        covered[node] |= area.parent[node] >= 0 and covered[area.parent[node]]
    return set(np.flatnonzero(covered).tolist())


def _monitors_kw(measured: MeasuredDemand, area: NetworkArea) -> FloatArray:
    """(n_node, n_day, 48) what monitors read, summed where a node has several; NaN unless all of them did."""
    n_day = measured.customer_kw.shape[1]
    by_node = np.full((area.n_node, n_day, 48), np.nan)
    by_node[measured.monitor_node] = 0.0
    np.add.at(by_node, measured.monitor_node, measured.monitor_kw)
    return by_node


def _without_gaps(
    by_monitor: FloatArray, measured: MeasuredDemand, area: NetworkArea
) -> tuple[FloatArray, list[FindingNote]]:
    """Fill the gaps of monitors with no customer known below, who would count as no demand at all.

    A gap is the mean of the monitor's other days in that half-hour, or of all it read.
    """
    n_below = _n_customer(measured, area)
    for node in range(area.n_node - 1, 0, -1):
        if area.parent[node] >= 0:
            n_below[area.parent[node]] += n_below[node]
    filled, findings = by_monitor.copy(), []
    is_gap = np.isnan(by_monitor)
    has_gap = (n_below == 0) & is_gap.any(axis=(1, 2)) & ~is_gap.all(axis=(1, 2))
    for node in np.flatnonzero(has_gap).tolist():
        n_read = (~is_gap[node]).sum(axis=0)
        same_kw = np.where(is_gap[node], 0.0, by_monitor[node]).sum(axis=0) / np.maximum(n_read, 1)
        typical_kw = np.where(n_read > 0, same_kw, np.nanmean(by_monitor[node]))
        filled[node] = np.where(is_gap[node], typical_kw, by_monitor[node])
        findings.append(_gap_finding(str(area.codes[node]), float(is_gap[node].mean())))
    return filled, findings


def _gap_finding(code: str, missing_share: float) -> FindingNote:
    return FindingNote(
        "demand.monitor_gap",
        code,
        f"the monitors of {code} are silent {missing_share:.0%} of the time; their other days stand in",
        severity="info",
        details={"missing_share": missing_share},
    )
